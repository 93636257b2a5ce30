# Runs in the container that becomes the node image, with an image archive on
# its standard input. Images go into a containerd whose data is in a mounted
# folder, because overlayfs cannot nest on the container's own filesystem.
#   $1  start | unpack | keep | finish
set -euo pipefail
data=/build/containerd

case "$1" in
start)
  nohup containerd --root "$data" --state /run/containerd > /build/log 2>&1 &
  for _ in {1..100}; do
    if ctr version > /dev/null 2>&1; then exit 0; fi
    sleep 0.1
  done
  tail -n 20 /build/log >&2
  exit 1
  ;;
unpack)
  # The layers are in the snapshots; keeping them as well would be waste.
  ctr -n k8s.io images import --local --discard-unpacked-layers --label=io.cri-containerd.pinned=pinned - > /dev/null
  ;;
keep)
  # For images that few nodes run: they stay compressed until then.
  ctr -n k8s.io images import --local --no-unpack --label=io.cri-containerd.pinned=pinned - > /dev/null
  ;;
finish)
  # Ending a lease and waiting for it makes the collector remove the layers.
  ctr -n k8s.io leases create --id sweep > /dev/null
  ctr -n k8s.io leases delete --sync sweep > /dev/null
  pkill -x containerd
  # Process 1 of this container reaps nobody, so a dead containerd stays a zombie.
  while pgrep --runstates D,R,S,T -x containerd > /dev/null; do sleep 0.1; done
  for mount in $(findmnt -rno TARGET | grep "^$data" || true); do umount "$mount"; done
  rm -rf /var/lib/containerd
  cp -a "$data" /var/lib/containerd
  rm -rf /run/containerd /var/lib/containerd/tmpmounts
  du -s --block-size=1 /var/lib/containerd | cut -f1
  ;;
esac
