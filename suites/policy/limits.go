package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	. "faultline/suites/drill"
)

const (
	// divided is the namespace with a quota, neighbour one without.
	divided   = "faultline-divided"
	neighbour = "faultline-neighbour"
	// limits is the name of the quota and of the limit range.
	limits = "attempt"
	// few pods are allowed at first, and as many more later.
	few = 5
)

// What pods ask for, in shares: one that says nothing is given one. large is more than the quota
// ever allows, and huge is more than the limit range does.
const (
	large = 3 * few
	most  = 4 * few
	huge  = 5 * few
)

// ofNamespaces is what a namespace grants whose quota has room, or is full. The neighbour is never
// concerned.
func ofNamespaces(s share, room bool) []right {
	may := func(q demand) right { return right{who: administrator, demand: q, granted: true} }
	mayNot := func(q demand, because string) right { return right{who: administrator, demand: q, because: because} }
	largePod, hugePod := idlePod(asking(s.times(large))), idlePod(asking(s.times(huge)))
	return []right{
		{who: administrator, demand: create("create a pod in the namespace with a quota", podsIn(divided), idlePod()), granted: room, because: "exceeded quota"},
		mayNot(create("create one there that is larger than the quota", podsIn(divided), largePod), "exceeded quota"),
		mayNot(create("create one there that is larger than the limit range allows", podsIn(divided), hugePod), "maximum cpu usage per Container"),
		may(create("create a pod in the other namespace", podsIn(neighbour), idlePod())),
		may(create("create one there that is larger than the quota", podsIn(neighbour), largePod)),
		may(create("create one there that is larger than the limit range allows", podsIn(neighbour), hugePod)),
	}
}

// divide makes the quota, and the limit range that says how much pods ask for which do not say
// so themselves: the quota refuses those otherwise.
func divide(s share) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: limits}, Spec: corev1.ResourceQuotaSpec{Hard: allowance(s, few)}}
		_, err := c.CoreV1().ResourceQuotas(divided).Create(ctx, quota, metav1.CreateOptions{})
		given := corev1.ResourceList{
			corev1.ResourceCPU:    resource.MustParse(s.times(1)),
			corev1.ResourceMemory: resource.MustParse(mebibytes(1)),
		}
		limit := &corev1.LimitRange{
			ObjectMeta: metav1.ObjectMeta{Name: limits},
			Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
				Type: corev1.LimitTypeContainer, Default: given, DefaultRequest: given,
				Max: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(s.times(most))},
			}}},
		}
		_, limited := c.CoreV1().LimitRanges(divided).Create(ctx, limit, metav1.CreateOptions{})
		return errors.Join(err, limited)
	}
}

// setQuota lets the namespace have so many pods.
func setQuota(s share, pods int) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		patch, err := json.Marshal(map[string]any{"spec": map[string]any{"hard": allowance(s, pods)}})
		if err != nil {
			return err
		}
		_, err = c.CoreV1().ResourceQuotas(divided).Patch(ctx, limits, types.MergePatchType, patch, metav1.PatchOptions{})
		return err
	}
}

// mebibytes is the memory of so many pods. Their sandboxes have to start within it, too.
func mebibytes(pods int) string { return fmt.Sprintf("%dMi", 16*pods) }

// allowance is what so many pods need that ask for one share each.
func allowance(s share, pods int) corev1.ResourceList {
	return corev1.ResourceList{
		corev1.ResourcePods:           resource.MustParse(fmt.Sprint(pods)),
		corev1.ResourceRequestsCPU:    resource.MustParse(s.times(pods)),
		corev1.ResourceRequestsMemory: resource.MustParse(mebibytes(pods)),
	}
}

func createIn(namespace string, s share) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		_, err := c.CoreV1().Pods(namespace).Create(ctx, idlePod(asking(s.times(1))), metav1.CreateOptions{})
		return err
	}
}

func podsExist(namespace string, want int) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		list, err := c.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
		if err == nil && len(list.Items) != want {
			err = fmt.Errorf("there are %d pods", len(list.Items))
		}
		return err
	}
}

// allPlaced fails while a pod of the namespace has no node.
func allPlaced(namespace string) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		list, err := c.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, p := range list.Items {
			if p.Spec.NodeName == "" {
				return fmt.Errorf("pod %s has no node", p.Name)
			}
		}
		return Unless(len(list.Items) > 0, errors.New("there are no pods"))
	}
}
