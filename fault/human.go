package fault

import (
	"context"
	"fmt"
	"strings"
	"time"

	"faultline/clusters"
)

// The faults that people make.
const (
	KindDeleteManifests   Kind = "delete-manifests"
	KindDeleteNamespace   Kind = "delete-namespace"
	KindFailClosedWebhook Kind = "fail-closed-webhook"
	KindRemoveEtcdMember  Kind = "remove-etcd-member"
)

var humanEntries = []Entry{
	{KindDeleteManifests, "human", "control-plane nodes", "", "the manifests are put back", "manifests and processes are gone"},
	{KindDeleteNamespace, "human", "namespaces but the API's own", "", "its objects are made again; what volumes held is lost", "the API knows no such namespace"},
	{KindFailClosedWebhook, "human", "resources of the API", "", "the webhook is deleted", "every API server refuses a change because of the webhook"},
	{KindSetFlag, "human", "static pods and kubelets", "", "the manifest or the settings are put back", "another process has the flag on its command line"},
	{KindRemoveEtcdMember, "human", "members of etcd", "another member", "the member is added again, without data", "the others do not list it, and its process is gone"},
}

// DeleteManifests deletes the manifests of all static pods of the nodes, as when somebody
// tidies up. The kubelet ends the pods with SIGTERM and their grace period of 30 s,
// which an API server uses up: it waits for its clients' watches.
//
// Proof: the manifests and the processes are gone. Undo: the manifests are put back, each
// never over another one. Healed: every process runs and stays.
func DeleteManifests(nodes ...*clusters.Node) Fault {
	f := Fault{Kind: KindDeleteManifests, TTL: DefaultTTL}
	for _, n := range nodes {
		p := part{kind: KindDeleteManifests, target: "the manifests of a missing node", node: n}
		if n != nil {
			p.target, p.takes = "the manifests of node "+n.Name, exactly(staticOn(n)...)
		}
		p.plan = func(ctx context.Context, id string) (effect, error) { return planDeleteManifests(ctx, n, id) }
		f.parts = append(f.parts, p)
	}
	return f
}

// staticOn lists the node's static pods.
func staticOn(n *clusters.Node) clusters.Instances {
	var all clusters.Instances
	for _, i := range n.Everything() {
		if i.Static() {
			all = append(all, i)
		}
	}
	return all
}

// deleteManifestsScript deletes all manifests but hidden files, for the fault $1.
const deleteManifestsScript = enter + armed + `mkdir "$d/copy"
cp -p /etc/kubernetes/manifests/*.yaml "$d/copy"
sync "$d"/copy/* "$d/copy"
mv "$d/copy" "$d/manifests"
sync "$d"
for file in "$d"/manifests/*; do rm -f "/etc/kubernetes/manifests/$(basename "$file")"; done
`

// restoreManifestsScript undoes deleteManifestsScript, wherever that was interrupted.
const restoreManifestsScript = enter + `hidden=/etc/kubernetes/manifests/.faultline-$1
kept=
for file in "$d"/manifests/*; do
  [ -e "$file" ] || continue
  place=/etc/kubernetes/manifests/$(basename "$file")
  if [ ! -e "$place" ]; then
    cp -p "$file" "$hidden"
    sync "$hidden"
    mv "$hidden" "$place"
  fi
  if cmp -s "$file" "$place"; then rm "$file"; else kept="$kept $file"; fi
done
if [ "$kept" ]; then
  echo "somebody put other manifests in place; the old ones are kept as$kept: compare them and remove those" >&2
  exit 1
fi
rm -rf "$d/copy" "$d/manifests" "$hidden"
` + leave

func planDeleteManifests(ctx context.Context, n *clusters.Node, id string) (effect, error) {
	all := staticOn(n)
	if len(all) == 0 {
		return effect{}, fmt.Errorf("node %s runs no component as a static pod, so it has no manifests to delete", n.Name)
	}
	old, err := allRunning(ctx, all)
	if err != nil {
		return effect{}, err
	}
	return effect{
		inject:    command(deleteManifestsScript, id),
		undo:      command(restoreManifestsScript, id),
		prove:     func(ctx context.Context) (string, error) { return proveAllAbsent(ctx, all, old) },
		landing:   stopLanding,
		recovered: func(ctx context.Context) (time.Time, error) { return allStay(ctx, all) },
	}, nil
}

// allRunning are the processes of every instance.
func allRunning(ctx context.Context, all clusters.Instances) ([][]clusters.Process, error) {
	ps := make([][]clusters.Process, len(all))
	for k, i := range all {
		p, err := running(ctx, i)
		if err != nil {
			return nil, err
		}
		ps[k] = p
	}
	return ps, nil
}

// proveAllAbsent proves that static pods that had these processes have neither a manifest
// nor a process.
func proveAllAbsent(ctx context.Context, all clusters.Instances, old [][]clusters.Process) (string, error) {
	proofs := make([]string, len(all))
	err := each(all, func(k int, i clusters.Instance) (err error) {
		proofs[k], err = proveAbsent(ctx, i, old[k])
		return err
	})
	return strings.Join(proofs, "; "), err
}

// allStay waits until every instance runs and stays.
func allStay(ctx context.Context, all clusters.Instances) (time.Time, error) {
	since := make([]time.Time, len(all))
	err := each(all, func(k int, i clusters.Instance) (err error) {
		since[k], err = stays(i)(ctx)
		return err
	})
	var last time.Time
	for _, t := range since {
		last = later(last, t)
	}
	return last, err
}
