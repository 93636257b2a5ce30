package fault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"faultline/clusters"
)

// The faults of load.
const (
	KindFloodAPI   Kind = "flood-api"
	KindEventStorm Kind = "event-storm"
	KindBigLists   Kind = "big-lists"
	KindChurnPods  Kind = "churn-pods"
)

const loadUndo = "the client is stopped, and its namespace deleted as soon as the API can"

var loadEntries = []Entry{
	{KindFloodAPI, "load", "nodes with an API server", "the workload image", loadUndo, "the rate of the last second"},
	{KindEventStorm, "load", "nodes with an API server", "the workload image", loadUndo, "the rate of the last second"},
	{KindBigLists, "load", "nodes with an API server", "the workload image", loadUndo, "lists are under way and end"},
	{KindChurnPods, "load", "nodes with an API server", "the workload image", loadUndo, "the rate of the last second"},
}

// A load is one client of the API server of a node, on that node: the project's workload
// program, taken from its image and run as a transient systemd unit, so that its end needs
// neither containerd nor the API. It shows the token of a ServiceAccount in a namespace of
// its own, with a Role for that namespace only. API Priority and Fairness takes it for one
// flow of the level workload-low; an administrator (system:masters) would be exempt.
//
// The end of the unit ends the load. What remains is the namespace. A second unit goes on
// to ask for its deletion, for ten minutes at most, because the load itself, or another
// fault, may have brought the API down. A namespace that outlives this is found by
// CheckAsNew, and the cluster is replaced. Deleted objects leave free pages in etcd's
// file, and their revisions until the next compaction.

// The limits of loads.
const (
	maxClients = 1000
	maxRate    = 5000
	// maxEvents limits an EventStorm in all: about 100 MB in etcd, whose default quota is 2 GiB.
	maxEventRate = 1000
	maxEvents    = 100_000
	// bigObject is the size of an object of BigLists, maxListed how many bytes all lists
	// that are under way may have: the API server holds them in memory.
	bigObject   = 100 << 10
	maxObjects  = 2000
	maxParallel = 50
	maxListed   = 1 << 30
	// maxChurn is more than a kubelet keeps up with; the quota in loadScript limits what
	// piles up then. The client deletes a pod after podLife seconds, or when it has keptPods.
	maxChurn = 20
	podLife  = 5
	keptPods = 30

	loadLanding = time.Minute
	// listsLanding covers the creation of all objects.
	listsLanding = 5 * time.Minute
)

// FloodAPI sends that many requests a second, lists and gets in turn, to the node's API
// server, of which at most clients wait for an answer at the same time. The server lets a
// level have its share of 600 requests (--max-requests-inflight and the like), queues some
// more, and then answers 429.
//
// Proof: in the last second requests were answered, and half of the rate was sent or as
// many as may wait were waiting. Undo: the client is stopped; its namespace is deleted.
// Healed: both are gone, and the kubelet runs and stays.
func FloodAPI(n *clusters.Node, clients int, perSecond float64) Fault {
	return onAPIServer(KindFloodAPI, n, "the requests", load{
		refuse: func() error {
			return errors.Join(inRange("clients", int64(clients), 1, maxClients), rateInRange("requests", perSecond, maxRate))
		},
		args: []string{"requests", "-clients", strconv.Itoa(clients), "-rate", decimal(perSecond)},
		rate: perSecond, landing: loadLanding,
	})
}

// EventStorm creates that many Events a second, 100 000 at most, as a controller does that
// loops. They count against etcd's quota until they expire after an hour (--event-ttl) or
// their namespace is deleted.
//
// Proof, undo and healing are those of FloodAPI.
func EventStorm(n *clusters.Node, perSecond float64) Fault {
	return onAPIServer(KindEventStorm, n, "the Events", load{
		refuse: func() error { return rateInRange("Events", perSecond, maxEventRate) },
		args:   []string{"events", "-count", strconv.Itoa(maxEvents), "-rate", decimal(perSecond)},
		rate:   perSecond, landing: loadLanding,
	})
}

// BigLists creates that many ConfigMaps of 100 KiB and lists all of them without a limit,
// parallel lists at the same time, again and again. The API server reads such a list from
// its watch cache since Kubernetes 1.31, after it has asked etcd for the revision, and
// encodes it item by item since 1.33: it costs CPU time and the network more than memory.
//
// Proof: lists are under way, and have ended in the last second or will. Undo and healing
// are those of FloodAPI.
func BigLists(n *clusters.Node, objects, parallel int) Fault {
	return onAPIServer(KindBigLists, n, "the lists", load{
		refuse: func() error {
			return errors.Join(inRange("objects", int64(objects), 1, maxObjects), inRange("parallel lists", int64(parallel), 1, maxParallel),
				inRange("bytes that are listed at the same time", int64(objects)*int64(parallel)*bigObject, 1, maxListed))
		},
		args:    []string{"lists", "-objects", strconv.Itoa(objects), "-size", strconv.Itoa(bigObject), "-parallel", strconv.Itoa(parallel)},
		landing: listsLanding,
	})
}

// ChurnPods creates that many pods a second and deletes each after about five seconds:
// work for the scheduler, for kubelets, and for whoever watches pods. Their image, the
// workload's, is on every node. A quota keeps those that kubelets have not ended yet from
// piling up: at most 60 pods exist.
//
// Proof, undo and healing are those of FloodAPI.
func ChurnPods(n *clusters.Node, perSecond float64) Fault {
	keep := max(1, min(keptPods, int(podLife*perSecond)))
	return onAPIServer(KindChurnPods, n, "the pods", load{
		refuse: func() error { return rateInRange("pods", perSecond, maxChurn) },
		args:   []string{"pods", "-keep", strconv.Itoa(keep), "-rate", decimal(perSecond)},
		image:  true, rate: perSecond, landing: loadLanding,
	})
}

func rateInRange(what string, perSecond, most float64) error {
	const least = 0.1
	if perSecond < least || perSecond > most || math.IsNaN(perSecond) {
		return fmt.Errorf("%g %s a second are out of range: want %g to %g", perSecond, what, least, most)
	}
	return nil
}

func decimal(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }

// load is what a client does.
type load struct {
	refuse func() error
	// args are those of the workload program; image adds its own image's name.
	args  []string
	image bool
	// rate is how often a second it begins; 0: whenever it has ended.
	rate    float64
	landing time.Duration
}

// onAPIServer is a load on the API server of a node; several may be there at the same time.
func onAPIServer(kind Kind, n *clusters.Node, what string, l load) Fault {
	return onNode(kind, n, what+" of the API server", func(ctx context.Context, id string) (effect, error) {
		if err := l.refuse(); err != nil {
			return effect{}, err
		}
		if n.Role != clusters.ControlPlane || len(n.Instances(clusters.APIServer)) == 0 {
			return effect{}, fmt.Errorf("node %s is no control-plane node with an API server to put a load on", n.Name)
		}
		p, err := programOn(ctx, n)
		if err != nil {
			return effect{}, err
		}
		namespace := "faultline-" + id
		args := append([]string{id, p.layer, l.args[0], "-server", "https://" + n.APIServer().Address}, l.args[1:]...)
		if l.image {
			args = append(args, "-image", p.image)
		}
		return effect{
			inject:    command(loadScript, args...),
			undo:      command(unloadScript, id, coded(command(forgetScript, namespace))),
			prove:     func(ctx context.Context) (string, error) { return l.proveOn(ctx, n, id) },
			landing:   l.landing,
			recovered: ended(n, id, func(ctx context.Context) error { return namespaceGone(ctx, n, namespace) }),
		}, nil
	})
}

// program is where a node has the workload program: in the only layer of an image.
type program struct{ image, layer string }

// programScript prints the name of the workload image and the digest of its layer, if
// containerd has kept both.
const programScript = `set -e
image=$(ctr --namespace k8s.io images list --quiet | grep '/faultline/workload:' | tail -n 1)
[ "$image" ] || exit 0
content() { ctr --namespace k8s.io content get "$1"; }
digest=$(ctr --namespace k8s.io images list "name==$image" | awk 'NR == 2 { print $3 }')
manifest=$(content "$digest")
if [ "$(echo "$manifest" | jq 'has("manifests")')" = true ]; then
  manifest=$(content "$(echo "$manifest" | jq -r '.manifests[0].digest')")
fi
layer=$(echo "$manifest" | jq -r '.layers[0].digest')
ctr --namespace k8s.io content list --quiet | grep -qxF "$layer" || exit 0
echo "$image $layer"
`

func programOn(ctx context.Context, n *clusters.Node) (program, error) {
	out, err := n.Exec(ctx, command(programScript)...)
	if err != nil {
		return program{}, fmt.Errorf("look for the workload image on node %s: %w", n.Name, err)
	}
	f := strings.Fields(string(out))
	if len(f) != 2 {
		return program{}, fmt.Errorf("node %s has no workload image, from which the client comes: %w", n.Name, clusters.ErrUnsupported)
	}
	return program{f[0], f[1]}, nil
}

// loadScript begins the fault $1 with the program from the layer $2, what it does, $3, and
// the rest of its arguments. What it needs is in the fault's directory, which nobody else
// can read. The namespace is the last but one thing that appears, the load the last.
const loadScript = enter + armed + kubectl + `umask 077
chmod 700 "$d"
ctr --namespace k8s.io content get "$2" >"$d/layer"
tar -x -f "$d/layer" -C "$d" workload
rm "$d/layer"
cp /etc/kubernetes/pki/ca.crt "$d/ca.crt"
api apply --server-side --filename=- >/dev/null <<END
apiVersion: v1
kind: Namespace
metadata: {name: faultline-$1}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: client, namespace: faultline-$1}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: client, namespace: faultline-$1}
rules:
- {apiGroups: [""], resources: [serviceaccounts], verbs: [get]}
- {apiGroups: [""], resources: [configmaps], verbs: [list, create]}
- {apiGroups: [""], resources: [events], verbs: [create]}
- {apiGroups: [""], resources: [pods], verbs: [create, delete]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: client, namespace: faultline-$1}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: client}
subjects:
- {kind: ServiceAccount, name: client, namespace: faultline-$1}
---
apiVersion: v1
kind: ResourceQuota
metadata: {name: client, namespace: faultline-$1}
spec: {hard: {pods: "60"}}
END
api create token client --namespace="faultline-$1" --duration=24h >"$d/token"
id=$1
what=$3
shift 3
systemd-run --quiet --collect --unit="faultline-hold-$id" --property=KillSignal=SIGKILL --property=OOMScoreAdjust=1000 \
  --property=MemoryMax=512M -- "$d/workload" load "$what" -dir "$d" -namespace "faultline-$id" "$@"
`

// forgetScript deletes the namespace $1 as soon as the API can.
const forgetScript = kubectl + `until api delete namespace "$1" --ignore-not-found --timeout=60s; do sleep 1; done
`

// namespaceGone asks the node's API server.
func namespaceGone(ctx context.Context, n *clusters.Node, name string) error {
	out, err := n.Exec(ctx, Kubectl("get", "namespace", name, "--ignore-not-found", "--output=name")...)
	if err == nil && len(out) > 0 {
		err = fmt.Errorf("the API still has the namespace %s", name)
	}
	return err
}

// unloadScript undoes loadScript. It does not wait for the API: a unit goes on to ask it to
// delete the namespace of the fault $1, if there was a load. $2 is what the unit does, coded.
const unloadScript = enter + booted + `systemctl stop "faultline-hold-$1.service" 2>/dev/null || [ $? -eq 5 ]
if [ -e "$d/ca.crt" ]; then
  systemctl is-active --quiet "faultline-hold-$1-namespace.service" ||
    systemd-run --quiet --collect --unit="faultline-hold-$1-namespace" --property=RuntimeMaxSec=600 -- \
      sh -c "echo $2 | base64 -d | sh"
fi
rm -f "$d/layer" "$d/workload" "$d/ca.crt" "$d/token" "$d/status" "$d/status.part"
` + leave

// statusScript prints what the client of the fault $1 has told within the last seconds.
const statusScript = `systemctl is-active --quiet "faultline-hold-$1.service" ||
  { echo "faultline-hold-$1.service does not run: $(journalctl --no-pager --quiet --output=cat --lines=2 --unit="faultline-hold-$1.service")" >&2; exit 1; }
[ "$(find "/var/lib/faultline/$1/status" -newermt '-3 seconds' 2>/dev/null)" ] ||
  { echo "faultline-hold-$1.service has told nothing for 3 s" >&2; exit 1; }
cat "/var/lib/faultline/$1/status"
`

// told is what a client tells each second of the second before.
type told struct {
	Began, Done, Failed, Refused, Withheld, Waiting, Total int
	Seconds                                                float64
	Error                                                  string
}

func (l load) proveOn(ctx context.Context, n *clusters.Node, id string) (string, error) {
	out, err := n.Exec(ctx, command(statusScript, id)...)
	if err != nil {
		return "", fmt.Errorf("ask the client on node %s how it goes: %w", n.Name, err)
	}
	var s told
	if err := json.Unmarshal(out, &s); err != nil {
		return "", fmt.Errorf("ask the client on node %s how it goes: unexpected answer %q: %w", n.Name, out, err)
	}
	if err := l.inEffect(s); err != nil {
		return "", fmt.Errorf("the load on node %s: %w", n.Name, err)
	}
	return fmt.Sprintf("in the last %.1f s on node %s %d began, %d were done, %d refused, %d failed, %d withheld; %d wait, %d in all",
		s.Seconds, n.Name, s.Began, s.Done, s.Refused, s.Failed, s.Withheld, s.Waiting, s.Total), nil
}

// inEffect judges a second: the API server was kept busy at the rate, or it did not keep up.
func (l load) inEffect(s told) error {
	long := l.rate == 0 && s.Waiting > 0 // a round takes more than a second
	behind := s.Withheld > 0 || s.Refused > 0
	switch {
	case s.Done+s.Refused == 0 && !long:
		return fmt.Errorf("nothing was answered in the last second; %d failed (%s)", s.Failed, s.Error)
	case float64(s.Began) < l.rate*s.Seconds/2 && !behind:
		return fmt.Errorf("%d in %.1f s is not half of %g a second (%s)", s.Began, s.Seconds, l.rate, s.Error)
	}
	return nil
}
