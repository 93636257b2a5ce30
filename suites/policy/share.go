package policy

import (
	"context"
	"fmt"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	. "faultline/suites/drill"
)

// share is what a pod of a storm asks for, in thousandths of a CPU.
type share int64

// times is so many shares, as a quantity.
func (s share) times(number int) string { return fmt.Sprintf("%dm", int64(s)*int64(number)) }

// shareOf is so much that each worker has as many shares left as the quota ever allows pods: together
// they have room for these and for the neighbour's, and not for a storm.
func shareOf(ctx context.Context, d *Drill) share {
	GinkgoHelper()
	client, err := d.Client(d.Front())
	Expect(err).NotTo(HaveOccurred())
	var left []int64
	for _, n := range Workers(d.Nodes) {
		free, err := FreeCPU(ctx, client, n.Name)
		Expect(err).NotTo(HaveOccurred())
		left = append(left, free.MilliValue())
	}
	return share(slices.Min(left) / (2 * few))
}

// somePodLacksCPU fails unless the scheduler finds no node with enough CPU time for a pod of the
// namespace.
func somePodLacksCPU(namespace string) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		list, err := c.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		return Unless(slices.ContainsFunc(list.Items, lacksCPU), fmt.Errorf("none of %d pods does", len(list.Items)))
	}
}

func lacksCPU(p corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && strings.Contains(c.Message, "Insufficient cpu")
	})
}
