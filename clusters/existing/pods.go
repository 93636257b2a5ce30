package existing

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"faultline/clusters"
)

// Namespace is where the pods live through which nodes are reached.
const Namespace = "faultline-access"

// accessLabel marks those pods.
const accessLabel = "faultline/access"

// Pods are a short-lived privileged pod on each node, through which commands run on it.
//
// The pod's own image is of no importance, for it borrows the node's programs: any that the
// node already has will do. Commands go to the node's kubelet itself, which remembers for five
// minutes that we are allowed to, and over the API only where it does not answer. Nodes
// without Kubernetes cannot be reached so.
type Pods struct {
	target *Target
	found  *Found
}

// NewPods is the way over pods to what was found. Nothing is created yet.
func NewPods(t *Target, found *Found) *Pods { return &Pods{target: t, found: found} }

// Manifest is what Open creates, as YAML for people. The pods end by themselves after the
// lifetime. An empty image stands for one that each node already has.
func (p *Pods) Manifest(image string, lifetime time.Duration) (string, error) {
	var text strings.Builder
	objects := []any{namespaceObject(p.found.Cluster.Run), accountObject()}
	pods, err := p.pods(image, lifetime)
	if err != nil {
		return "", err
	}
	for _, pod := range pods {
		objects = append(objects, pod)
	}
	for _, o := range objects {
		out, err := yaml.Marshal(o)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&text, "---\n%s", out)
	}
	return text.String(), nil
}

// Open creates the pods, waits until they run, and returns the way through them.
func (p *Pods) Open(ctx context.Context, image string, lifetime time.Duration) (clusters.Shell, error) {
	pods, err := p.pods(image, lifetime)
	if err != nil {
		return nil, err
	}
	client := p.target.client.CoreV1()
	if _, err := client.Namespaces().Create(ctx, namespaceObject(p.found.Cluster.Run), metav1.CreateOptions{}); err != nil {
		return nil, fmt.Errorf("create the namespace of the pods that reach nodes: %w; a run that was killed leaves it, remove it with: make chaos-recover", err)
	}
	if _, err := client.ServiceAccounts(Namespace).Create(ctx, accountObject(), metav1.CreateOptions{}); err != nil {
		return nil, fmt.Errorf("create the service account of the pods that reach nodes: %w", err)
	}
	for _, pod := range pods {
		if _, err := client.Pods(Namespace).Create(ctx, pod, metav1.CreateOptions{}); err != nil {
			return nil, fmt.Errorf("create the pod that reaches node %s: %w", pod.Spec.NodeName, err)
		}
	}
	if err := p.awaitRunning(ctx, len(pods)); err != nil {
		return nil, err
	}
	return shellOf(p.target, p.found.kubelets), p.pin(ctx)
}

// startTime limits how long the pods take to run: their image is on the nodes already.
const startTime = 2 * time.Minute

func (p *Pods) awaitRunning(ctx context.Context, want int) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	return clusters.Await(ctx, time.Second, "the pods that reach nodes", func(ctx context.Context) error {
		list, err := p.target.client.CoreV1().Pods(Namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		running := 0
		for _, pod := range list.Items {
			if pod.Status.Phase == corev1.PodRunning {
				running++
				continue
			}
			err = fmt.Errorf("the pod on %s is %s%s", pod.Spec.NodeName, pod.Status.Phase, waiting(pod))
		}
		if running < want && err == nil {
			err = fmt.Errorf("%d of %d pods run", running, want)
		}
		return err
	})
}

// waiting tells why a pod's container does not run.
func waiting(pod corev1.Pod) string {
	for _, s := range pod.Status.ContainerStatuses {
		if s.State.Waiting != nil {
			return fmt.Sprintf(" (%s: %s)", s.State.Waiting.Reason, s.State.Waiting.Message)
		}
	}
	return ""
}

// namespaceObject names the run, so that only that run removes it.
func namespaceObject(run string) *corev1.Namespace {
	return &corev1.Namespace{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
		ObjectMeta: metav1.ObjectMeta{Name: Namespace, Labels: map[string]string{
			clusters.RunLabel:                    run,
			"pod-security.kubernetes.io/enforce": "privileged",
		}},
	}
}

// accountObject may do nothing: no role is bound to it, and the pods get no token.
func accountObject() *corev1.ServiceAccount {
	no := false
	return &corev1.ServiceAccount{
		TypeMeta:                     metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"},
		ObjectMeta:                   metav1.ObjectMeta{Name: "faultline-access", Namespace: Namespace},
		AutomountServiceAccountToken: &no,
	}
}

func (p *Pods) pods(image string, lifetime time.Duration) ([]*corev1.Pod, error) {
	var all []*corev1.Pod
	var errs []error
	for _, n := range p.found.Cluster.Nodes {
		if !n.Role.Kubernetes() {
			errs = append(errs, fmt.Errorf("%s (%s) is no node of Kubernetes: give a command that reaches it", n.Name, n.Address))
			continue
		}
		of := image
		if of == "" {
			of = p.found.kubelets[n.Name].image
		}
		if of == "" {
			errs = append(errs, fmt.Errorf("node %s does not say which images it has: name one that it can run", n.Name))
			continue
		}
		all = append(all, accessPod(n.Name, of, image == "", lifetime))
	}
	return all, errors.Join(errs...)
}

// borrowed are the folders of the node that hold its programs, and what those need to start.
var borrowed = []string{"/usr", "/bin", "/sbin", "/lib", "/lib64"}

// accessPod has the node's programs, processes and capabilities, and does nothing. It stays on
// a node whatever becomes of that, until its time is over.
func accessPod(node, image string, present bool, lifetime time.Duration) *corev1.Pod {
	yes, no := true, false
	seconds, grace := int64(lifetime.Seconds()), int64(0)
	pull := corev1.PullIfNotPresent
	if present {
		pull = corev1.PullNever
	}
	pod := &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Name: podName(node), Namespace: Namespace, Labels: labels.Set{accessLabel: "node"}},
		Spec: corev1.PodSpec{
			NodeName: node, HostPID: true, HostNetwork: true, RestartPolicy: corev1.RestartPolicyAlways,
			ServiceAccountName: accountObject().Name, AutomountServiceAccountToken: &no, EnableServiceLinks: &no,
			ActiveDeadlineSeconds: &seconds, TerminationGracePeriodSeconds: &grace,
			Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
			Containers: []corev1.Container{{
				Name: containerName, Image: image, ImagePullPolicy: pull, Command: []string{"/usr/bin/sleep", "infinity"},
				SecurityContext: &corev1.SecurityContext{Privileged: &yes},
			}},
		},
	}
	for _, folder := range borrowed {
		name := "node" + strings.ReplaceAll(folder, "/", "-")
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: folder}}})
		pod.Spec.Containers[0].VolumeMounts = append(pod.Spec.Containers[0].VolumeMounts, corev1.VolumeMount{Name: name, MountPath: folder, ReadOnly: true})
	}
	return pod
}

const containerName = "node"

func podName(node string) string { return "node-" + strings.ReplaceAll(node, ".", "-") }

// presentImage is one that the node says it has: pause, which every node needs, or another
// part of Kubernetes, or any.
func presentImage(n corev1.Node) string {
	var names []string
	for _, i := range n.Status.Images {
		for _, name := range i.Names {
			if !strings.Contains(name, "@") {
				names = append(names, name)
			}
		}
	}
	for _, wanted := range []string{"/pause:", "/kube-proxy:", "registry.k8s.io/", ""} {
		if at := slices.IndexFunc(names, func(name string) bool { return strings.Contains(name, wanted) }); at >= 0 {
			return names[at]
		}
	}
	return ""
}

// enterNode runs what follows on the node itself, in all namespaces of its first process.
var enterNode = []string{"/usr/bin/nsenter", "--target", "1", "--mount", "--uts", "--ipc", "--net", "--pid", "--"}

func shellOf(t *Target, kubelets map[string]kubelet) clusters.Shell {
	return func(ctx context.Context, node string, stdin io.Reader, argv ...string) ([]byte, error) {
		k, ok := kubelets[node]
		if !ok {
			return nil, fmt.Errorf("no node %q of Kubernetes was discovered", node)
		}
		out, err := k.run(ctx, t, podName(node), stdin, slices.Concat(enterNode, argv))
		if err != nil {
			return nil, fmt.Errorf("on node %s: %.80q: %w", node, argv, err)
		}
		return out, nil
	}
}

// pin learns the certificate of each node's kubelet over the API, which vouches for it, so
// that commands can go to the kubelet itself from then on.
func (p *Pods) pin(ctx context.Context) error {
	var group errgroup.Group
	certificates := make([][]byte, len(p.found.Cluster.Nodes))
	for n, node := range p.found.Cluster.Nodes {
		group.Go(func() (err error) {
			argv := slices.Concat(enterNode, []string{"sh", "-c", servingCertificate})
			certificates[n], err = p.found.kubelets[node.Name].throughAPI(ctx, p.target, podName(node.Name), nil, argv)
			if err != nil {
				return fmt.Errorf("read the certificate of the kubelet on %s: %w", node.Name, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for n, node := range p.found.Cluster.Nodes {
		k := p.found.kubelets[node.Name]
		k.Certificate = certificates[n]
		p.found.kubelets[node.Name] = k
	}
	return nil
}

// Direct tells why commands cannot go to the node without the API; nil when they can.
func (p *Pods) Direct(ctx context.Context, node string) error {
	k := p.found.kubelets[node]
	config, err := k.direct(p.target.config)
	if err != nil {
		return err
	}
	_, err = throughKubelet(ctx, config, podName(node), nil, []string{"/usr/bin/true"})
	return err
}
