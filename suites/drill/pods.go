package drill

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
)

// Placed lists the instances of a component that the scheduler has placed; there have to be
// some.
func (d *Drill) Placed(component clusters.Component) clusters.Instances {
	ginkgo.GinkgoHelper()
	all, err := d.Running(d.ctx, component)
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("it runs nowhere")
	}
	d.require(err, "cannot find "+string(component))
	return all
}

// StartBoundPod starts a pod that names its node, which needs no scheduler, and
// waits until it runs.
func (d *Drill) StartBoundPod() error {
	return d.StartPodOn(d.WorkloadNodes()[0], "bound-"+d.experiment.ID)
}

// StartPodOn starts a pod of that name, of no controller, that names its node, and waits
// until it runs.
func (d *Drill) StartPodOn(n *clusters.Node, name string) error {
	return d.StartPod(WorkloadPod(n, name, "heartbeat"))
}

// WorkloadPod is a pod of the suite's own image that names its node.
func WorkloadPod(n *clusters.Node, name string, args ...string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PodSpec{
			NodeName:   n.Name,
			Containers: []corev1.Container{WorkloadContainer(string(clusters.Application), args...)},
		},
	}
}

// CreatePod asks for a pod, and does not wait until it runs.
func CreatePod(pod *corev1.Pod) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		_, err := c.CoreV1().Pods(Namespace).Create(ctx, pod, metav1.CreateOptions{})
		return err
	}
}

// StartPod starts a pod that names its node, and waits until it runs.
func (d *Drill) StartPod(pod *corev1.Pod) error {
	if a := d.Attempt("start a pod that names its node", CreatePod(pod)); a.err != nil {
		return d.Told("a pod that names its node starts", a.err)
	}
	return d.BecomesTrue("a pod that names its node starts", d.Timing.Binding(), func(ctx context.Context, c kubernetes.Interface) error {
		found, err := c.CoreV1().Pods(Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
		if err == nil && found.Status.Phase != corev1.PodRunning {
			err = fmt.Errorf("pod %s is %s", pod.Name, found.Status.Phase)
		}
		return err
	})
}

// PodOn is a pod that StartPodOn has started, as something that faults can break.
func (d *Drill) PodOn(n *clusters.Node, name string) clusters.Instance {
	return clusters.Instance{Component: clusters.Application, Node: n, Pod: name}
}

// WorkloadContainer is one that runs the suite's own workload, which every node has.
func WorkloadContainer(name string, args ...string) corev1.Container {
	return corev1.Container{Name: name, Image: bench.Images.Workload, ImagePullPolicy: corev1.PullNever, Args: args}
}

// IdleContainer is one for which nothing is run: its image is nowhere, and is not pulled.
func IdleContainer() corev1.Container {
	return corev1.Container{Name: "none", Image: "none", ImagePullPolicy: corev1.PullNever}
}

// PodGone fails while the drills' namespace has a pod of that name.
func PodGone(name string) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		list, err := c.CoreV1().Pods(Namespace).List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name})
		if err == nil && len(list.Items) > 0 {
			err = fmt.Errorf("pod %s is %s", name, list.Items[0].Status.Phase)
		}
		return err
	}
}

// ApplicationPods are the pods of applications, which go on for as long as nobody deletes them;
// none of those that the cluster itself needs.
func (d *Drill) ApplicationPods() []corev1.Pod {
	ginkgo.GinkgoHelper()
	client, err := d.api()
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	list, err := client.CoreV1().Pods(metav1.NamespaceAll).List(d.ctx, metav1.ListOptions{
		LabelSelector: clusters.AppLabel, FieldSelector: "metadata.namespace!=" + metav1.NamespaceSystem,
	})
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	gomega.Expect(list.Items).NotTo(gomega.BeEmpty())
	return list.Items
}

// PodsOn are the drills' pods on a node.
func (d *Drill) PodsOn(n *clusters.Node) []corev1.Pod {
	ginkgo.GinkgoHelper()
	client, err := d.api()
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	list, err := client.CoreV1().Pods(Namespace).List(d.ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + n.Name})
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return list.Items
}

// SamePods fails unless they are the same pods, never restarted since.
func SamePods(before, now []corev1.Pod) error {
	return samePods(before, now, func(was, is int32) bool { return is == was })
}

// SamePodsRestarted fails unless they are the same pods, and each was restarted since.
func SamePodsRestarted(before, now []corev1.Pod) error {
	return samePods(before, now, func(was, is int32) bool { return is > was })
}

func samePods(before, now []corev1.Pod, restarts func(was, is int32) bool) error {
	if len(before) == 0 {
		return errors.New("there was none")
	}
	if was, is := restartsOf(before), restartsOf(now); !maps.EqualFunc(was, is, restarts) {
		return fmt.Errorf("with their restarts they were %v and are %v", was, is)
	}
	return nil
}

// restartsOf counts how often each pod's containers were restarted.
func restartsOf(pods []corev1.Pod) map[string]int32 {
	all := map[string]int32{}
	for _, p := range pods {
		identity := fmt.Sprintf("%s (%s)", p.Name, p.UID)
		all[identity] = 0
		for _, c := range p.Status.ContainerStatuses {
			all[identity] += c.RestartCount
		}
	}
	return all
}

// PodsReady fails unless exactly so many of the selected pods are ready. Those that are being
// deleted count no more.
func PodsReady(namespace string, selected metav1.ListOptions, want int) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		list, err := c.CoreV1().Pods(namespace).List(ctx, selected)
		if err != nil {
			return err
		}
		ready := 0
		for _, p := range list.Items {
			if p.DeletionTimestamp == nil && clusters.PodReady(&p) {
				ready++
			}
		}
		return Unless(ready == want, fmt.Errorf("%d of %d pods are ready", ready, len(list.Items)))
	}
}

// SomePodWaits fails unless one of the selected pods has no node.
func SomePodWaits(namespace string, selected metav1.ListOptions) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		list, err := c.CoreV1().Pods(namespace).List(ctx, selected)
		if err != nil {
			return err
		}
		waits := slices.ContainsFunc(list.Items, func(p corev1.Pod) bool { return p.Spec.NodeName == "" })
		return Unless(waits, fmt.Errorf("all of %d pods have a node", len(list.Items)))
	}
}

// AwaitEviction waits until every pod of the drill on a node is marked for deletion, and
// returns how long after the fault that was.
func (d *Drill) AwaitEviction(n *clusters.Node) time.Duration {
	ginkgo.GinkgoHelper()
	client, err := d.api()
	d.require(err, "no client")
	d.expects("the pods on " + n.Name + " are evicted within " + seconds(d.Timing.Eviction().Upper))
	limit := d.injected() + d.Timing.Eviction().Upper + patience - d.now()
	ctx, cancel := context.WithTimeout(d.ctx, max(time.Second, limit))
	defer cancel()
	err = clusters.Await(ctx, 100*time.Millisecond, "the eviction of the pods on "+n.Name, func(ctx context.Context) error {
		pods, err := client.CoreV1().Pods(Namespace).List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + n.Name})
		if err != nil {
			return err
		}
		for _, p := range pods.Items {
			if p.DeletionTimestamp == nil {
				return fmt.Errorf("pod %s is not marked for deletion", p.Name)
			}
		}
		return nil
	})
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return d.now() - d.injected()
}

// BindEveryPod waits until no pod waits for a scheduler.
func (d *Drill) BindEveryPod() error {
	return d.BecomesTrue("every waiting pod is bound", d.Timing.Binding(), func(ctx context.Context, c kubernetes.Interface) error {
		pods, err := c.CoreV1().Pods(Namespace).List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName="})
		if err != nil {
			return err
		}
		for _, p := range pods.Items {
			// The schedule probe always has a young pod that waits its turn.
			if time.Since(p.CreationTimestamp.Time) > 5*time.Second {
				return fmt.Errorf("pod %s waits since %s", p.Name, p.CreationTimestamp)
			}
		}
		return nil
	})
}
