package workers

import (
	"context"
	"errors"
	"io"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"

	"faultline/clusters"
	"faultline/suites/drill"
)

func pod(name, node string, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: drill.Namespace, UID: types.UID(name), Labels: clusters.AppLabels(drill.Deployment)},
		Spec:       corev1.PodSpec{NodeName: node},
		Status: corev1.PodStatus{
			Phase:             corev1.PodRunning,
			Conditions:        []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
			ContainerStatuses: []corev1.ContainerStatus{{RestartCount: 0}},
		},
	}
	for _, c := range change {
		c(p)
	}
	return p
}

func unready(p *corev1.Pod) { p.Status.Conditions[0].Status = corev1.ConditionFalse }

func node(ready corev1.ConditionStatus, taints ...corev1.Taint) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "n1"},
		Spec:       corev1.NodeSpec{Taints: taints},
		Status:     corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready}}},
	}
}

func deployment(observed int64, there, ready int32) *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: drill.Deployment, Namespace: drill.Namespace, Generation: 2},
		Status:     appsv1.DeploymentStatus{ObservedGeneration: observed, Replicas: there, ReadyReplicas: ready},
	}
}

func TestConditions(t *testing.T) {
	n1 := &clusters.Node{Name: "n1"}
	unreachable := corev1.Taint{Key: corev1.TaintNodeUnreachable, Effect: corev1.TaintEffectNoExecute}
	four := []runtime.Object{pod("a", "n1"), pod("b", "n1"), pod("c", "n2"), pod("d", "n2")}
	deleted := func(p *corev1.Pod) {
		now := metav1.Now()
		p.DeletionTimestamp, p.Finalizers = &now, []string{"test/kept"}
	}
	again := func(p *corev1.Pod) { p.Status.ContainerStatuses[0].RestartCount = 1 }
	another := func(p *corev1.Pod) { p.UID = "another" }
	alone := func(p *corev1.Pod) { p.Labels = nil }
	starts := func(p *corev1.Pod) { p.Status.Phase = corev1.PodPending }
	before := []corev1.Pod{*pod(bare, "n1")}
	says := func(ready corev1.ConditionStatus, message string) *corev1.Node {
		n := node(ready)
		n.Status.Conditions[0].Message = message
		return n
	}
	web := func(p *corev1.Pod) { p.Namespace, p.Labels = "faultline-workload", clusters.AppLabels("web") }
	of := func(app string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Namespace, p.Labels = clusters.SpreadReplicas.Namespace(), clusters.AppLabels(app)
		}
	}
	tests := []struct {
		name    string
		holds   drill.Request
		objects []runtime.Object
		want    bool
	}{
		{"tainted", isTainted(n1), []runtime.Object{node(corev1.ConditionUnknown, unreachable)}, true},
		{"not tainted", isTainted(n1), []runtime.Object{node(corev1.ConditionUnknown)}, false},
		{"no node to be tainted", isTainted(n1), nil, false},
		{"none ready", noneReady(n1), []runtime.Object{pod("a", "n1", unready)}, true},
		{"one ready", noneReady(n1), []runtime.Object{pod("a", "n1", unready), pod("b", "n1")}, false},
		{"still ready", stillReady(n1), append([]runtime.Object{node(corev1.ConditionTrue)}, four[:2]...), true},
		{"a node that is not", stillReady(n1), append([]runtime.Object{node(corev1.ConditionUnknown)}, four[:2]...), false},
		{"a pod that is not", stillReady(n1), []runtime.Object{node(corev1.ConditionTrue), pod("a", "n1", unready)}, false},
		{"all ready", allReady, []runtime.Object{deployment(2, replicas, replicas)}, true},
		{"too few", allReady, []runtime.Object{deployment(2, replicas, replicas-1)}, false},
		{"too many", allReady, []runtime.Object{deployment(2, replicas+1, replicas)}, false},
		{"old news", allReady, []runtime.Object{deployment(1, replicas, replicas)}, false},
		{"some pending", somePending, []runtime.Object{pod("a", "n1"), pod("b", "")}, true},
		{"none pending", somePending, four, false},
		{"as many as replicas", noPodTooMany, four, true},
		{"one too many", noPodTooMany, append([]runtime.Object{pod("e", "n1")}, four...), false},
		{"a silent node", notReady(n1), []runtime.Object{node(corev1.ConditionUnknown)}, true},
		{"a node that is heard", notReady(n1), []runtime.Object{node(corev1.ConditionTrue)}, false},
		{"no node to be silent", notReady(n1), nil, false},
		{"bare and deleted", bareIsDeleted, []runtime.Object{pod(bare, "n1", deleted)}, true},
		{"bare and kept", bareIsDeleted, []runtime.Object{pod(bare, "n1")}, false},
		{"bare and gone, not deleted", bareIsDeleted, nil, false},
		{"nothing beside the replicas", besideReplicas(), four, true},
		{"a bare pod beside them", besideReplicas(bare), append([]runtime.Object{pod(bare, "n1", alone)}, four...), true},
		{"a bare pod that should be gone", besideReplicas(), []runtime.Object{pod(bare, "n1", alone)}, false},
		{"a bare pod and another", besideReplicas(bare), []runtime.Object{pod(bare, "n1", alone), pod("e", "n2", alone)}, false},
		{"a bare pod that should be there", besideReplicas(bare), four, false},
		{"bare and restarted", restarted(n1, before), []runtime.Object{pod(bare, "n1", again)}, true},
		{"restarted beside another", restarted(n1, before), []runtime.Object{pod(bare, "n1", again), pod("e", "n1")}, true},
		{"bare and not restarted", restarted(n1, before), []runtime.Object{pod(bare, "n1")}, false},
		{"restarted and not ready", restarted(n1, before), []runtime.Object{pod(bare, "n1", again, unready)}, false},
		{"restarted as another", restarted(n1, before), []runtime.Object{pod(bare, "n1", again, another)}, false},
		{"not restarted but gone", restarted(n1, before), nil, false},
		{"kept", podIs(bare, kept), []runtime.Object{pod(bare, "n1")}, true},
		{"deleted and not kept", podIs(bare, kept), []runtime.Object{pod(bare, "n1", deleted)}, false},
		{"gone and not kept", podIs(bare, kept), nil, false},
		{"not started", podIs(late, pending), []runtime.Object{pod(late, "n1", starts)}, true},
		{"started", podIs(late, pending), []runtime.Object{pod(late, "n1")}, false},
		{"deleted before it starts", podIs(late, pending), []runtime.Object{pod(late, "n1", starts, deleted)}, false},
		{"no pods", hasNoPods(n1), nil, true},
		{"a pod of another namespace", hasNoPods(n1), []runtime.Object{pod("a", "n1", web)}, false},
		{"a runtime that is down", saysRuntimeIsDown(n1), []runtime.Object{says(corev1.ConditionFalse, "container runtime is down")}, true},
		{"a node that is not ready for another reason", saysRuntimeIsDown(n1), []runtime.Object{says(corev1.ConditionFalse, "PLEG is not healthy")}, false},
		{"a node of which nobody knows", saysRuntimeIsDown(n1), []runtime.Object{says(corev1.ConditionUnknown, "container runtime is down")}, false},
		{"no node to say so", saysRuntimeIsDown(n1), nil, false},
		{"runs elsewhere", runsWithout(n1), []runtime.Object{pod("a", "n2")}, true},
		{"is not ready elsewhere", runsWithout(n1), []runtime.Object{pod("a", "n1"), pod("b", "n2", unready)}, false},
		{"the service is spread", webIsSpread, []runtime.Object{pod("a", "n1", web), pod("b", "n2", web)}, true},
		{"the service is on one node", webIsSpread, []runtime.Object{pod("a", "n1", web), pod("b", "n1", web)}, false},
		{"the service is not ready", webIsSpread, []runtime.Object{pod("a", "n1", web), pod("b", "n2", web, unready)}, false},
		{"nobody given up", atMostGivenUp(0), []runtime.Object{node(corev1.ConditionUnknown)}, true},
		{"one given up", atMostGivenUp(0), []runtime.Object{node(corev1.ConditionUnknown, unreachable)}, false},
		{"one given up of one allowed", atMostGivenUp(1), []runtime.Object{node(corev1.ConditionUnknown, unreachable)}, true},
		{"two ready by host", readyOf(clusters.ByHost, 2), []runtime.Object{pod("a", "n1", of("by-host")), pod("b", "n2", of("by-host"))}, true},
		{"one of them is not", readyOf(clusters.ByHost, 2), []runtime.Object{pod("a", "n1", of("by-host")), pod("b", "n2", of("by-host"), unready)}, false},
		{"one of them is deleted", readyOf(clusters.ByHost, 2), []runtime.Object{pod("a", "n1", of("by-host")), pod("b", "n2", of("by-host"), deleted)}, false},
		{"others are ready", readyOf(clusters.ByHost, 1), []runtime.Object{pod("a", "n1", of("by-node"))}, false},
		{"no replica is left", preferredGone, four, true},
		{"one is about to go", preferredGone, []runtime.Object{pod("a", "n1", deleted, func(p *corev1.Pod) { p.Labels = clusters.AppLabels(preferred) })}, false},
		{"one waits", waits(clusters.ByHost), []runtime.Object{pod("a", "", of("by-host"))}, true},
		{"another one waits", waits(clusters.ByHost), []runtime.Object{pod("a", "", of("by-node"))}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if err := test.holds(t.Context(), fake.NewClientset(test.objects...)); (err == nil) != test.want {
				t.Errorf("got %v, want success %t", err, test.want)
			}
		})
	}
}

// answering is a node whose runtime answers with containers or not at all, and whose kubelet runs or
// does not.
func answering(containers string, runtimeErr error, kubelet string) *clusters.Node {
	n := &clusters.Node{Name: "n1", Role: clusters.Worker}
	(&clusters.Cluster{Nodes: []*clusters.Node{n}}).Reach(func(_ context.Context, _ string, _ io.Reader, argv ...string) ([]byte, error) {
		if argv[0] == "crictl" {
			return []byte(containers), runtimeErr
		}
		return []byte(kubelet), nil
	})
	return n
}

func TestARuntimeThatDoesNotAnswerRunsNeitherSomethingNorNothing(t *testing.T) {
	const runs = "7 S 100 9.00\n"
	for name, c := range map[string]struct {
		node         *clusters.Node
		two, nothing bool
	}{
		"two containers":                   {answering("a\nb\n", nil, runs), true, false},
		"one":                              {answering("a\n", nil, runs), false, false},
		"none":                             {answering("", nil, runs), false, true},
		"none, and no kubelet":             {answering("", nil, ""), false, false},
		"a runtime that does not answer":   {answering("", errors.New("no answer"), runs), false, false},
		"a runtime that answers and fails": {answering("a\nb\n", errors.New("no answer"), runs), false, false},
	} {
		if err := replicasRun(t.Context(), c.node, 2); (err == nil) != c.two {
			t.Errorf("%s: %v, want two replicas %t", name, err, c.two)
		}
		if err := nothingRuns(t.Context(), c.node); (err == nil) != c.nothing {
			t.Errorf("%s: %v, want nothing %t", name, err, c.nothing)
		}
	}
}
