#!/bin/sh
# Let an etcd that is out of space take writes again: its data has outgrown its quota.
#
#   reclaim-space.sh
#
# Run it as root on one control-plane node that kubeadm has set up, with a member of etcd on it.
# End first whatever fills etcd. It compacts every revision but the latest, defragments one
# member after the other, and disarms the alarm. No object is lost. Nothing is changed when no
# member has the alarm NOSPACE, when the data of one is corrupt, or without a majority. A member
# that does not answer stays as large as it is: run this once more when it is back and has
# raised the alarm again. It needs etcdctl.
set -eu
pki=/etc/kubernetes/pki
refuse() { echo "$1; nothing was changed" >&2; exit 1; }
[ $# -eq 0 ] || { echo "usage: reclaim-space.sh" >&2; exit 2; }
here=https://127.0.0.1:2379
# etcd asks the member at the URL $1.
etcd() {
  url=$1
  shift
  etcdctl --endpoints="$url" --cacert="$pki/etcd/ca.crt" --cert="$pki/apiserver-etcd-client.crt" \
    --key="$pki/apiserver-etcd-client.key" --dial-timeout=5s --command-timeout=60s "$@"
}
# status prints a number that the member at the URL $1 tells of itself.
status() { etcd "$1" endpoint status --write-out=fields | sed -n "s/^\"$2\" : //p"; }

alarms=$(etcd $here alarm list) || refuse "etcd does not answer, as without a majority"
case "$alarms" in
  *CORRUPT*) refuse "the data of a member is corrupt ($alarms): replace that member first" ;;
  *NOSPACE*) ;;
  *) refuse "no member is out of space" ;;
esac

revision=$(status $here Revision)
said=$(etcd $here compact --physical "$revision" 2>&1) || case "$said" in
  *"has been compacted"*) ;;
  *) echo "etcd does not compact: $said" >&2; exit 1 ;;
esac
full=
for member in $(etcd $here member list | awk -F ', ' '$2 == "started" {split($5, urls, ","); print urls[1]}'); do
  said=$(etcd "$member" defrag 2>&1) || { echo "$member is not defragmented: $said" >&2; continue; }
  size=$(status "$member" DBSize) quota=$(status "$member" DBSizeQuota)
  echo "$member has $size bytes of $quota"
  [ "$size" -lt "$quota" ] || full=yes
done
[ -z "$full" ] || { echo "that is too much: delete objects, or raise --quota-backend-bytes, and run this again" >&2; exit 1; }
said=$(etcd $here alarm disarm 2>&1) || { echo "etcd does not disarm the alarm: $said" >&2; exit 1; }
sleep 2
[ -z "$(etcd $here alarm list)" ] || { echo "a member is out of space again: end first what fills it" >&2; exit 1; }
echo "etcd takes writes again"
