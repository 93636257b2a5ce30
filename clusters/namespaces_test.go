package clusters

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"
)

// namespaceOf is a namespace that a run has created; an empty run stands for somebody else.
func namespaceOf(run, name string) *corev1.Namespace {
	n := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if run != "" {
		n.Labels = map[string]string{RunLabel: run}
	}
	return n
}

// namesLeft are the namespaces that are there.
func namesLeft(t *testing.T, client *fake.Clientset) []string {
	t.Helper()
	list, err := client.CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, n := range list.Items {
		names = append(names, n.Name)
	}
	slices.Sort(names)
	return names
}

func TestOnlyTheRunsOwnNamespacesAreRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset(namespaceOf("mine", "access"), namespaceOf("other", "probe"), namespaceOf("", "ledger"), namespaceOf("mine", "unnamed"))
		if err := RemoveNamespacesOf(t.Context(), client, "mine", "access", "probe", "ledger", "never"); err != nil {
			t.Fatal(err)
		}
		if got := namesLeft(t, client); !slices.Equal(got, []string{"ledger", "probe", "unnamed"}) {
			t.Errorf("left are %v, want what others have and what was not named", got)
		}
		if err := RemoveNamespaces(t.Context(), client, "probe", "ledger", "never"); err != nil {
			t.Fatal(err)
		}
		if got := namesLeft(t, client); !slices.Equal(got, []string{"unnamed"}) {
			t.Errorf("left are %v, want what was not named: by name it does not matter whose it is", got)
		}
	})
}

func TestRemovalOutlastsAServerThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset(namespaceOf("mine", "access"))
		failures := 3
		client.PrependReactor("list", "namespaces", func(k8stesting.Action) (bool, runtime.Object, error) {
			failures--
			return failures >= 0, nil, errors.New("etcdserver: no leader")
		})
		if err := RemoveNamespacesOf(t.Context(), client, "mine", "access"); err != nil {
			t.Fatal(err)
		}
		if got := namesLeft(t, client); len(got) > 0 {
			t.Errorf("left are %v", got)
		}
	})
}

func TestANamespaceThatDoesNotEndIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset(namespaceOf("mine", "access"))
		client.PrependReactor("delete", "namespaces", func(k8stesting.Action) (bool, runtime.Object, error) { return true, nil, nil }) // a finalizer holds it
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := RemoveNamespacesOf(ctx, client, "mine", "access"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}
