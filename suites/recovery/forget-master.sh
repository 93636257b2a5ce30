#!/bin/sh
# Remove what is left of a lost master, so that a new machine may take its place.
#
#   forget-master.sh NODE
#
# Run it as root on a control-plane node of kubeadm's that is left, while etcd has a majority.
# It removes the lost node's member of etcd, which would count against the majority and which
# force-new-cluster.sh has removed already, and the node itself. Then invite-master.sh and
# join-master.sh add a new machine, which has the name that you like. Nothing is changed when
# the node is alive or no master.
set -eu
[ $# -eq 1 ] || { echo "usage: forget-master.sh NODE" >&2; exit 2; }
lost=$1 pki=/etc/kubernetes/pki
refuse() { echo "$1; nothing was changed" >&2; exit 1; }
# The API server of this node, because a load balancer may lead to the lost ones.
api() { kubectl --kubeconfig=/etc/kubernetes/admin.conf --server=https://127.0.0.1:6443 --tls-server-name=kubernetes --request-timeout=30s "$@"; }
members() {
  etcdctl --endpoints=https://127.0.0.1:2379 --cacert="$pki/etcd/ca.crt" --cert="$pki/apiserver-etcd-client.crt" \
    --key="$pki/apiserver-etcd-client.key" --dial-timeout=5s --command-timeout=15s "$@"
}
[ "$lost" != "$(hostname)" ] || refuse "$lost is this node"
list=$(members member list) || refuse "etcd does not answer: without a majority use force-new-cluster.sh"
id=$(echo "$list" | awk -F ', ' -v name="$lost" '$3 == name {print $1}')
master=$(api get nodes --selector=node-role.kubernetes.io/control-plane --field-selector="metadata.name=$lost" --output=name) ||
  refuse "the API does not answer"
[ -n "$id$master" ] || refuse "etcd has no member $lost, and the API no such master; etcd has: $(echo "$list" | awk -F ', ' '{print $3}' | tr '\n' ' ')"
if address=$(api get node "$lost" --output=jsonpath='{.status.addresses[?(@.type=="InternalIP")].address}' 2>/dev/null) && [ -n "$address" ]; then
  answer=$(curl --silent --insecure --max-time 5 "https://$address:6443/livez" || true)
  [ "$answer" != ok ] || refuse "the API server of $lost is alive"
fi
[ -z "$id" ] || members member remove "$id" >/dev/null
api delete node "$lost" --ignore-not-found >/dev/null
echo "$lost is forgotten: etcd has $(members member list | wc -l) members"
