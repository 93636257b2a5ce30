#!/bin/sh
# Restore a control plane with one member of etcd from an archive of backup.sh.
#
#   restore.sh ARCHIVE KEY.pem
#
# Run it as root on the machine that replaces the lost one: it has the same name and address,
# a container runtime, the kubelet (not set up) and the tools of backup.sh. Nothing is
# changed before the archive has proven to be whole, of this cluster, and no newer than the
# tools; a control plane that answers is left alone. What is in the way is moved aside.
#
# The restored revisions are far above those of before (--bump-revision), and the old ones
# count as compacted: whoever watched the lost control plane lists everything anew, and
# nobody goes on with objects that do not exist any more.
set -eu
refuse() { echo "$1; nothing was changed" >&2; exit 1; }
[ $# -eq 2 ] || { echo "usage: restore.sh ARCHIVE KEY.pem" >&2; exit 2; }
archive=$1 key=$2 data=/var/lib/etcd
[ -s "$archive" ] || refuse "the archive $archive is missing or empty"
[ -s "$key" ] || refuse "there is no key $key"
answer=$(curl --silent --insecure --max-time 5 https://127.0.0.1:6443/livez || true)
[ "$answer" != ok ] || refuse "the control plane of this node is alive: a restore would take back everything since the backup"

umask 077
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
openssl cms -decrypt -binary -inform DER -in "$archive" -inkey "$key" -out "$work/all.tar" 2>/dev/null ||
  refuse "the archive cannot be decrypted: it is for another key, or was changed or cut"
tar -C "$work" -xf "$work/all.tar" 2>/dev/null || refuse "the archive is no backup"
rm "$work/all.tar"
about() { sed -n "s/^$1=//p" "$work/about"; }
etcdutl snapshot status "$work/etcd.db" >/dev/null 2>&1 || refuse "the snapshot of etcd in the archive is damaged"

[ "$(about node)" = "$(hostname)" ] ||
  refuse "the archive is of node $(about node), and this is $(hostname): certificates and addresses would not fit"
mine=$(etcdutl version | sed -n 's/^etcdutl version: //p')
[ "$(printf '%s\n' "$(about etcd)" "$mine" | sort -V | tail -n 1)" = "$mine" ] ||
  refuse "the archive is of etcd $(about etcd), which is newer than $mine here"
if [ -e /etc/kubernetes/pki/ca.crt ]; then
  [ "$(sha256sum </etc/kubernetes/pki/ca.crt | cut -d ' ' -f 1)" = "$(about authority)" ] ||
    refuse "the archive is of another cluster: its authority is not the one in /etc/kubernetes/pki/ca.crt"
fi
need=$(($(wc -c <"$work/etcd.db") / 1024 * 3))
free=$(df -Pk "$data" | awk 'NR == 2 {print $4}')
[ "$free" -gt "$need" ] || refuse "$data has $free KiB free, and the restore needs $need"

flag() { sed -n "s/^ *- --$1=//p" "$work/kubernetes/manifests/etcd.yaml"; }
etcdutl snapshot restore "$work/etcd.db" --data-dir "$work/restored" --name "$(flag name)" \
  --initial-cluster "$(flag name)=$(flag initial-advertise-peer-urls)" --initial-advertise-peer-urls "$(flag initial-advertise-peer-urls)" \
  --bump-revision 1000000000 --mark-compacted >/dev/null 2>&1 || refuse "etcd's tool could not restore the snapshot"

echo "the archive is whole: restoring revision $(about revision)"
systemctl stop kubelet.service
aside=$data/before-restore-$(date +%s)
if [ -e "$data/member" ]; then
  mkdir "$aside"
  mv "$data/member" "$aside/"
  echo "the former data of etcd is in $aside"
fi
cp -a "$work/restored/member" "$data/member"
cp -a "$work/kubelet/." /var/lib/kubelet/
cp -a "$work/kubernetes/." /etc/kubernetes/
sync
systemctl start kubelet.service
for try in $(seq 300); do
  [ "$(curl --silent --insecure --max-time 5 https://127.0.0.1:6443/readyz || true)" != ok ] || { echo "the API is ready"; exit 0; }
  sleep 1
done
echo "the API is not ready after five minutes: look at journalctl -u kubelet and crictl ps -a" >&2
exit 1
