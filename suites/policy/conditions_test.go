package policy

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	"faultline/clusters"
	"faultline/suites/drill"
)

func podIn(namespace, name, node string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: corev1.PodSpec{NodeName: node}}
}

// refused is a pod for which the scheduler finds no node.
func refused(why string) []runtime.Object {
	pod := podIn(divided, "a", "")
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: why}}
	return []runtime.Object{pod}
}

func TestConditions(t *testing.T) {
	ended := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: strict}}
	two := []runtime.Object{podIn(neighbour, "a", "n1"), podIn(neighbour, "b", "n2"), podIn(divided, "c", "")}
	for _, c := range []struct {
		name    string
		holds   drill.Request
		objects []runtime.Object
		want    bool
	}{
		{"as many pods as wanted", podsExist(neighbour, 2), two, true},
		{"one too many", podsExist(neighbour, 1), two, false},
		{"one too few", podsExist(neighbour, 3), two, false},
		{"all placed", allPlaced(neighbour), two, true},
		{"one not placed", allPlaced(divided), two, false},
		{"none to place", allPlaced(strict), two, false},
		{"one for which no CPU time is left", somePodLacksCPU(divided), refused("2 Insufficient cpu, 3 node(s) had untolerated taint(s)"), true},
		{"one that waits for something else", somePodLacksCPU(divided), refused("5 node(s) had untolerated taint(s)"), false},
		{"one at which nobody has looked", somePodLacksCPU(divided), two, false},
		{"a namespace that is gone", namespacesGone(strict), nil, true},
		{"a namespace that is there", namespacesGone(divided, strict), []runtime.Object{ended}, false},
	} {
		if err := c.holds(t.Context(), fake.NewClientset(c.objects...)); (err == nil) != c.want {
			t.Errorf("%s: %v, want success %t", c.name, err, c.want)
		}
	}
}

func TestPodSecurityPoliciesAreNoticed(t *testing.T) {
	resources := func(version string, names ...string) *metav1.APIResourceList {
		list := &metav1.APIResourceList{GroupVersion: version}
		for _, name := range names {
			list.APIResources = append(list.APIResources, metav1.APIResource{Name: name})
		}
		return list
	}
	for name, c := range map[string]struct {
		served []*metav1.APIResourceList
		want   bool
	}{
		"today":               {[]*metav1.APIResourceList{resources("policy/v1", "poddisruptionbudgets")}, true},
		"before 1.25":         {[]*metav1.APIResourceList{resources("policy/v1"), resources("policy/v1beta1", "podsecuritypolicies")}, false},
		"in the new version":  {[]*metav1.APIResourceList{resources("policy/v1", "podsecuritypolicies")}, false},
		"nothing of policies": {nil, false},
	} {
		client := fake.NewClientset()
		client.Resources = c.served
		if err := noPodSecurityPolicies(t.Context(), client); (err == nil) != c.want {
			t.Errorf("%s: %v, want success %t", name, err, c.want)
		}
	}
}

// What a spec has made is taken back wherever it ended, also before it made anything.
func TestNothingIsLeft(t *testing.T) {
	n1, n2 := &clusters.Node{Name: "n1"}, &clusters.Node{Name: "n2"}
	for name, c := range map[string]struct{ made, taken drill.Request }{
		"accounts": {createAccounts, deleteAccounts},
		"policy":   {trustOne, trustAny},
		"secrets":  {handSecretsOut(n1, n2), takeSecretsBack},
	} {
		client := fake.NewClientset()
		if err := c.made(t.Context(), client); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for range 2 {
			if err := c.taken(t.Context(), client); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		left := map[string]bool{}
		for _, a := range client.Actions() {
			switch a := a.(type) {
			case k8stesting.CreateAction:
				left[a.GetResource().Resource+"/"+a.GetObject().(metav1.Object).GetName()] = true
			case k8stesting.DeleteAction:
				delete(left, a.GetResource().Resource+"/"+a.GetName())
			}
		}
		if len(client.Actions()) == 0 || len(left) > 0 {
			t.Errorf("%s: of %d actions is left %v", name, len(client.Actions()), left)
		}
	}
}
