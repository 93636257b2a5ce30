#!/bin/sh
# Put a new device in the place of the one that has failed, of the mirror that has etcd's data.
#
#   replace-device.sh DEVICE
#
# Run it as root on a machine whose /var/lib/etcd is on a btrfs that keeps everything twice
# (raid1). DEVICE is the new one: empty, and no smaller than the others. etcd goes on meanwhile.
# In the end a check of all checksums has proved that both devices hold everything. Nothing is
# changed when no device has failed, or more than one has, or DEVICE does not fit.
# It needs btrfs, findmnt, blkid and blockdev.
set -eu
[ $# -eq 1 ] || { echo "usage: replace-device.sh DEVICE" >&2; exit 2; }
new=$1 data=/var/lib/etcd
refuse() { echo "$1; nothing was changed" >&2; exit 1; }
top=$(findmnt --noheadings --types btrfs --output TARGET --target "$data" | tail -n 1)
[ -n "$top" ] && btrfs filesystem df "$top" | grep -q '^Data, RAID1:' || refuse "$data is on no mirror of btrfs"

erring=" $(btrfs device stats "$top" | awk '$NF > 0 {split($1, part, /[][]/); print part[2]}' | tr '\n' ' ')"
failed=$(btrfs device usage --raw "$top" | sed -n 's/^\(.*\), ID: *\([0-9]*\)$/\2 \1/p' | while read -r id path; do
  case "$path$erring" in "<missing "* | missing* | *" $path "*) echo "$id" ;; esac
done)
case $(echo "$failed" | wc -w) in
  0) refuse "no device of the mirror is missing or has had errors" ;;
  1) ;;
  *) refuse "several devices of the mirror are missing or have had errors: restore from a backup, or, if these are old errors, forget them (btrfs device stats -z $top)" ;;
esac
[ -b "$new" ] || refuse "$new is no block device"
! btrfs filesystem show --raw "$top" 2>/dev/null | grep -q " path $new\$" || refuse "$new is in the mirror already"
! blkid --probe "$new" >/dev/null 2>&1 || refuse "$new has something on it: wipe it first (wipefs --all $new)"
need=$(btrfs filesystem show --raw "$top" 2>/dev/null | awk '$1 == "devid" && $4 > most {most = $4} END {printf "%d", most}')
[ "$(blockdev --getsize64 "$new")" -ge "$need" ] || refuse "$new has $(blockdev --getsize64 "$new") bytes, and the mirror needs $need"

echo "replacing device $failed of the mirror at $top"
btrfs replace start -B -r "$failed" "$new" "$top"
# What was written while a device was missing may have been written once.
btrfs balance start -dconvert=raid1,soft -mconvert=raid1,soft "$top" >/dev/null
btrfs scrub start -B "$top" >/dev/null || { echo "the mirror is damaged: $(btrfs scrub status "$top")" >&2; exit 1; }
btrfs device stats -z "$top" >/dev/null
echo "the mirror is whole: both devices hold everything"
