#!/bin/sh
# Back up a control plane: everything that etcd has, and the state that is outside of it.
#
#   backup.sh ARCHIVE RECIPIENT.pem
#
# Run it as root on a control-plane node that kubeadm has set up, with etcd on it. It writes
# ARCHIVE, which holds a verified snapshot of etcd, the certificates and keys of all
# authorities, the kubeconfigs, the manifests and the kubelet's configuration. All of it is
# secret: it is encrypted for the certificate RECIPIENT.pem (AES-256-GCM), so that the node
# cannot read it again, and a changed archive is refused. Copy the archive to another
# failure domain, and keep the key to the certificate elsewhere. restore.sh is the other half.
#
# It needs etcdctl and etcdutl of etcd's own version, openssl 3, and tar.
set -eu
[ $# -eq 2 ] || { echo "usage: backup.sh ARCHIVE RECIPIENT.pem" >&2; exit 2; }
archive=$1 recipient=$2 pki=/etc/kubernetes/pki
[ -s "$recipient" ] || { echo "there is no certificate $recipient to encrypt for; nothing was written" >&2; exit 1; }
[ -e "$pki/etcd/server.crt" ] || { echo "this node has no member of etcd of kubeadm's ($pki/etcd/server.crt); nothing was written" >&2; exit 1; }

umask 077
work=$(mktemp -d)
trap 'rm -rf "$work" "$archive.part"' EXIT
etcdctl --endpoints=https://127.0.0.1:2379 --cacert="$pki/etcd/ca.crt" \
  --cert="$pki/etcd/healthcheck-client.crt" --key="$pki/etcd/healthcheck-client.key" \
  snapshot save "$work/etcd.db" >/dev/null 2>&1 || { echo "etcd on this node gave no snapshot: is it healthy?" >&2; exit 1; }
etcdutl snapshot status "$work/etcd.db" --write-out=json >"$work/status.json"

cp -a /etc/kubernetes "$work/kubernetes"
mkdir "$work/kubelet"
for file in config.yaml kubeadm-flags.env pki; do
  [ ! -e "/var/lib/kubelet/$file" ] || cp -a "/var/lib/kubelet/$file" "$work/kubelet/"
done
cat >"$work/about" <<END
node=$(hostname)
etcd=$(etcdutl version | sed -n 's/^etcdutl version: //p')
authority=$(sha256sum <"$pki/ca.crt" | cut -d ' ' -f 1)
revision=$(sed -n 's/.*"revision":\([0-9]*\).*/\1/p' "$work/status.json")
END
tar -C "$work" -cf "$work/all.tar" about status.json etcd.db kubernetes kubelet
openssl cms -encrypt -binary -aes-256-gcm -in "$work/all.tar" -outform DER -out "$archive.part" "$recipient"
sync "$archive.part"
mv "$archive.part" "$archive"
echo "$archive: $(wc -c <"$archive") bytes, $(sed -n 's/^revision=/revision /p' "$work/about")"
