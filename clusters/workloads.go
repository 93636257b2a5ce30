package clusters

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// Namespace is where a layout has the objects of the workload. Quotas has three of its
// own, see QuotaNamespaces.
func (w Workload) Namespace() string {
	if w == DNSPerHost {
		return metav1.NamespaceSystem
	}
	return "faultline-" + string(w)
}

// QuotaNamespaces are those that divide a cluster with the workload Quotas.
func QuotaNamespaces() []string {
	return []string{Quotas.Namespace() + "-1", Quotas.Namespace() + "-2", Quotas.Namespace() + "-3"}
}

// Labels of the pods of workloads: the key, and the values where there are several
// kinds of pods in a namespace.
const (
	AppLabel = "app"
	// ByHost and ByNode are the replicas of SpreadReplicas that repel each other so.
	ByHost = "by-host"
	ByNode = "by-node"
)

// AppLabels are those of an app's pods.
func AppLabels(app string) map[string]string { return map[string]string{AppLabel: app} }

// OfApp selects an app's pods.
func OfApp(app string) metav1.ListOptions {
	return metav1.ListOptions{LabelSelector: AppLabel + "=" + app}
}

// tenants checks what runs on a cluster beyond what every cluster has.
type tenants struct {
	*Cluster
	api kubernetes.Interface
}

// checkWorkloads proves that everything that the topology runs is where it should be
// and works.
func (c *Cluster) checkWorkloads(ctx context.Context) error {
	if len(c.Topology.Workloads) == 0 && !c.Topology.AirGapped {
		return nil
	}
	api, err := c.Client(c.Front())
	if err != nil {
		return err
	}
	return (&tenants{c, api}).check(ctx)
}

func (t *tenants) check(ctx context.Context) error {
	checks := map[Workload]func(context.Context) error{
		DNSPerHost: t.checkDNS, SpreadReplicas: t.checkSpread, LocalVolumes: t.checkLocalVolumes,
		ExternalVolume: t.checkExternalVolume, ExternalDatabase: t.checkExternalDatabase, Quotas: t.checkQuotas,
	}
	for _, w := range t.Topology.Workloads {
		check, ok := checks[w]
		if !ok {
			return fmt.Errorf("nobody knows how to check the workload %q", w)
		}
		if err := check(ctx); err != nil {
			return fmt.Errorf("workload %s: %w", w, err)
		}
	}
	if t.Topology.AirGapped {
		return t.checkAirGap(ctx)
	}
	return nil
}

// seat is a pod with its place.
type seat struct {
	pod  corev1.Pod
	host string
}

// seats lists the pods that a selector finds, in the order of their names. All have to
// be ready, and there have to be as many as wanted. Pods that ended do not count.
func (t *tenants) seats(ctx context.Context, namespace, selector string, want int) ([]seat, error) {
	list, err := t.api.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, fmt.Errorf("list pods of %s: %w", namespace, err)
	}
	var all []seat
	for _, p := range list.Items {
		if p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded {
			continue
		}
		if p.DeletionTimestamp != nil || !PodReady(&p) {
			return nil, fmt.Errorf("pod %s/%s on node %q is not ready (%s): %s", namespace, p.Name, p.Spec.NodeName, p.Status.Phase, whyNotReady(&p))
		}
		n, err := t.Node(p.Spec.NodeName)
		if err != nil {
			return nil, fmt.Errorf("pod %s/%s: %w", namespace, p.Name, err)
		}
		all = append(all, seat{p, n.Host})
	}
	if len(all) != want {
		return nil, fmt.Errorf("%d pods with %s are in namespace %s, want %d", len(all), selector, namespace, want)
	}
	return all, nil
}

// whyNotReady is the first thing that the API says against a pod.
func whyNotReady(p *corev1.Pod) string {
	if p.DeletionTimestamp != nil {
		return "it is being deleted"
	}
	for _, s := range p.Status.ContainerStatuses {
		if w := s.State.Waiting; w != nil && w.Message != "" {
			return w.Reason + ": " + w.Message
		}
	}
	for _, c := range p.Status.Conditions {
		if c.Status == corev1.ConditionFalse && c.Message != "" {
			return c.Message
		}
	}
	return "no reason is given"
}

func byHost(s seat) string { return s.host }
func byNode(s seat) string { return s.pod.Spec.NodeName }

// apart fails when two of the pods share a place.
func apart(seats []seat, place func(seat) string) error {
	taken := map[string]string{}
	for _, s := range seats {
		at := place(s)
		if other, ok := taken[at]; ok {
			return fmt.Errorf("pods %s and %s are both on %s", other, s.pod.Name, at)
		}
		taken[at] = s.pod.Name
	}
	return nil
}

// counts is how many of the pods each place has.
func counts(seats []seat, place func(seat) string) map[string]int {
	n := map[string]int{}
	for _, s := range seats {
		n[place(s)]++
	}
	return n
}

// checkDNS proves that every replica of the cluster's DNS is ready and on a host of its
// own, and that there are two at least (A:L31).
func (t *tenants) checkDNS(ctx context.Context) error {
	deployment, err := t.api.AppsV1().Deployments(metav1.NamespaceSystem).Get(ctx, "coredns", metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read the deployment of the cluster's DNS: %w", err)
	}
	want := 1
	if deployment.Spec.Replicas != nil {
		want = int(*deployment.Spec.Replicas)
	}
	if want < 2 {
		return fmt.Errorf("the cluster's DNS has %d replicas, want 2 at least", want)
	}
	seats, err := t.seats(ctx, metav1.NamespaceSystem, "k8s-app=kube-dns", want)
	if err != nil {
		return err
	}
	return apart(seats, byHost)
}

// spreadSize is how many replicas each kind of SpreadReplicas has.
const spreadSize = 3

// checkSpread proves that replicas that repel each other by host are on different
// hosts, and that those that do so by node are on different nodes but, their nodes being
// on two hosts, share a host (A:L110).
func (t *tenants) checkSpread(ctx context.Context) error {
	seats, err := t.seats(ctx, SpreadReplicas.Namespace(), AppLabel+"="+ByHost, spreadSize)
	if err != nil {
		return err
	}
	if err := apart(seats, byHost); err != nil {
		return fmt.Errorf("replicas that repel each other by host: %w", err)
	}
	seats, err = t.seats(ctx, SpreadReplicas.Namespace(), AppLabel+"="+ByNode, spreadSize)
	if err != nil {
		return err
	}
	if err := apart(seats, byNode); err != nil {
		return fmt.Errorf("replicas that repel each other by node: %w", err)
	}
	if hosts := counts(seats, byHost); len(hosts) == spreadSize {
		return errors.New("replicas that repel each other by node are on different hosts, so that they cannot show the difference")
	}
	return nil
}

// checkQuotas proves of each namespace that its pods run, that its quota counts them,
// and that the API refuses what exceeds it (A:L74).
func (t *tenants) checkQuotas(ctx context.Context) error {
	for _, namespace := range QuotaNamespaces() {
		if err := t.checkQuota(ctx, namespace); err != nil {
			return fmt.Errorf("namespace %s: %w", namespace, err)
		}
	}
	return nil
}

// quotaName is the name of the quota in each of the namespaces.
const quotaName = "quota"

func (t *tenants) checkQuota(ctx context.Context, namespace string) error {
	deployment, err := t.api.AppsV1().Deployments(namespace).Get(ctx, AppLabel, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read the deployment: %w", err)
	}
	seats, err := t.seats(ctx, namespace, AppLabel+"="+AppLabel, int(*deployment.Spec.Replicas))
	if err != nil {
		return err
	}
	quota, err := t.api.CoreV1().ResourceQuotas(namespace).Get(ctx, quotaName, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read the quota: %w", err)
	}
	if err := checkUsage(quota, seats); err != nil {
		return err
	}
	_, err = t.api.CoreV1().Pods(namespace).Create(ctx, exceeding(quota), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	switch {
	case err == nil:
		return errors.New("a pod that asks for all of the quota was accepted beside what runs")
	case !apierrors.IsForbidden(err):
		return fmt.Errorf("a pod that asks for all of the quota was not forbidden: %w", err)
	}
	return nil
}

// checkUsage compares what a quota says is used with the pods that use it.
func checkUsage(quota *corev1.ResourceQuota, seats []seat) error {
	want := corev1.ResourceList{corev1.ResourcePods: *resource.NewQuantity(int64(len(seats)), resource.DecimalSI)}
	for _, s := range seats {
		for _, c := range s.pod.Spec.Containers {
			for from, to := range map[corev1.ResourceName]corev1.ResourceName{
				corev1.ResourceCPU: corev1.ResourceRequestsCPU, corev1.ResourceMemory: corev1.ResourceRequestsMemory,
			} {
				sum := want[to]
				sum.Add(c.Resources.Requests[from])
				want[to] = sum
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		used, need := quota.Status.Used[name], want[name]
		if used.Cmp(need) != 0 || used.IsZero() {
			return fmt.Errorf("the quota counts %s of %s, the pods have %s", used.String(), name, need.String())
		}
	}
	return nil
}

// exceeding is a pod that asks for as much as the quota allows to all.
func exceeding(quota *corev1.ResourceQuota) *corev1.Pod {
	all := corev1.ResourceList{
		corev1.ResourceCPU:    quota.Spec.Hard[corev1.ResourceRequestsCPU],
		corev1.ResourceMemory: quota.Spec.Hard[corev1.ResourceRequestsMemory],
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "exceeding-"},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "none", Image: "faultline.invalid/none", Resources: corev1.ResourceRequirements{Requests: all, Limits: all},
		}}},
	}
}
