package main

import (
	"errors"
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	"faultline/clusters"
	"faultline/clusters/existing"
)

func namespace(name string, labels map[string]string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
}

func TestASecondDayIsRefused(t *testing.T) {
	of := map[string]string{clusters.RunLabel: "first"}
	if err := refuseSecondDay(t.Context(), fake.NewClientset(namespace("shop", nil), namespace("faultline-elsewhere", of))); err != nil {
		t.Errorf("on a cluster without a day: %v", err)
	}
	for _, name := range dayNamespaces() {
		err := refuseSecondDay(t.Context(), fake.NewClientset(namespace(name, of)))
		if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "run first") || !strings.Contains(err.Error(), "make chaos-recover") {
			t.Errorf("beside %s of a day: %v", name, err)
		}
		err = refuseSecondDay(t.Context(), fake.NewClientset(namespace(name, nil)))
		if err == nil || !strings.Contains(err.Error(), "kubectl delete namespace "+name) {
			t.Errorf("beside %s of nobody: %v", name, err)
		}
	}
	silent := fake.NewClientset()
	silent.PrependReactor("get", "namespaces", func(k8stesting.Action) (bool, runtime.Object, error) { return true, nil, errors.New("no answer") })
	if err := refuseSecondDay(t.Context(), silent); err == nil || !strings.Contains(err.Error(), "no answer") {
		t.Errorf("where nobody can tell: %v", err)
	}
}

// A day creates three namespaces, and whoever comes second looks for all of them.
func TestEveryNamespaceOfADayIsKnown(t *testing.T) {
	if all := dayNamespaces(); len(all) != 3 || all[2] != existing.Namespace {
		t.Errorf("got %v", all)
	}
}

// A refusal promises that nothing was changed.
func TestWhatStaysBehindIsNoRefusal(t *testing.T) {
	why := errors.New("nobody said yes")
	var refused refusal
	if err := refusedUnlessLeft(why, nil); !errors.As(err, &refused) || !errors.Is(err, why) {
		t.Errorf("nothing stays: %v", err)
	}
	left := errors.New("the namespace is there")
	if err := refusedUnlessLeft(why, left); errors.As(err, &refused) || !errors.Is(err, left) || !errors.Is(err, why) {
		t.Errorf("something stays: %v", err)
	}
}

func TestTheWayStaysForWhatIsNotUndone(t *testing.T) {
	dir := ended(t, "true")
	if err := leaveUnlessOpen(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "kill etcd on n1") || !isThere(t, dir.Journal()) {
		t.Errorf("with an open fault: %v, the journal is there: %t", err, isThere(t, dir.Journal()))
	}
	if err := os.WriteFile(dir.Journal(), []byte("garbage\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := leaveUnlessOpen(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "it is not known") || strings.Contains(err.Error(), "0 faults") || !isThere(t, dir.Journal()) {
		t.Errorf("with a journal that nobody can read: %v", err)
	}
	if err := os.WriteFile(dir.Journal(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := leaveUnlessOpen(t.Context(), dir); err != nil || isThere(t, dir.State) {
		t.Errorf("with nothing open: %v, the state is there: %t", err, isThere(t, dir.State))
	}
}
