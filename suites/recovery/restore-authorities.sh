#!/bin/sh
# Put back what a control plane has lost outside of etcd, from an archive of backup.sh.
#
#   restore-authorities.sh ARCHIVE KEY.pem
#
# Run it as root on the master that the archive is of, which has etcd's data and has lost
# authorities, keys or certificates, or got others by mistake. It puts back every authority and
# key that is not as in the archive, and the certificates and kubeconfigs here that those
# authorities have not signed; others may have been renewed since, and stay. The control
# plane of this node starts anew. Nothing is changed when everything fits, or when the archive is
# damaged, or of another node or cluster. It needs openssl 3, tar and crictl.
set -eu
refuse() { echo "$1; nothing was changed" >&2; exit 1; }
[ $# -eq 2 ] || { echo "usage: restore-authorities.sh ARCHIVE KEY.pem" >&2; exit 2; }
archive=$1 key=$2 here=/etc/kubernetes
[ -s "$archive" ] || refuse "the archive $archive is missing or empty"
[ -s "$key" ] || refuse "there is no key $key"

umask 077
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
openssl cms -decrypt -binary -inform DER -in "$archive" -inkey "$key" -out "$work/all.tar" 2>/dev/null ||
  refuse "the archive cannot be decrypted: it is for another key, or was changed or cut"
tar -C "$work" -xf "$work/all.tar" 2>/dev/null || refuse "the archive is no backup"
was=$work/kubernetes
node=$(sed -n 's/^node=//p' "$work/about")
[ "$node" = "$(hostname)" ] || refuse "the archive is of node $node, and this is $(hostname)"

authorities="ca.crt ca.key front-proxy-ca.crt front-proxy-ca.key sa.pub sa.key etcd/ca.crt etcd/ca.key"
there='' alike=''
for file in $authorities; do
  [ ! -e "$here/pki/$file" ] || there=yes
  ! cmp -s "$was/pki/$file" "$here/pki/$file" || alike=yes
done
[ -z "$there" ] || [ -n "$alike" ] || refuse "the archive is of another cluster: it has no authority that is in $here/pki"

# signed tells whether the authority $1 of the archive has signed the certificate that it reads, whenever it is good.
signed() { openssl verify -no_check_time -CAfile "$was/pki/$1.crt" >/dev/null 2>&1; }
embedded() { sed -n "s/^ *$1-data: *//p" "$2" | base64 -d; }
lost=$(
  for file in $authorities; do cmp -s "$was/pki/$file" "$here/pki/$file" || echo "pki/$file"; done
  for pair in apiserver:ca apiserver-kubelet-client:ca front-proxy-client:front-proxy-ca apiserver-etcd-client:etcd/ca \
    etcd/server:etcd/ca etcd/peer:etcd/ca etcd/healthcheck-client:etcd/ca; do
    name=${pair%:*}
    [ -s "$here/pki/$name.key" ] && [ -s "$here/pki/$name.crt" ] && signed "${pair#*:}" <"$here/pki/$name.crt" || echo "pki/$name.crt pki/$name.key"
  done
  for name in admin super-admin controller-manager scheduler; do
    [ -s "$was/$name.conf" ] || continue
    [ -s "$here/$name.conf" ] && embedded certificate-authority "$here/$name.conf" | cmp -s - "$was/pki/ca.crt" &&
      embedded client-certificate "$here/$name.conf" | signed ca || echo "$name.conf"
  done
)
[ -n "$lost" ] || refuse "every authority and key is as in the archive, and has signed the certificates here"

echo "putting back:" $lost
trap 'rm -rf "$work"; systemctl start kubelet.service' EXIT
systemctl stop kubelet.service
mkdir -p "$here/pki/etcd"
for file in $lost; do cp -a "$was/$file" "$here/$file"; done
names="kube-scheduler kube-controller-manager kube-apiserver"
case "$lost" in *etcd/*) names="$names etcd" ;; esac
for name in $names; do
  for container in $(crictl ps --quiet --name "^$name\$"); do crictl stop --timeout 10 "$container" >/dev/null; done
done
systemctl start kubelet.service
for try in $(seq 300); do
  [ "$(curl --silent --insecure --max-time 5 https://127.0.0.1:6443/readyz || true)" != ok ] || { echo "the API is ready"; exit 0; }
  sleep 1
done
echo "the API is not ready after five minutes: look at journalctl -u kubelet and crictl ps -a" >&2
exit 1
