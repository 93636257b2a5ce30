package policy

import (
	"errors"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	k8stesting "k8s.io/client-go/testing"
)

var (
	podResource = schema.GroupResource{Resource: "pods"}
	exceeded    = apierrors.NewForbidden(podResource, "a", errors.New("exceeded quota: attempt, requested: pods=1"))
	conflict    = apierrors.NewConflict(schema.GroupResource{Resource: "resourcequotas"}, limits, errors.New("modified"))
)

// doorsTo are API servers that share a quota; every other answer of theirs is a conflict.
func doorsTo(quota, servers int) []corev1client.PodInterface {
	var mu sync.Mutex
	asked, accepted := 0, 0
	client := fake.NewClientset()
	client.PrependReactor("create", "pods", func(k8stesting.Action) (bool, runtime.Object, error) {
		mu.Lock()
		defer mu.Unlock()
		asked++
		switch {
		case asked%2 == 0:
			return true, nil, conflict
		case accepted == quota:
			return true, nil, exceeded
		}
		accepted++
		return true, &corev1.Pod{}, nil
	})
	var doors []corev1client.PodInterface
	for range servers {
		doors = append(doors, client.CoreV1().Pods(divided))
	}
	return doors
}

func TestAStormIsCounted(t *testing.T) {
	for _, quota := range []int{few - 1, few, few + 1, 2 * gusts} {
		seen := storm(t.Context(), doorsTo(quota, 2), 1)
		if seen.accepted != quota || seen.exceeded != 2*gusts-quota || len(seen.failed) > 0 {
			t.Errorf("a quota of %d: %s", quota, &seen)
		}
		if err := seen.keeps(few); (err == nil) != (quota == few) {
			t.Errorf("a quota of %d, and room for %d: %v", quota, few, err)
		}
	}
}

func TestAStormThatProvesNothing(t *testing.T) {
	for name, s := range map[string]census{
		"nobody was refused": {accepted: few},
		"somebody failed":    {accepted: few, exceeded: 1, failed: []error{errors.New("timed out")}},
	} {
		if s.keeps(few) == nil {
			t.Errorf("%s, and it counts", name)
		}
	}
}

func TestOtherRefusalsExceedNothing(t *testing.T) {
	var s census
	for _, err := range []error{
		nil, exceeded, errors.New("exceeded quota"),
		apierrors.NewForbidden(podResource, "a", errors.New("status unknown for quota")),
	} {
		s.count(err)
	}
	if s.accepted != 1 || s.exceeded != 1 || len(s.failed) != 2 {
		t.Errorf("got %s", &s)
	}
}
