package fault

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"faultline/clusters"
)

const (
	// namespaceLanding covers pods with a grace period of 30 s and what then deletes the rest.
	namespaceLanding = 2 * time.Minute
)

// immortal namespaces are those that the API does not delete, and that of the
// heartbeats, which a control plane cannot be without.
var immortal = []string{metav1.NamespaceDefault, metav1.NamespaceSystem, metav1.NamespacePublic, "kube-node-lease"}

// DeleteNamespace deletes a namespace with everything in it. All its objects but those
// that controllers make for others are saved first, on the node and for root only,
// as they hold secrets.
//
// Proof: the API knows no such namespace any more. Undo: the namespace and what it lacks
// are made again, with new UIDs, by the API server of the same node. Volume claims are
// made again too, but the provisioner's volumes were deleted with them: what those held
// is lost. Healed: as many replicas as before are ready.
func DeleteNamespace(c *clusters.Cluster, name string) Fault {
	p := part{kind: KindDeleteNamespace, target: "namespace " + name, node: administrator(c)}
	p.plan = func(ctx context.Context, id string) (effect, error) {
		if slices.Contains(immortal, name) {
			return effect{}, fmt.Errorf("namespace %s is the API's own and cannot be deleted: take another one", name)
		}
		client, err := c.Client(c.Front())
		if err != nil {
			return effect{}, err
		}
		found, err := client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return effect{}, fmt.Errorf("look at namespace %s: %w", name, err)
		}
		if found.DeletionTimestamp != nil {
			return effect{}, fmt.Errorf("namespace %s is being deleted already", name)
		}
		before, err := replicas(ctx, c, name)
		if err != nil {
			return effect{}, err
		}
		return effect{
			inject: command(deleteNamespaceScript, id, name, string(found.UID)),
			undo:   command(remakeNamespaceScript, id, name),
			prove: func(ctx context.Context) (string, error) {
				_, err := client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
				if apierrors.IsNotFound(err) {
					return fmt.Sprintf("the API knows no namespace %s", name), nil
				}
				return "", errors.Join(fmt.Errorf("namespace %s is still there", name), err)
			},
			landing:   namespaceLanding,
			recovered: func(ctx context.Context) (time.Time, error) { return replicasReturn(ctx, c, name, before) },
		}, nil
	}
	return Fault{Kind: KindDeleteNamespace, TTL: DefaultTTL, parts: []part{p}}
}

// saveFilter is for jq: it makes one list of a namespace and of what is in it, without
// what the API and controllers make by themselves.
const saveFilter = `def bare: del(.status, .metadata.uid, .metadata.resourceVersion, .metadata.generation,
  .metadata.creationTimestamp, .metadata.managedFields, .metadata.ownerReferences);
def made: .metadata.deletionTimestamp or any(.metadata.ownerReferences[]?; .controller)
  or (.kind | IN("Event", "Endpoints", "ReplicaSet", "ControllerRevision"));
def remakeable:
  if .kind == "PersistentVolumeClaim" then
    del(.spec.volumeName)
    | .metadata.annotations |= ((. // {}) | with_entries(select(.key | test("^(pv|volume)[.](beta[.])?kubernetes[.]io/") | not)))
  elif .kind == "Job" and (.spec.manualSelector | not) then
    del(.spec.selector)
    | .spec.template.metadata.labels |= ((. // {}) | del(.["controller-uid"], .["batch.kubernetes.io/controller-uid"]))
  elif .kind == "Secret" and .type == "kubernetes.io/service-account-token" then
    del(.data, .metadata.annotations["kubernetes.io/service-account.uid"])
  elif .kind == "Pod" then del(.spec.nodeName)
  else . end;
{apiVersion: "v1", kind: "List", items: ([.[0] | bare | del(.spec)] + [.[1].items[] | select(made | not) | bare | remakeable])}`

// deleteNamespaceScript saves and deletes the namespace $2 if it is the one with the UID
// $3, for the fault $1. Nothing is deleted unless everything was read.
const deleteNamespaceScript = enter + armed + kubectl + `umask 077
api get namespace "$2" --output=json > "$d/namespace"
api api-resources --namespaced --verbs=list,create --output=name > "$d/resources"
api --namespace="$2" get "$(paste -sd, "$d/resources")" --output=json > "$d/found"
jq --slurp '` + saveFilter + `' "$d/namespace" "$d/found" > "$d/copy"
sync "$d/copy"
mv "$d/copy" "$d/objects.json"
sync "$d"
printf '{"apiVersion":"v1","kind":"DeleteOptions","preconditions":{"uid":"%s"}}' "$3" |
  api delete --raw="/api/v1/namespaces/$2" --filename=- > /dev/null
`

// remakeNamespaceScript undoes deleteNamespaceScript. A namespace that is being deleted
// has to be gone first. What is there already stays as it is. Where another undo of the fault has
// ended meanwhile, nothing is left to do.
const remakeNamespaceScript = enter + kubectl + `gone_or_alive() {
  phase=$(api get namespace "$1" --ignore-not-found --output=jsonpath='{.status.phase}') && [ "$phase" != Terminating ]
}
remake() {
  [ -e "$d/objects.json" ] || return 0
  api create --filename="$d/objects.json" > /dev/null 2> "$cache/errors" && return
  ! grep -v '(AlreadyExists)' "$cache/errors" >&2
}
if [ -e "$d/objects.json" ]; then
  ` + unlock + `  again gone_or_alive "$2" || again gone_or_alive "$2" || { echo "namespace $2 is still being deleted: try again" >&2; exit 1; }
  again remake
  ` + relock + `fi
rm -f "$d/namespace" "$d/resources" "$d/found" "$d/copy" "$d/objects.json"
` + leave

// replicas counts the ready replicas of each workload of a namespace.
func replicas(ctx context.Context, c *clusters.Cluster, namespace string) (map[string]int32, error) {
	client, err := c.Client(c.Front())
	if err != nil {
		return nil, err
	}
	ready := map[string]int32{}
	deployments, errDeployments := client.AppsV1().Deployments(namespace).List(ctx, metav1.ListOptions{})
	sets, errSets := client.AppsV1().StatefulSets(namespace).List(ctx, metav1.ListOptions{})
	daemons, errDaemons := client.AppsV1().DaemonSets(namespace).List(ctx, metav1.ListOptions{})
	if err := errors.Join(errDeployments, errSets, errDaemons); err != nil {
		return nil, fmt.Errorf("list the workloads of namespace %s: %w", namespace, err)
	}
	for _, d := range deployments.Items {
		ready["deployment "+d.Name] = d.Status.ReadyReplicas
	}
	for _, s := range sets.Items {
		ready["stateful set "+s.Name] = s.Status.ReadyReplicas
	}
	for _, d := range daemons.Items {
		ready["daemon set "+d.Name] = d.Status.NumberReady
	}
	return ready, nil
}

// replicasReturn waits until the workloads of a namespace have as many ready replicas as before.
func replicasReturn(ctx context.Context, c *clusters.Cluster, namespace string, before map[string]int32) (since time.Time, err error) {
	err = clusters.Await(ctx, healingPoll, "the workloads of namespace "+namespace, func(ctx context.Context) error {
		now, err := replicas(ctx, c, namespace)
		if err != nil {
			return err
		}
		for name, want := range before {
			if have, there := now[name]; !there || have < want {
				return fmt.Errorf("%s has %d ready replicas, had %d", name, have, want)
			}
		}
		since = time.Now()
		return nil
	})
	return since, err
}
