#!/bin/sh
# Makes a cluster with kubeadm and openssl alone, as an administrator does: a master and a worker,
# and an etcd of three machines beside them. Nothing of Faultline's has a part in it. Containers of
# a node image stand for machines.
#
# kubeadm.sh IMAGE RUN FOLDER: the folder gets a kubeconfig, and nodes, a list of addresses and
# containers. Everything bears the label faultline.run=RUN.
set -eu
image=$1 run=$2 folder=$3
network=faultline-$run

# on MACHINE COMMAND...: runs a command on a machine.
on() { machine=$1 && shift && docker exec -i "$network-$machine" "$@"; }

address() { docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$network-$1"; }

boot() {
  docker run --detach --tty --privileged --cgroupns=private --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
    --hostname "$1" --name "$network-$1" --network "$network" --label "faultline.run=$run" \
    --tmpfs /tmp --tmpfs /run --volume /var --volume /lib/modules:/lib/modules:ro "$image" > /dev/null
  echo "$(address "$1") $network-$1" >> "$folder/nodes"
}

await() { # until the command succeeds, for two minutes
  for try in $(seq 240); do
    "$@" > /dev/null 2>&1 && return 0
    sleep 0.5
  done
  echo "still failing after two minutes: $*" >&2
  "$@"
}

# certificates WITH ADDRESSES: an authority and a certificate for each member and for the master.
certificates='set -e
mkdir -p /etc/etcd && cd /etc/etcd
openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=etcd-authority -keyout ca.key -out ca.crt 2> /dev/null
for pair; do
  name=${pair%=*} at=${pair#*=}
  openssl req -newkey rsa:2048 -nodes -subj "/CN=$name" -keyout "$name.key" -out "$name.csr" 2> /dev/null
  printf "subjectAltName=DNS:%s,DNS:localhost,IP:%s,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n" "$name" "$at" > "$name.ext"
  openssl x509 -req -days 30 -in "$name.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -extfile "$name.ext" -out "$name.crt" 2> /dev/null
done'

etcd='set -e
cat > /etc/systemd/system/etcd.service <<END
[Service]
ExecStart=/usr/local/bin/etcd --name=$1 --data-dir=/var/lib/etcd --initial-cluster=$3 \
  --listen-client-urls=https://$2:2379,https://127.0.0.1:2379 --advertise-client-urls=https://$2:2379 \
  --listen-peer-urls=https://$2:2380 --initial-advertise-peer-urls=https://$2:2380 \
  --client-cert-auth --peer-client-cert-auth --trusted-ca-file=/etc/etcd/ca.crt --peer-trusted-ca-file=/etc/etcd/ca.crt \
  --cert-file=/etc/etcd/$1.crt --key-file=/etc/etcd/$1.key --peer-cert-file=/etc/etcd/$1.crt --peer-key-file=/etc/etcd/$1.key
Restart=always
RestartSec=1s
[Install]
WantedBy=multi-user.target
END
systemctl daemon-reload
systemctl enable --now --quiet etcd.service'

# What containers instead of machines need; the first line only where the kernel forbids to lower scores.
prepare='sed -i "s/restrict_oom_score_adj = false/restrict_oom_score_adj = true/" /etc/containerd/config.toml
systemctl restart containerd'

configuration() {
  cat << END
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: $(on master cat /kind/version)
networking: {podSubnet: 10.244.0.0/16}
apiServer:
  extraArgs:
  - {name: audit-policy-file, value: /etc/kubernetes/audit/policy.yaml}
  - {name: audit-log-path, value: /etc/kubernetes/audit/log}
  extraVolumes:
  - {name: audit, hostPath: /etc/kubernetes/audit, mountPath: /etc/kubernetes/audit, pathType: DirectoryOrCreate}
etcd:
  external:
    endpoints: ["https://$(address e1):2379", "https://$(address e2):2379", "https://$(address e3):2379"]
    caFile: /etc/etcd/ca.crt
    certFile: /etc/etcd/master.crt
    keyFile: /etc/etcd/master.key
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupRoot: /kubelet
failSwapOn: false
failCgroupV1: false
evictionHard: {nodefs.available: "0%", nodefs.inodesFree: "0%", imagefs.available: "0%"}
---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
conntrack: {maxPerCore: 0}
END
}

docker network create --label "faultline.run=$run" "$network" > /dev/null
for machine in e1 e2 e3 master worker; do boot "$machine"; done
for machine in e1 e2 e3 master worker; do await on "$machine" systemctl is-active --quiet multi-user.target; done

on e1 sh -c "$certificates" sh "e1=$(address e1)" "e2=$(address e2)" "e3=$(address e3)" "master=$(address master)"
for machine in e2 e3 master; do on e1 tar -c -C /etc etcd | on "$machine" tar -x -C /etc; done
members="e1=https://$(address e1):2380,e2=https://$(address e2):2380,e3=https://$(address e3):2380"
for machine in e1 e2 e3; do on "$machine" sh -c "$etcd" sh "$machine" "$(address "$machine")" "$members"; done

for machine in master worker; do on "$machine" sh -c "$prepare"; done
on master sh -c 'mkdir -p /etc/kubernetes/audit
printf "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n" > /etc/kubernetes/audit/policy.yaml'
configuration | on master tee /root/kubeadm.yaml > /dev/null
on master kubeadm init --config=/root/kubeadm.yaml --ignore-preflight-errors=all --skip-token-print > /dev/null
on master sh -c 'export KUBECONFIG=/etc/kubernetes/admin.conf
sed "s|{{ *.PodSubnet *}}|10.244.0.0/16|" /kind/manifests/default-cni.yaml | kubectl apply -f - > /dev/null'
on worker $(on master kubeadm token create --print-join-command) --ignore-preflight-errors=all > /dev/null
await on master kubectl --kubeconfig=/etc/kubernetes/admin.conf wait --for=condition=Ready nodes --all --timeout=5s
await on master kubectl --kubeconfig=/etc/kubernetes/admin.conf -n kube-system wait --for=condition=Ready pods --all --timeout=5s
(umask 077 && on master cat /etc/kubernetes/admin.conf > "$folder/kubeconfig")
