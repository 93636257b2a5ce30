#!/bin/sh
# Make the last member of an etcd whose majority is gone for good an etcd of its own.
#
#   force-new-cluster.sh
#
# Run it as root on the machine of the member that is left: a control-plane node of kubeadm's,
# where etcd is a static pod, or one where it is the service etcd. The member keeps
# everything that it has; what the others had alone is lost. They must never be started
# again, as they would be another etcd with the same name. Nothing is changed while the
# member has a majority. It needs etcdctl.
set -eu
pki=/etc/kubernetes/pki manifest=/etc/kubernetes/manifests/etcd.yaml
[ $# -eq 0 ] || { echo "usage: force-new-cluster.sh" >&2; exit 2; }
ask() {
  etcdctl --endpoints=https://127.0.0.1:2379 --cacert="$pki/etcd/ca.crt" --cert="$pki/apiserver-etcd-client.crt" \
    --key="$pki/apiserver-etcd-client.key" --dial-timeout=3s --command-timeout=5s get anything >/dev/null 2>&1
}
answers() {
  for try in $(seq 120); do
    if ask; then return 0; fi
    sleep 1
  done
  echo "etcd does not answer after $1: look at its log" >&2
  exit 1
}
if ask; then echo "this member has a majority: nothing was changed" >&2; exit 1; fi

if [ -e "$manifest" ]; then
  kept=/etc/kubernetes/etcd.yaml.before-force
  cp -p "$manifest" "$kept"
  sed 's/^    - etcd$/&\n    - --force-new-cluster/' "$kept" >/etc/kubernetes/etcd.yaml.force
  mv /etc/kubernetes/etcd.yaml.force "$manifest"
  answers "it was told to be alone"
  # The flag must not stay: with the next start it would drop members that were added.
  mv "$kept" "$manifest"
  sleep 5
else
  drop=/run/systemd/system/etcd.service.d
  mkdir -p "$drop"
  printf '[Service]\nEnvironment=ETCD_FORCE_NEW_CLUSTER=true\n' >"$drop/force.conf"
  systemctl daemon-reload
  systemctl restart etcd.service
  answers "it was told to be alone"
  rm "$drop/force.conf"
  systemctl daemon-reload
  systemctl restart etcd.service
fi
answers "its restart as an etcd of its own"
echo "this member is an etcd of its own now"
