#!/bin/sh
# Pack what a new master needs of a cluster: the authorities that all masters have in common.
#
#   invite-master.sh AUTHORITIES
#
# Run it as root on a control-plane node of kubeadm's that is left, while etcd has a majority.
# It writes AUTHORITIES, an archive for join-master.sh, which is the other half. Whoever has
# that has the cluster: bring it straight to the new machine, and remove it in both places.
# Machines join one after the other. Nothing is written while a lost master is not forgotten
# yet, while another one joins, or while etcd would drop a new member with its next start.
set -eu
[ $# -eq 1 ] || { echo "usage: invite-master.sh AUTHORITIES" >&2; exit 2; }
archive=$1 pki=/etc/kubernetes/pki manifest=/etc/kubernetes/manifests/etcd.yaml
refuse() { echo "$1; nothing was changed" >&2; exit 1; }
names() { awk -F ', ' "$1"' {print $3 ? $3 : $1}' | sort | tr '\n' ' '; }
[ -e "$manifest" ] || refuse "this node has no member of etcd of kubeadm's ($manifest)"
! grep -q -e --force-new-cluster "$manifest" || refuse "etcd still has --force-new-cluster, and would drop new members: finish force-new-cluster.sh"
list=$(etcdctl --endpoints=https://127.0.0.1:2379 --cacert="$pki/etcd/ca.crt" --cert="$pki/apiserver-etcd-client.crt" \
  --key="$pki/apiserver-etcd-client.key" --dial-timeout=5s --command-timeout=15s member list) ||
  refuse "etcd does not answer: without a majority use force-new-cluster.sh"
joining=$(echo "$list" | names '$2 != "started" || $NF != "false"')
[ -z "$joining" ] || refuse "etcd waits for a member to start or to vote: $joining"
# The API server of this node, because a load balancer may lead to lost ones.
masters=$(kubectl --kubeconfig=/etc/kubernetes/admin.conf --server=https://127.0.0.1:6443 --tls-server-name=kubernetes \
  --request-timeout=30s get nodes --selector=node-role.kubernetes.io/control-plane --output=name) || refuse "the API does not answer"
masters=$(echo "$masters" | sed 's|^node/||' | sort | tr '\n' ' ')
members=$(echo "$list" | names 1)
[ "$masters" = "$members" ] || refuse "the masters ($masters) are not the members of etcd ($members): forget the lost ones with forget-master.sh"

umask 077
trap 'rm -f "$archive.part"' EXIT
tar -C "$pki" -cf "$archive.part" ca.crt ca.key front-proxy-ca.crt front-proxy-ca.key sa.pub sa.key etcd/ca.crt etcd/ca.key
mv "$archive.part" "$archive"
echo "$archive has the cluster's authorities. On the new machine run: sh join-master.sh $archive, with --control-plane" \
  "and what 'kubeadm token create --print-join-command' prints here behind 'kubeadm join'"
