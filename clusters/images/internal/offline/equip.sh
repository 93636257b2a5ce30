# Runs in a container of a node image from elsewhere, and leaves what it installs
# asleep: only machines that want a service start it.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
apt-get update
apt-get install -y --no-install-recommends btrfs-progs e2fsprogs haproxy keepalived
rm -f /usr/sbin/policy-rc.d /etc/systemd/system/multi-user.target.wants/{haproxy,keepalived}.service
apt-get clean
rm -rf /var/lib/apt/lists/*
