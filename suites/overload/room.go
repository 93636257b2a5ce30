package overload

import (
	"context"
	"fmt"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

// room is what pods may have of a node, or have asked for.
type room struct{ milliCPUs, bytes, pods int64 }

func roomIn(list corev1.ResourceList) room {
	return room{list.Cpu().MilliValue(), list.Memory().Value(), list.Pods().Value()}
}

func (r room) String() string {
	return fmt.Sprintf("%dm CPUs, %d MiB and %d pods", r.milliCPUs, r.bytes>>20, r.pods)
}

// requests asks for the CPU time; for none if there is none.
func (r room) requests() corev1.ResourceList {
	if r.milliCPUs == 0 {
		return nil
	}
	return corev1.ResourceList{corev1.ResourceCPU: *resource.NewMilliQuantity(r.milliCPUs, resource.DecimalSI)}
}

// lookAt is what a node that keeps nothing lets pods have, and what those that stay there have
// asked for.
func lookAt(ctx context.Context, d *Drill, n *clusters.Node) (allowed, taken room) {
	GinkgoHelper()
	client, err := d.Client(d.Front())
	Expect(err).NotTo(HaveOccurred())
	node, err := client.CoreV1().Nodes().Get(ctx, n.Name, metav1.GetOptions{})
	Expect(err).NotTo(HaveOccurred())
	pods, err := podsOn(ctx, client, n)
	Expect(err).NotTo(HaveOccurred())
	allowed = roomIn(node.Status.Allocatable)
	has := roomIn(node.Status.Capacity)
	Expect(d.Told("a worker that keeps nothing lets pods have all CPU time", Unless(allowed.milliCPUs == has.milliCPUs,
		fmt.Errorf("it has %s and allows %s", has, allowed)))).To(Succeed())
	return allowed, takenBy(pods)
}

// takenBy is what pods have asked for that have not ended and are not about to.
func takenBy(pods []corev1.Pod) room {
	var taken room
	for _, p := range pods {
		if p.DeletionTimestamp != nil || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
			continue
		}
		taken.pods++
		for _, c := range p.Spec.Containers {
			asked := roomIn(c.Resources.Requests)
			taken.milliCPUs += asked.milliCPUs
			taken.bytes += asked.bytes
		}
	}
	return taken
}

// podsOn lists the pods of a node without those of the probes, which come and go.
func podsOn(ctx context.Context, c kubernetes.Interface, n *clusters.Node) ([]corev1.Pod, error) {
	list, err := c.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + n.Name})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return slices.Contains(probe.Namespaces(), p.Namespace) }), nil
}

const (
	// reservedMemory is what is reserved for Kubernetes, and as much again for the system.
	reservedMemory = 64 << 20
	// memoryThreshold is Kubernetes' own threshold of eviction, which kind takes away.
	memoryThreshold = 100 << 20
)

// reservation is what a kubelet keeps of its node: thousandths of CPUs for Kubernetes and as many
// for the system. It takes so many pods.
type reservation struct{ milliCPUs, pods int64 }

// flags tell it to a kubelet.
func (r reservation) flags() []string {
	reserved := fmt.Sprintf("-reserved=cpu=%dm,memory=%d", r.milliCPUs, reservedMemory)
	return []string{
		"--kube" + reserved, "--system" + reserved,
		fmt.Sprintf("--max-pods=%d", r.pods), evictBelow(memoryThreshold),
	}
}

// evictBelow has a kubelet evict pods when so many bytes of memory are available.
func evictBelow(bytes int64) string { return fmt.Sprintf("--eviction-hard=memory.available<%d", bytes) }

// leaves is what pods may have then of what they might have.
func (r reservation) leaves(before room) room {
	return room{before.milliCPUs - 2*r.milliCPUs, before.bytes - 2*reservedMemory - memoryThreshold, r.pods}
}

// allows fails unless the node lets pods have exactly that.
func allows(n *clusters.Node, want room) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		node, err := c.CoreV1().Nodes().Get(ctx, n.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		got := roomIn(node.Status.Allocatable)
		return Unless(got == want, fmt.Errorf("it allows %+v, want %+v", got, want))
	}
}
