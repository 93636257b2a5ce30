#!/bin/sh
# Make this machine a master of a cluster that is there.
#
#   join-master.sh AUTHORITIES ARGUMENT...
#
# Run it as root on the new machine: it has a container runtime, the kubelet (not set up),
# kubeadm and curl. AUTHORITIES is the archive of invite-master.sh. The arguments are those of
# kubeadm join: --config=FILE, or --control-plane and what "kubeadm token create
# --print-join-command" prints on another master. Nothing is changed when the archive is not
# whole, or when this machine has a control plane or the data of an etcd: a lost member must
# never be started again.
set -eu
[ $# -ge 2 ] || { echo "usage: join-master.sh AUTHORITIES ARGUMENT..." >&2; exit 2; }
archive=$1 pki=/etc/kubernetes/pki data=/var/lib/etcd log=/var/log/kubeadm-join.log
shift
refuse() { echo "$1; nothing was changed" >&2; exit 1; }
[ -s "$archive" ] || refuse "the archive $archive is missing or empty"
[ -z "$(ls /etc/kubernetes/manifests 2>/dev/null)" ] || refuse "this machine has a control plane (/etc/kubernetes/manifests)"
[ ! -e "$data/member" ] || refuse "this machine has the data of an etcd ($data/member), which would go on with it"

umask 077
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tar -C "$work" -xf "$archive" 2>/dev/null || refuse "the archive is damaged"
for file in ca.crt ca.key front-proxy-ca.crt front-proxy-ca.key sa.pub sa.key etcd/ca.crt etcd/ca.key; do
  [ -s "$work/$file" ] || refuse "the archive has no $file"
done
umask 022
mkdir -p "$pki"
tar -C "$pki" -xf "$archive"
kubeadm join "$@" </dev/null >"$log" 2>&1 || { tail -n 30 "$log" >&2; exit 1; }
for try in $(seq 300); do
  [ "$(curl --silent --insecure --max-time 5 https://127.0.0.1:6443/readyz || true)" != ok ] || { echo "this machine is a master: its API is ready"; exit 0; }
  sleep 1
done
echo "the API of this machine is not ready after five minutes: look at journalctl -u kubelet and crictl ps -a" >&2
exit 1
