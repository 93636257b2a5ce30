#!/bin/sh
# node.sh FOLDER ADDRESS COMMAND: runs a line for a shell on the machine, as ssh would.
container=$(sed -n "s/^$2 //p" "$1/nodes")
exec docker exec -i "$container" sh -c "$3"
