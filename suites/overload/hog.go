package overload

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
)

const (
	// cpuLimit, in CPUs, is far below what any machine has to spare.
	cpuLimit = 0.05
	// memoryLimit has room for the hog's program and for some of what it takes.
	memoryLimit = 64 << 20
	// watched is how long a hog's use of CPU time is looked at: a hundred periods of a quota.
	watched = 10 * time.Second
)

// limits are those of a hog that has some.
var limits = corev1.ResourceList{
	corev1.ResourceCPU:    *resource.NewMilliQuantity(cpuLimit*1000, resource.DecimalSI),
	corev1.ResourceMemory: *resource.NewQuantity(memoryLimit, resource.BinarySI),
}

// Hog is a pod that takes what it can get. It asks for next to nothing, else a limit of
// everything would make it as important to the kernel as a component.
func Hog(n *clusters.Node, name string, allowed corev1.ResourceList, appetite ...string) *corev1.Pod {
	pod := WorkloadPod(n, name, append([]string{"hog"}, appetite...)...)
	grace, longest := int64(1), int64(fault.DefaultTTL.Seconds())
	pod.Spec.TerminationGracePeriodSeconds = &grace
	pod.Spec.ActiveDeadlineSeconds = &longest // for its kubelet, which needs no API server
	pod.Spec.RestartPolicy = corev1.RestartPolicyOnFailure
	c := &pod.Spec.Containers[0]
	if c.Resources.Limits = allowed; allowed != nil {
		c.Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1m"), corev1.ResourceMemory: resource.MustParse("1Mi")}
	}
	c.TerminationMessagePolicy = corev1.TerminationMessageFallbackToLogsOnError // it says how much it has
	return pod
}

// StartBusy starts a hog on the node, and finds it once its program runs: within a small limit of
// CPU time the runtime takes long to begin it.
func StartBusy(d *Drill, n *clusters.Node, pod *corev1.Pod) clusters.Instance {
	GinkgoHelper()
	Expect(d.StartPod(pod)).To(Succeed())
	i := d.PodOn(n, pod.Name)
	Expect(d.BecomesTrue("the hog is at work", d.Timing.Binding(), func(ctx context.Context, _ kubernetes.Interface) error {
		_, err := i.Process(ctx)
		return err
	})).To(Succeed())
	return i
}

// End deletes a hog, and waits until it is gone. The API may be slow to take that while there
// is a hog, so it is asked again.
func End(d *Drill, pod *corev1.Pod) {
	GinkgoHelper()
	Expect(d.BecomesTrue("the hog is deleted and gone", d.Timing.Binding(), func(ctx context.Context, c kubernetes.Interface) error {
		err := c.CoreV1().Pods(Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
		return PodGone(pod.Name)(ctx, c)
	})).To(Succeed())
}

// Killed fails unless Kubernetes says that a hog was killed for want of memory, with an amount
// of MiB that is as wanted.
func Killed(pod *corev1.Pod, wanted Amount) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		found, err := c.CoreV1().Pods(Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		had, err := hadWhenKilled(found.Status.ContainerStatuses)
		if err == nil && (had <= wanted.above || wanted.upTo > 0 && had > wanted.upTo) {
			err = fmt.Errorf("it had %d MiB when it was killed", had)
		}
		return err
	}
}

// Amount is a range of MiB.
type Amount struct{ above, upTo int }

// Above is more than so many MiB.
func Above(mebibytes int) Amount { return Amount{above: mebibytes} }

func upTo(mebibytes int) Amount { return Amount{upTo: mebibytes} }

// hadWhenKilled is how many MiB a hog had that was killed for want of memory.
func hadWhenKilled(containers []corev1.ContainerStatus) (int, error) {
	for _, c := range containers {
		for _, ended := range []*corev1.ContainerStateTerminated{c.LastTerminationState.Terminated, c.State.Terminated} {
			if ended != nil && ended.Reason == "OOMKilled" {
				return lastAmount(ended.Message)
			}
		}
	}
	return 0, fmt.Errorf("it was not killed for want of memory: %+v", containers)
}

// lastAmount is what a hog said last.
func lastAmount(said string) (had int, err error) {
	err = fmt.Errorf("it never said how much it had, only %q", said)
	for line := range strings.Lines(said) {
		var n int
		if _, unread := fmt.Sscanf(line, "has %d MiB", &n); unread == nil {
			had, err = n, nil
		}
	}
	return had, err
}

// use is what a hog has used of the CPUs.
type use struct {
	// ticks of CPU time, of which there are a hundred in a second.
	ticks int64
	// throttled are the periods in which its control group or its pod's had used its quota up.
	throttled int64
	took      time.Duration
}

// useScript prints both for the process $1.
const useScript = `awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$1/stat"
root=/sys/fs/cgroup
if [ -d "$root/cpu" ]; then
  group=$root/cpu$(sed -n 's/^[0-9]*:\(cpu\|cpu,cpuacct\|cpuacct,cpu\)://p' "/proc/$1/cgroup")
else
  group=$root$(sed -n 's/^0:://p' "/proc/$1/cgroup")
fi
cat "$group/cpu.stat" "$(dirname "$group")/cpu.stat" | awk '$1 == "nr_throttled" { n += $2 } END { print n + 0 }'
`

func useOf(ctx context.Context, i clusters.Instance) (use, error) {
	var u use
	p, err := i.Process(ctx)
	if err != nil {
		return u, err
	}
	out, err := i.Node.Exec(ctx, "sh", "-e", "-c", useScript, "sh", strconv.Itoa(p.PID))
	if err != nil {
		return u, fmt.Errorf("look at what %s uses: %w", i, err)
	}
	if _, err := fmt.Sscan(string(out), &u.ticks, &u.throttled); err != nil {
		return u, fmt.Errorf("look at what %s uses: unexpected answer %q: %w", i, out, err)
	}
	return u, nil
}

// watchUse is what a hog uses in a while.
func watchUse(ctx context.Context, d *Drill, i clusters.Instance) use {
	GinkgoHelper()
	before, err := useOf(ctx, i)
	Expect(err).NotTo(HaveOccurred())
	begun := time.Now()
	d.Hold(watched)
	took := time.Since(begun)
	after, err := useOf(ctx, i)
	Expect(err).NotTo(HaveOccurred())
	return use{after.ticks - before.ticks, after.throttled - before.throttled, took}
}

// cpus is how many CPUs it had on average.
func (u use) cpus() float64 { return float64(u.ticks) / 100 / u.took.Seconds() }

func (u use) String() string {
	return fmt.Sprintf("in %.1f s it used %.2f CPUs and was throttled in %d periods", u.took.Seconds(), u.cpus(), u.throttled)
}

// throttledTo fails unless it was, and had so many CPUs at most.
func (u use) throttledTo(most float64) error {
	return Unless(u.throttled > 0 && u.ticks > 0 && u.cpus() <= most, fmt.Errorf("it is allowed %.2f CPUs at most", most))
}

// unthrottledAbove fails unless it never was, and had more CPUs than that.
func (u use) unthrottledAbove(least float64) error {
	return Unless(u.throttled == 0 && u.cpus() > least, fmt.Errorf("it takes %.2f CPUs at least", least))
}
