package recovery

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

// recovered expects that a runbook has left nothing to do: the cluster is as its layout
// declares, its members of etcd agree, applications were never interrupted, and it does what
// conformance asks of every cluster. The audit of what was acknowledged ends the experiment.
func recovered(d *Drill) {
	GinkgoHelper()
	isWhole(d)
	sameData(d)
	Expect(d).To(KeepServing(probe.Workload))
	Conforms(d)
}

func isWhole(d *Drill) {
	GinkgoHelper()
	Expect(d.BecomesTrue("the cluster is as its layout declares", d.Timing.RestoredInAll(),
		func(ctx context.Context, _ kubernetes.Interface) error { return d.AwaitShape(ctx) })).To(Succeed())
}

func sameData(d *Drill) {
	GinkgoHelper()
	Expect(d.BecomesTrue("all members of etcd have the same data", d.Timing.MemberReturn(),
		func(ctx context.Context, _ kubernetes.Interface) error { return d.SameData(ctx, d.EtcdMembers()) })).To(Succeed())
}

// Conforms expects a sample of what the conformance tests of Kubernetes assert: pods are placed
// and run, from every node a service leads to them by its name, volumes hold what they should and
// RBAC decides, and what is deleted goes with everything that belongs to it.
func Conforms(d *Drill) {
	GinkgoHelper()
	d.Afterwards(removeSample)
	Expect(d.Attempt("create a sample of applications", createSample)).To(BeAccepted())
	Expect(d.BecomesTrue("the pods of a deployment and one for every node are placed and ready", d.Timing.NodeReturn(), sampleRuns(len(d.WorkloadNodes())))).To(Succeed())
	Expect(d.BecomesTrue("a pod on every node reaches a service by its name, and may do through the API what its role grants and nothing else",
		d.Timing.NodeReturn(), ofClients(isAnswered))).To(Succeed())
	Expect(d.BecomesTrue("its volumes hold the configmap, the secret and what another container of it writes",
		d.Timing.Noticed(), ofClients(volumesHold(d)))).To(Succeed())
	Expect(d.Attempt("delete the sample", removeSample)).To(BeAccepted())
	Expect(d.BecomesTrue("all its pods are gone", d.Timing.NodeReturn(), sampleIsGone)).To(Succeed())
}

// sampleRuns fails unless all pods of the sample are ready, with a client on each of so many nodes.
func sampleRuns(nodes int) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		return errors.Join(PodsReady(Namespace, clusters.OfApp(sample), sampleReplicas)(ctx, c), PodsReady(Namespace, clusters.OfApp(sampleClient), nodes)(ctx, c))
	}
}

// sampleIsGone fails while there is a pod of the sample: they are deleted by the garbage collector.
func sampleIsGone(ctx context.Context, c kubernetes.Interface) error {
	for _, app := range []string{sample, sampleClient} {
		list, err := c.CoreV1().Pods(Namespace).List(ctx, clusters.OfApp(app))
		if err != nil {
			return err
		}
		if len(list.Items) > 0 {
			return fmt.Errorf("pod %s is there", list.Items[0].Name)
		}
	}
	return nil
}

// sampleTargets are what the client in the sample's pod asks for, with its own identity.
var sampleTargets = []struct {
	name, url string
	status    int
}{
	{"service", "http://" + sample + "/", http.StatusOK},
	{"name", "dns:" + sample + "." + Namespace + ".svc.cluster.local.", http.StatusOK},
	{"granted", "https://kubernetes.default.svc/api/v1/namespaces/" + Namespace + "/configmaps/" + sample, http.StatusOK},
	{"not granted", "https://kubernetes.default.svc/api/v1/namespaces/" + Namespace + "/secrets/" + sample, http.StatusForbidden},
}

// ofClients fails unless there are clients of the sample, and a check passes for all of them, on their nodes.
func ofClients(check func(context.Context, kubernetes.Interface, *corev1.Pod) error) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		list, err := c.CoreV1().Pods(Namespace).List(ctx, clusters.OfApp(sampleClient))
		if err != nil {
			return err
		}
		if len(list.Items) == 0 {
			return errors.New("the sample has no client")
		}
		var errs []error
		for _, pod := range list.Items {
			if err := check(ctx, c, &pod); err != nil {
				errs = append(errs, fmt.Errorf("on %s: %w", pod.Spec.NodeName, err))
			}
		}
		return errors.Join(errs...)
	}
}

// isAnswered reads, through the API, what the client in the pod has got.
func isAnswered(ctx context.Context, c kubernetes.Interface, pod *corev1.Pod) error {
	history, err := c.CoreV1().Pods(Namespace).ProxyGet("http", pod.Name, strconv.Itoa(samplePort), "history", nil).DoRaw(ctx)
	if err != nil {
		return fmt.Errorf("ask the pod by way of the API: %w", err)
	}
	return judgeAnswers(history)
}

// judgeAnswers fails unless the latest answer of every target is the right one.
func judgeAnswers(history []byte) error {
	type answer struct {
		Target, Error string
		Status        int
	}
	latest := map[string]answer{}
	for line := range bytes.Lines(history) {
		var a answer
		if err := json.Unmarshal(line, &a); err != nil {
			return fmt.Errorf("read what the pod got: %w", err)
		}
		latest[a.Target] = a
	}
	var errs []error
	for _, t := range sampleTargets {
		if a, asked := latest[t.name]; a.Status != t.status {
			errs = append(errs, fmt.Errorf("%s: asked %t, the status is %d, want %d %s", t.name, asked, a.Status, t.status, a.Error))
		}
	}
	return errors.Join(errs...)
}

// volumesScript prints what the process $1 finds in its volumes, a line for each.
const volumesScript = `cd "/proc/$1/root" && for file in config/value secret/value scratch/beat; do
  echo "$file: $(cat "$file" 2>&1)"
done`

// volumesHold fails unless the client in the sample's pod finds in its volumes what belongs there, by
// the kernel of its node.
func volumesHold(d *Drill) func(context.Context, kubernetes.Interface, *corev1.Pod) error {
	return func(ctx context.Context, _ kubernetes.Interface, pod *corev1.Pod) error {
		n, err := d.Node(pod.Spec.NodeName)
		if err != nil {
			return err
		}
		process, err := d.PodOn(n, pod.Name).Process(ctx)
		if err != nil {
			return err
		}
		out, err := n.Exec(ctx, "sh", "-c", volumesScript, "sh", strconv.Itoa(process.PID))
		if err != nil {
			return err
		}
		return judgeVolumes(string(out))
	}
}

// judgeVolumes fails unless each volume holds what it should: the last one is an empty directory in
// which another container counts.
func judgeVolumes(listing string) error {
	want := map[string]string{"config/value": sampleConfig, "secret/value": sampleSecret, "scratch/beat": "heartbeat "}
	for line := range strings.Lines(listing) {
		file, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		if text, known := want[file]; known && (value == text || strings.HasSuffix(text, " ") && strings.HasPrefix(value, text)) {
			delete(want, file)
		}
	}
	if len(want) > 0 {
		return fmt.Errorf("%v do not hold what they should: %q", slices.Sorted(maps.Keys(want)), listing)
	}
	return nil
}
