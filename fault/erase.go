package fault

import (
	"context"
	"fmt"
	"time"

	"faultline/clusters"
)

// KindErase is the fault of a machine that has to be set up anew.
const KindErase Kind = "erase"

// Erase takes everything away that makes a machine a node: all containers, the certificates,
// kubeconfigs and manifests in /etc/kubernetes, the kubelet's configuration and identity, the
// configuration of the pod network, and etcd's data. What is left is what an installer finds on
// a machine that replaces a lost one with the same name and address: a kubelet that is stopped, a
// container runtime that knows of no pod, and images.
//
// The state waits on the node, outside of where anything looks for it.
//
// Proof: the processes of all static pods or, on a worker, of kubelet and kube-proxy are gone,
// with every pod, certificates, the pod network's configuration and etcd's data. Undo: where nobody
// has set the node up again, the state is put back and the kubelet started. A master that has
// manifests again keeps them, with its new data: the old one is thrown away, since it belongs to a
// cluster that has gone on without it. So does a worker whose kubelet has got a certificate again.
// Healed: every process runs and stays.
func Erase(nodes ...*clusters.Node) Fault { return perNode(KindErase, nodes, planErase) }

// scopes has a function that finds the control groups of containers.
const scopes = `scopes() { find /sys/fs/cgroup -depth -type d -name 'cri-containerd-*' "$@" 2>/dev/null; }
`

// forgetPods has a function that lets containerd forget pods whose processes were killed, once it
// has noticed. With cgroup v1 it leaves control groups of those whose shims were killed, too, and
// the next kubelet to start waits three seconds for each (cAdvisor).
const forgetPods = scopes + `forget_pods() {
  for try in $(seq 100); do
    if crictl --timeout 30s rmp --force --all >/dev/null 2>&1; then
      scopes -exec rmdir {} + || true
      [ -n "$(scopes)" ] || return 0
    fi
    sleep 0.1
  done
  echo "pods or their control groups do not go: $(crictl pods --quiet) $(scopes)" >&2
  return 1
}
`

// eraseScript does it for the fault $1, with etcd's data directory $2. What it changes last
// tells the undo that it was complete.
const eraseScript = enter + armed + containersOf + forgetPods + `systemctl stop kubelet.service
kill_containers
forget_pods
mkdir -p "$d/kept/part"
cp -a /etc/kubernetes "$d/kept/part/kubernetes"
mkdir "$d/kept/part/kubelet"
for file in config.yaml kubeadm-flags.env pki; do
  [ ! -e "/var/lib/kubelet/$file" ] || cp -a "/var/lib/kubelet/$file" "$d/kept/part/kubelet/"
done
[ ! -d /etc/cni/net.d ] || cp -a /etc/cni/net.d "$d/kept/part/network"
mv "$d/kept/part" "$d/kept/state"
sync "$d/kept/state"
[ ! -d "$2/member" ] || mv "$2/member" "$2/faultline-$1"
for file in "$d"/kept/state/kubelet/*; do rm -rf "/var/lib/kubelet/$(basename "$file")"; done
rm -rf /etc/kubernetes/* /etc/cni/net.d/*
mkdir -p /etc/kubernetes/manifests
touch "$d/kept/complete"
`

// unEraseScript undoes eraseScript, wherever that was interrupted. Somebody has set the node up
// again who has made the file $3, or one in the folder $3.
const unEraseScript = enter + `if [ -d "$d" ]; then
  if [ -e "$d/kept/complete" ] && [ -n "$(ls "$3" 2>/dev/null)" ]; then
    rm -rf "$2/faultline-$1"
  else
    if [ -d "$2/faultline-$1" ]; then
      rm -rf "$2/member"
      mv "$2/faultline-$1" "$2/member"
    fi
    if [ -d "$d/kept/state" ]; then
      cp -a "$d/kept/state/kubelet/." /var/lib/kubelet/
      cp -a "$d/kept/state/kubernetes/." /etc/kubernetes/
      [ ! -d "$d/kept/state/network" ] || cp -a "$d/kept/state/network/." /etc/cni/net.d/
    fi
  fi
  sync
  systemctl start kubelet.service
  rm -rf "$d/kept"
fi
` + leave

func planErase(ctx context.Context, n *clusters.Node, id string) (effect, error) {
	all, setUp, err := erasable(n)
	if err != nil {
		return effect{}, err
	}
	old, err := allRunning(ctx, all)
	if err != nil {
		return effect{}, err
	}
	return effect{
		inject: command(eraseScript, id, clusters.EtcdData),
		undo:   command(unEraseScript, id, clusters.EtcdData, setUp),
		prove: func(ctx context.Context) (string, error) {
			proof, err := proveAllAbsent(ctx, all, old)
			if err == nil {
				_, err = n.Exec(ctx, command(erasedScript, clusters.EtcdData)...)
			}
			return proof + "; pods, certificates, the pod network's configuration and etcd's data are gone", err
		},
		landing:   stopLanding,
		recovered: func(ctx context.Context) (time.Time, error) { return allStay(ctx, all) },
	}, nil
}

// erasable lists what ends with a node's state, and what is there once somebody has set the
// node up again.
func erasable(n *clusters.Node) (all clusters.Instances, setUp string, err error) {
	switch {
	case n.Role == clusters.Worker:
		return append(n.Instances(clusters.Kubelet), n.Instances(clusters.KubeProxy)...), "/etc/kubernetes/kubelet.conf", nil
	case n.Role == clusters.ControlPlane && len(n.Instances(clusters.Etcd)) == 1:
		return staticOn(n), "/etc/kubernetes/manifests", nil
	default:
		return nil, "", fmt.Errorf("node %s is neither a worker nor a control-plane node with one member of etcd: its state would not be all of it", n.Name)
	}
}

// erasedScript fails while a pod, a certificate, a manifest or the data of etcd in $1 is there.
const erasedScript = scopes + `for place in /etc/kubernetes/pki /etc/kubernetes/admin.conf /etc/kubernetes/kubelet.conf /var/lib/kubelet/config.yaml "$1/member"; do
  [ ! -e "$place" ] || { echo "$place is there" >&2; exit 1; }
done
[ -z "$(ls /etc/cni/net.d 2>/dev/null)" ] || { echo "the configuration of a pod network is there" >&2; exit 1; }
[ -z "$(crictl pods --quiet)$(scopes)" ] || { echo "a pod or the control group of a container is there" >&2; exit 1; }
`
