#!/bin/sh
# faultline-disk gives etcd on this node a disk of its own, breaks it and mends it.
#
# A device is a sparse file in /faultline/disks, which the nodes of one host share, on a
# loop device with ext4. It fails for real: ext4 is shut down, and from then on whatever
# touches the device gets EIO. A plain disk is one device. A mirror is btrfs (raid1) on
# one file on each of two devices, over two more loop devices.
#
# Mounts and loop devices end with the node's container: nothing else holds them. What
# has to outlive it, and what the nodes of the host have to agree on, are files in
# /faultline/disks: the images; <disk>-<n>.failed while the device has failed, <disk>-<n>.protected
# while it is read-only, <disk>.stalled while writes wait; <disk>.throttle with the limit;
# <disk>.mirror once btrfs has been made; <disk>.changed, which systemd watches on every
# node of the host, after a device has become another one.
set -eu

shared=/faultline/disks
data=/var/lib/etcd
member=$(uname -n)
[ ! -e /etc/faultline/disk ] || . /etc/faultline/disk # DISK, BYTES, DEVICES

die() { echo "faultline-disk: $*" >&2; exit 1; }

mirrored() { [ "$DEVICES" -gt 1 ]; }
numbers() { if mirrored; then echo 0 1; else echo 0; fi; }
image() { echo "$shared/$DISK-$1.img"; }
device() { echo "/faultline/device/$DISK-$1"; }
failed() { [ -e "$shared/$DISK-$1.failed" ]; }
protected() { [ -e "$shared/$DISK-$1.protected" ]; }
# top is where the filesystem is mounted that holds the data.
top() { if mirrored; then echo "/faultline/device/$DISK"; else device 0; fi; }

# lock keeps the nodes of the host apart. The longest that it is held is for the rebuild of
# a mirror.
lock() {
  exec 9<"$shared"
  flock -w 45 9 || die "another command holds the disks of this host"
}

# mounted prints what is mounted on the directory $1, the uppermost of several, as
# "major:minor root type". The mount table does not touch the filesystem.
mounted() {
  awk -v at="$1" '$5 == at { i = 7; while ($i != "-") i++; found = $3 " " $4 " " $(i+1) } END { print found }' /proc/self/mountinfo
}
source_of() { mounted "$1" | cut -d' ' -f1; }

# loop find TAG prints the loop device with that tag, loop free one without a file, and
# loop attach FILE TAG attaches the file to the device that is its standard input. A tag
# is in the kernel's field for a name. The kernel detaches such a device with its last
# user (flag 4, autoclear): even if we are killed here, nothing stays behind. A container's
# /dev does not get the nodes of later loop devices.
loop() {
  perl -we '
    use strict;
    my ($do, @args) = @ARGV;
    my ($configure, $status, $free) = (0x4C0A, 0x4C05, 0x4C82);
    sub node { -b "/dev/$_[0]" or system("mknod", "/dev/$_[0]", "b", 7, $_[0] =~ /(\d+)/) == 0 or exit 1; "/dev/$_[0]" }
    if ($do eq "find") {
      for (glob "/sys/block/loop*/loop") {
        open(my $loop, "<", node(m{/(loop\d+)/})) or next;
        my $info = "\0" x 232;
        ioctl($loop, $status, $info) && unpack("x56 Z64", $info) eq $args[0] or next;
        m{/(loop\d+)/} and print "/dev/$1\n" and last;
      }
    } elsif ($do eq "free") {
      open(my $control, "+<", "/dev/loop-control") or die "no loop devices: /dev/loop-control: $!\n";
      my $n = ioctl($control, $free, 0) // die "no loop device is free: $!\n";
      print node("loop" . ($n + 0)), "\n";
    } else {
      open(my $file, "+<", $args[0]) or die "$args[0]: $!\n";
      my $config = pack("L2 Q5 L4 a64 a64 a32 Q2 Q8", fileno($file), 0, (0) x 5, 0, 0, 0, 4, $args[1], "", "", (0) x 10);
      ioctl(STDIN, $configure, $config) or die "attach $args[0] to a loop device: $!\n";
    }' "$@"
}

# tag identifies a file on this machine, whichever node of the host looks at it.
tag() { echo "$(mounted "$(dirname "$1")") $(stat -c %i "$1")" | sha256sum | cut -c1-40; }

# attach opens a loop device of the file $1 as the descriptor $2, and sets $loop. If another
# node has one already, it is that one: two filesystems on one file would destroy it.
# Another user may take a free device first, or the last let go of a found one: try again.
attach() {
  tag=$(tag "$1")
  for try in 1 2 3 4 5 6 7 8 9 10; do
    loop=$(loop find "$tag")
    if [ -n "$loop" ]; then
      eval "exec $2<>$loop"
      [ "$(loop find "$tag")" != "$loop" ] || return 0
    else
      loop=$(loop free)
      eval "exec $2<>$loop"
      why=$(loop attach "$1" "$tag" 2>&1 <&"$2") && return 0
    fi
    eval "exec $2>&-"
  done
  die "${why:-$1 has a loop device that comes and goes}"
}

# leg is the size of a mirror's file on a device. It is larger than the mirror: a rebuild
# takes new chunks in turn, which a full btrfs does not have.
leg() { echo $((BYTES + BYTES / 2)); }

# create makes the image $1 of a device. The device of a mirror has to hold a file beside
# what ext4 takes. It needs no journal: after a failure it is replaced.
create() {
  rm -f "$1.part"
  if mirrored; then
    truncate -s $(($(leg) + BYTES / 16 + (16 << 20))) "$1.part"
    mkfs.ext4 -q -m 0 -N 64 -O ^has_journal -E nodiscard "$1.part"
  else
    truncate -s "$BYTES" "$1.part"
    mkfs.ext4 -q -m 0 -N 8192 -J size=16 -E nodiscard "$1.part"
  fi
  mv "$1.part" "$1"
}

# insert mounts the device with the image $1 on $2. The file "device" is what can be read
# of a device that works.
insert() {
  attach "$1" 5
  if [ "$(source_of "$2")" != "7:${loop#/dev/loop}" ]; then
    withdraw "$2"
    mkdir -p "$2"
    mount -t ext4 -o noinit_itable "$loop" "$2"
    if mirrored; then fallocate -l "$(leg)" "$2/device"; elif [ ! -e "$2/device" ]; then echo "$DISK" >"$2/device"; fi
  fi
  exec 5>&-
}

# withdraw unmounts what may still be in use.
withdraw() { while [ -n "$(mounted "$1")" ]; do umount -l "$1"; done; }

# present ends what would hit the node's own filesystem, and this machine's, without the disk.
present() { [ -n "$(mounted "$(top)")" ] || die "the disk $DISK is not mounted"; }

# up makes everything as it should be, whatever is there already: at each boot, and when
# another node of the host has replaced a device.
up() {
  guard
  for n in $(numbers); do
    [ -e "$(image "$n")" ] || create "$(image "$n")"
    # A failed device that is there is left alone.
    if ! failed "$n" || [ -z "$(mounted "$(device "$n")")" ]; then insert "$(image "$n")" "$(device "$n")"; fi
  done
  if mirrored && [ -z "$(mounted "$(top)")" ]; then assemble; fi
  offer
  for n in $(numbers); do
    if failed "$n"; then shut_down "$n"; fi
    if protected "$n"; then trip "$n"; fi
  done
}

# assemble mounts the mirror from the devices that have not failed.
assemble() {
  options=nodiscard
  for n in $(numbers); do
    if failed "$n"; then options=$options,degraded; continue; fi
    attach "$(device "$n")/device" $((6 + n))
    options=$options,device=$loop
    any=$loop
  done
  if [ ! -e "$shared/$DISK.mirror" ]; then
    mkfs.btrfs -q -f -K -b "$BYTES" -d raid1 -m raid1 $(echo "$options" | tr , '\n' | sed -n 's/^device=//p') >/dev/null
    : >"$shared/$DISK.mirror"
  fi
  mkdir -p "$(top)"
  mount -t btrfs -o "$options" "${any:?both devices of the mirror $DISK have failed}" "$(top)"
  exec 6>&- 7>&-
}

# guard makes sure that etcd finds either its own directory or one that it cannot write: in
# an empty one it would start anew.
guard() {
  case "$(mounted "$data")" in
    *" /$member "* | *" tmpfs") ;;
    *) mkdir -p "$data" && mount -t tmpfs -o ro,size=4k guard "$data" ;;
  esac
}

# offer mounts the member's directory where etcd keeps its data. An etcd that has another
# one open, of a device that is gone, has to start again.
offer() {
  if [ "$(source_of "$data")" = "$(source_of "$(top)")" ]; then return; fi
  [ -d "$(top)/$member" ] || mkdir -m 700 "$(top)/$member"
  again=
  if [ "$(mounted "$data" | cut -d' ' -f2)" = "/$member" ]; then
    umount -l "$data"
    again=yes
  fi
  mount --bind "$(top)/$member" "$data"
  [ -z "$again" ] || pkill -KILL -x etcd || true
}

# shut_down ends ext4 on the device $1 without writing anything more (EXT4_IOC_SHUTDOWN
# with the flag NOLOGFLUSH). Nothing short of another mount brings it back.
shut_down() {
  perl -we '
    my $flag = pack("L", 2);
    open(my $root, "<", $ARGV[0]) or die "$ARGV[0]: $!\n";
    ioctl($root, 0x8004587D, $flag) or die "shut down $ARGV[0]: $!\n"' "$(device "$1")"
}

fail() {
  [ -n "$(mounted "$(device "$1")")" ] || die "$DISK has no device $1"
  if mirrored && failed $((1 - $1)); then die "the other device of the mirror $DISK has failed already"; fi
  : >"$shared/$DISK-$1.failed"
  shut_down "$1"
}

# trip tells ext4 on the device $1 of an error, and that it is to react to errors as most
# systems do: it writes nothing more and refuses to (EROFS). Only another mount changes
# that. Nodes see sysfs read-only; one that may be written goes with another network namespace.
trip() {
  if tripped "$1"; then return; fi
  mount -o remount,errors=remount-ro "$(device "$1")"
  unshare --mount --net sh -c 'mount -t sysfs sysfs /sys && echo faultline >"/sys/fs/ext4/loop$1/trigger_fs_error"' sh \
    "$(source_of "$(device "$1")" | cut -d: -f2)"
}

# tripped looks for ext4's word for it, which was ro in older kernels.
tripped() { awk -v at="$(device "$1")" '$5 == at { found = $NF } END { exit found !~ /(^|,)(emergency_)?ro(,|$)/ }' /proc/self/mountinfo; }

protect() {
  if mirrored; then die "$DISK is a mirror, which cannot be told to be read-only"; fi
  : >"$shared/$DISK-0.protected"
  trip 0
}

# unprotect gives the disk back as an administrator does, checked and mounted anew.
unprotect() {
  protected 0 || return 0
  revive 0
}

# restore undoes fail: the mirror gets a new device, a plain disk its own with its data.
restore() {
  failed "$1" || return 0
  if mirrored; then replace "$1"; else revive "$1"; fi
}

# revive gives the failed device $1 of a plain disk back. It is a copy, because the dead
# filesystem stays in the kernel, and on its loop device, until every node of the
# host has let go of it, and may not be on the same file as a living one.
revive() {
  busy=/sys/block/loop$(source_of "$(device "$1")" | cut -d: -f2)/inflight
  for try in $(seq 50); do
    [ "$(tr -d ' \n' <"$busy")" != 00 ] || break
    sleep 0.1
  done
  cp --sparse=always "$(image "$1")" "$(image "$1").part"
  if protected "$1"; then e2fsck -f -p "$(image "$1").part" >/dev/null || [ $? -eq 1 ] || die "ext4 on $(image "$1") cannot be repaired"; fi
  sync "$(image "$1").part"
  mv "$(image "$1").part" "$(image "$1")"
  changed "$1"
  up
}

# replace puts a new, empty device in the place of the device $1 of a mirror, and
# returns when it holds everything. The filesystem stays in use. What follows $1 is the
# command of an administrator who rebuilds the mirror in another way: it gets the new device.
replace() {
  number=$1
  shift
  mirrored || die "$DISK is no mirror: there is nothing to rebuild a device from"
  other=$((1 - number))
  if failed "$other"; then die "the other device of the mirror $DISK has failed: there is nothing to rebuild from"; fi
  new=$(image "$number").new
  withdraw "$(device "$number").new"
  rm -f "$new"
  create "$new"
  insert "$new" "$(device "$number").new"
  attach "$(device "$other")/device" 6
  keep=$loop
  attach "$(device "$number").new/device" 7
  btrfs replace cancel "$(top)" >/dev/null 2>&1 || true
  if [ $# -gt 0 ]; then "$@" "$loop"; else rebuild || die "the mirror $DISK is not rebuilt; if it is full, free some space and try again"; fi
  exec 6>&- 7>&-
  mv "$new" "$(image "$number")"
  insert "$(image "$number")" "$(device "$number")"
  withdraw "$(device "$number").new"
  btrfs scrub start -B "$(top)" >/dev/null || die "the mirror $DISK is damaged: $(btrfs scrub status "$(top)")"
  btrfs device stats -z "$(top)" >/dev/null
  # Last: whatever interrupts this, the undo of a failure starts anew.
  changed "$number"
}

# rebuild makes the mirror consist of $keep, which it has, and $loop. A device that is
# merely broken is replaced; -r: it is read only where the other does not do. For a mirror
# that was mounted without a device, btrfs replace would need a lot of space: such a one
# gets another device, and then what was kept once is kept twice.
rebuild() {
  if ! members | grep -q missing; then
    old=$(members | awk -v keep="$keep" '$2 != keep { print $1 }')
    copy "$old" 2>/dev/null || { grow && copy "$old"; }
    return
  fi
  grow &&
    [ "$(room)" -ge $((BYTES / 4)) ] &&
    btrfs device add -f -K "$loop" "$(top)" >/dev/null &&
    while members | grep -q missing; do btrfs device remove missing "$(top)" || return; done &&
    btrfs balance start -dconvert=raid1,soft -mconvert=raid1,soft "$(top)" >/dev/null
}

copy() { btrfs replace start -B -f -r -K "$1" "$loop" "$(top)" >/dev/null; }

# room prints how much of $keep is free for chunks. btrfs may abort without enough of it.
room() {
  btrfs device usage --raw "$(top)" 2>/dev/null |
    awk -v device="$keep," '$1 == device { here = 1 } here && $1 == "Unallocated:" { print $2; exit }'
}

# members prints number and path of each device of the mirror, or the word missing.
members() {
  btrfs filesystem show --raw "$(top)" 2>/dev/null | awk '$1 == "devid" { print $2, (/MISSING/ ? "missing" : $NF) } /Some devices missing/ { print "0 missing" }'
}

# grow lets a mirror without free chunks have the room that is kept for this. It does not
# shrink again: btrfs may abort over that, and be read-only from then on.
grow() {
  for id in $(members | awk '$2 != "missing" { print $1 }'); do
    btrfs filesystem resize "$id:max" "$(top)" >/dev/null 2>&1 || return
  done
}

# changed tells the nodes of the host that the device $1 is another one.
changed() {
  rm -f "$shared/$DISK-$1.failed" "$shared/$DISK-$1.protected"
  : >"$shared/$DISK.changed"
}

# free takes the filling away, of space or of inodes. btrfs gives back the chunks, which a
# rebuild needs, only late by itself.
free() {
  rm -rf "$(top)"/.fill-* "$(top)/.inodes"
  # Else a device that fails next would bring the files back.
  sync -f "$(top)" || true
  if mirrored; then btrfs balance start -dusage=0 "$(top)" >/dev/null || true; fi
}

available() { df --block-size=1 --output=avail "$(top)" | tail -n 1; }

# fill takes all space but $1 bytes, to 1 MiB. btrfs may refuse the whole and allow a part.
fill() {
  for n in $(seq 60); do
    rest=$(($(available) - $1))
    [ "$rest" -gt $((1 << 20)) ] || return 0
    fallocate -l "$rest" "$(top)/.fill-$n" 2>/dev/null || fallocate -l $((rest / 4 + 1)) "$(top)/.fill-$n" 2>/dev/null || true
  done
  die "$(available) bytes of $DISK are still free"
}

inodes() { df --output=iavail "$(top)" | tail -n 1; }

# fill_inodes takes every inode, and hardly any space. Who uses the disk may give one back.
fill_inodes() {
  if mirrored; then die "$DISK is a mirror, whose btrfs has no fixed number of inodes"; fi
  mkdir -p "$(top)/.inodes"
  for n in $(seq 10); do
    left=$(inodes)
    [ "$left" -gt 0 ] || return 0
    (cd "$(top)/.inodes" && seq -f "$n-%g" "$left" | xargs touch) 2>/dev/null || true
  done
  die "$(inodes) inodes of $DISK are still free"
}

# stall lets every write wait (FIFREEZE), with all that was written on the disk. Who waits
# cannot be killed, and so neither can the node: see resumeDisks in delete.go.
stall() {
  : >"$shared/$DISK.stalled"
  fsfreeze --freeze "$(top)"
}

# resume undoes stall. EINVAL: it is not frozen.
resume() {
  why=$(LC_ALL=C fsfreeze --unfreeze "$(top)" 2>&1) || case "$why" in
    *"Invalid argument"*) ;;
    *) die "$why" ;;
  esac
  rm -f "$shared/$DISK.stalled"
}

# blocks prints the block devices below the filesystem, as major:minor.
blocks() {
  if mirrored; then
    members | sed -n 's,.* /dev/loop,7:,p'
  else
    source_of "$(top)"
  fi
}

# groups prints the control groups, as directories, of the etcds here. Version 1 limits
# the processes of a group itself and not those of its children.
groups() {
  for p in $(pgrep -x etcd); do
    if [ -d /sys/fs/cgroup/blkio ]; then
      sed -n 's,^[0-9]*:blkio:,/sys/fs/cgroup/blkio,p' "/proc/$p/cgroup" 2>/dev/null || true
    else
      sed -n 's,^0::,/sys/fs/cgroup,p' "/proc/$p/cgroup" 2>/dev/null || true
    fi
  done | sort -u
}

# limit sets the limit $3 (0: none) of the group $1 for the device $2, if it is another:
# each setting gives the group a new allowance.
limit() {
  [ "$(limit_of "$1" "$2")" != "$3" ] || return 0
  if [ -e "$1/io.max" ]; then
    rate=$3
    [ "$rate" != 0 ] || rate=max
    echo "$2 rbps=$rate wbps=$rate" >"$1/io.max"
  else
    echo "$2 $3" >"$1/blkio.throttle.read_bps_device"
    echo "$2 $3" >"$1/blkio.throttle.write_bps_device"
  fi
}

# limit_of prints the limit on writing of the group $1 for the device $2, 0 for none.
limit_of() {
  if [ -e "$1/io.max" ]; then
    awk -v d="$2" '$1 == d && $3 != "wbps=max" { l = substr($3, 6) } END { print l + 0 }' "$1/io.max"
  else
    awk -v d="$2" '$1 == d { l = $2 } END { print l + 0 }' "$1/blkio.throttle.write_bps_device"
  fi
}

# limits prints the limit of each etcd for each device.
limits() {
  found=$(groups)
  [ -n "$found" ] || die "no etcd runs here, so that nothing can be throttled"
  for group in $found; do
    [ -e "$group/io.max" ] || [ -e "$group/blkio.throttle.write_bps_device" ] || die "the control group of etcd has no I/O controller: $group"
    for block in $(blocks); do limit_of "$group" "$block"; done
  done
}

# brake limits whatever etcd runs here, until the file with the limit is gone. An etcd
# that starts has a new group without a limit.
brake() {
  while rate=$(cat "$shared/$DISK.throttle" 2>/dev/null); do
    for group in $(groups); do
      for block in $(blocks); do limit "$group" "$block" "$rate" || true; done
    done
    sleep 0.5
  done
}

# release takes back what brake has done, also where etcd is gone.
release() {
  for file in $(find /sys/fs/cgroup -name blkio.throttle.write_bps_device -o -name io.max); do
    for block in $(blocks); do limit "$(dirname "$file")" "$block" 0 || true; done
  done
}

# throttle limits etcd on every node of the host: their systemds watch for the file.
throttle() {
  echo "$1" >"$shared/$DISK.throttle.part"
  mv "$shared/$DISK.throttle.part" "$shared/$DISK.throttle"
}

unthrottle() {
  rm -f "$shared/$DISK.throttle"
  systemctl stop etcd-disk-limit.service 2>/dev/null
}

# time_write prints how many milliseconds etcd would wait until $1 bytes are on the disk.
time_write() {
  group=$(groups | head -n 1)
  echo $$ >"${group:?no etcd runs here}/cgroup.procs"
  start=$(date +%s%N)
  dd if=/dev/zero of="$(top)/.time" bs="$1" count=1 oflag=dsync status=none
  echo $((($(date +%s%N) - start) / 1000000))
  rm -f "$(top)/.time"
}

# status prints what is wrong on purpose, a line each.
status() {
  for n in $(numbers); do
    if failed "$n"; then echo "device $n has failed"; fi
    if protected "$n"; then echo "it is read-only"; fi
  done
  if [ -e "$shared/$DISK.stalled" ]; then echo "it is stalled"; fi
  if [ -e "$(top)/.inodes" ]; then echo "its inodes are taken"; fi
  if [ -e "$(top)/.fill-1" ]; then echo "it is filled"; fi
  if [ -e "$shared/$DISK.throttle" ]; then echo "it is throttled to $(cat "$shared/$DISK.throttle") bytes a second"; fi
  for group in $(groups); do
    for block in $(blocks); do
      rate=$(limit_of "$group" "$block")
      [ "$rate" = 0 ] || echo "etcd is limited to $rate bytes a second"
    done
  done
}

# configure says what disk this node has: name, bytes of each device, number of devices.
configure() {
  mkdir -p /etc/faultline
  printf 'DISK=%s\nBYTES=%s\nDEVICES=%s\n' "$1" "$2" "$3" >/etc/faultline/disk
  . /etc/faultline/disk
}

# install gives this node the disk and writes the units that do so at each boot. Without
# the disk no etcd may start: it would do so with an empty directory. The accounting gives
# etcd a control group that can be limited.
install() {
  configure "$@"
  units=/etc/systemd/system
  cat >$units/etcd-disk.service <<END
[Unit]
Description=The disk of etcd
Before=kubelet.service containerd.service etcd.service
StartLimitIntervalSec=0
[Service]
Type=oneshot
ExecStart=/usr/local/bin/faultline-disk up
[Install]
WantedBy=multi-user.target
RequiredBy=kubelet.service etcd.service
END
  cat >$units/etcd-disk.path <<END
[Unit]
Description=Devices that other nodes of the host replaced
[Path]
PathChanged=$shared/$DISK.changed
[Install]
WantedBy=multi-user.target
END
  cat >$units/etcd-disk-limit.service <<END
[Unit]
Description=The limit of etcd's disk
StartLimitIntervalSec=0
[Service]
ExecStart=/usr/local/bin/faultline-disk brake
ExecStopPost=/usr/local/bin/faultline-disk release
END
  cat >$units/etcd-disk-limit.path <<END
[Unit]
Description=A limit of etcd's disk
[Path]
PathExists=$shared/$DISK.throttle
[Install]
WantedBy=multi-user.target
END
  mkdir -p $units/etcd.service.d
  cat >$units/etcd.service.d/etcd-disk.conf <<END
[Service]
IOAccounting=yes
END
  lock
  up
}

# check tries everything out with a disk as for configure. It ends with the status 3 and a
# reason when this machine cannot have such a disk.
check() {
  configure "$@"
  need="mkfs.ext4 perl flock fallocate"
  if mirrored; then need="$need mkfs.btrfs btrfs"; fi
  for tool in $need; do
    command -v "$tool" >/dev/null || lack "the node image has no $tool"
  done
  [ -c /dev/loop-control ] || lack "there are no loop devices (/dev/loop-control)"
  why=$("$0" up 2>&1) || lack "no filesystem on a loop device: $why"
  why=$("$0" fail 0 2>&1) || lack "a device cannot be made to fail: $why"
  if (: >"$(device 0)/check") 2>/dev/null; then lack "a device that was made to fail can still be written"; fi
  if mirrored; then (echo check >"$data/check" && sync "$data/check") || lack "the mirror does not survive the failure of a device"; fi
  why=$("$0" restore 0 2>&1) || lack "a device cannot be replaced: $why"
}

lack() {
  echo "$*" >&2
  exit 3
}

do=$1
shift
case "$do" in
  up) lock; up ;;
  fail | restore | replace | protect | unprotect) lock; up; "$do" "$@" ;;
  status | fill | fill_inodes | free | stall | resume | throttle | unthrottle | limits | time_write) present; "$do" "$@" ;;
  install | check | brake | release) "$do" "$@" ;;
  *) die "unknown command $do" ;;
esac
