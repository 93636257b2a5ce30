package fault

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	"faultline/clusters/clustertest"
)

// contractMistakes judges by kubectl on the node, by its containers and by what the API
// then accepts.
func contractMistakes(t *testing.T, c *clusters.Cluster) {
	node := c.Nodes[0]
	server := c.Instances(clusters.APIServer)[0]
	client, err := c.Client(c.Front())
	if err != nil {
		t.Fatal(err)
	}
	t.Run("a lease is stolen", func(t *testing.T) {
		mustBeLed(t, c, clusters.Scheduler)
		i := landLive(t, liveInjector(t, c), StealLease(c, clusters.Scheduler))
		// Longer than the duration of a lease: nobody takes this one over.
		for start := time.Now(); time.Since(start) < clusters.LeaseDuration+3*time.Second; time.Sleep(time.Second) {
			if holder := kubectlOn(t, node, "-n", "kube-system", "get", "lease", "kube-scheduler", "-o", "jsonpath={.spec.holderIdentity}"); !strings.HasPrefix(holder, "faultline-"+string(KindStealLease)) {
				t.Fatalf("the lease is held by %q", holder)
			}
		}
		undoIdentity(t, c, i, server)
		mustBeLed(t, c, clusters.Scheduler)
	})
	t.Run("a lease is deleted", func(t *testing.T) {
		uid := func() string {
			return kubectlOn(t, node, "-n", "kube-system", "get", "lease", "kube-controller-manager", "--ignore-not-found", "-o", "jsonpath={.metadata.uid}")
		}
		before := uid()
		i := landLive(t, liveInjector(t, c), DeleteLease(c, clusters.ControllerManager))
		if now := uid(); now == before {
			t.Errorf("the lease is still %s", now)
		}
		undoIdentity(t, c, i, server)
		mustBeLed(t, c, clusters.ControllerManager)
	})
	t.Run("a webhook fails closed", func(t *testing.T) {
		i := landLive(t, liveInjector(t, c), FailClosedWebhook(c, "pods", "leases"))
		_, err := client.CoreV1().Pods("default").Create(t.Context(), aPod("blocked"), metav1.CreateOptions{})
		if err == nil || !strings.Contains(err.Error(), "failed calling webhook") {
			t.Errorf("a pod: got %v, want it refused", err)
		}
		if _, err := client.CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "free"}}, metav1.CreateOptions{}); err != nil {
			t.Errorf("what is not blocked: %v", err)
		}
		_ = client.CoreV1().ConfigMaps("default").Delete(t.Context(), "free", metav1.DeleteOptions{})
		undoIdentity(t, c, i, server)
		if _, err := client.CoreV1().Pods("default").Create(t.Context(), aPod("free"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}); err != nil {
			t.Errorf("after the undo: %v", err)
		}
	})
	t.Run("a namespace is deleted", func(t *testing.T) { contractNamespace(t, c, client) })
	t.Run("the node undoes a webhook", func(t *testing.T) {
		i := landLive(t, liveInjector(t, c), FailClosedWebhook(c, "*").WithTTL(20*time.Second))
		eventually(t, "a clean node", time.Until(i.Deadline())+15*time.Second, server, spotless)
		if found := kubectlOn(t, node, "get", "validatingwebhookconfigurations", "-o", "name"); found != "" {
			t.Errorf("left: %s", found)
		}
		undoIdentity(t, c, i, server)
	})
	t.Run("a flag is set", func(t *testing.T) {
		scheduler := c.Instances(clusters.Scheduler)[0]
		command := func() string {
			out, err := node.Exec(t.Context(), "sh", "-c", "tr '\\0' ' ' < /proc/$(pgrep -xo kube-scheduler)/cmdline")
			if err != nil {
				t.Error(err)
			}
			return string(out)
		}
		i := landLive(t, liveInjector(t, c), SetFlag("--leader-elect=false", scheduler))
		if got := command(); !strings.Contains(got, " --leader-elect=false ") {
			t.Errorf("it runs as %s", got)
		}
		undoIdentity(t, c, i, server)
		if got := command(); strings.Contains(got, " --leader-elect=false ") {
			t.Errorf("after the undo it runs as %s", got)
		}
		mustBeLed(t, c, clusters.Scheduler)
	})
	t.Run("flags of a kubelet are set", func(t *testing.T) {
		tells := func(pods string) func(context.Context, clusters.Instance) error {
			return func(context.Context, clusters.Instance) error {
				if got := kubectlOn(t, node, "get", "node", node.Name, "-o", "jsonpath={.status.capacity.pods}"); got != pods {
					return fmt.Errorf("the node says that it has room for %s pods, want %s", got, pods)
				}
				return nil
			}
		}
		before := kubectlOn(t, node, "get", "node", node.Name, "-o", "jsonpath={.status.capacity.pods}")
		i := landLive(t, liveInjector(t, c), SetFlags([]string{"--max-pods=77", "--eviction-hard=memory.available<1%"}, node.Instances(clusters.Kubelet)...))
		eventually(t, "another room for pods", time.Minute, server, tells("77"))
		undoIdentity(t, c, i, server)
		eventually(t, "the former room for pods", time.Minute, server, tells(before))
		eventually(t, "a clean node", 5*time.Second, server, clean)
	})
	t.Run("the node is erased", func(t *testing.T) {
		i := landLive(t, liveInjector(t, c), Erase(node))
		for _, component := range components[:4] {
			eventually(t, "silence", time.Second, c.Instances(component)[0], silent)
		}
		if out, err := node.Exec(t.Context(), "find", "/etc/kubernetes", clusters.EtcdData+"/member", "-type", "f"); err == nil || len(out) > 0 {
			t.Errorf("left: %s, %v", out, err)
		}
		undoIdentity(t, c, i, server)
		mustBeLed(t, c, clusters.Scheduler)
	})
	t.Run("the node undoes its erasure", func(t *testing.T) {
		i := landLive(t, liveInjector(t, c), Erase(node).WithTTL(20*time.Second))
		eventually(t, "a clean node", time.Until(i.Deadline())+15*time.Second, server, spotless)
		undoIdentity(t, c, i, server)
		mustBeLed(t, c, clusters.Scheduler)
	})
	t.Run("the manifests are deleted", func(t *testing.T) {
		i := landLive(t, liveInjector(t, c), DeleteManifests(node))
		for _, component := range components[:4] {
			eventually(t, "silence", time.Second, c.Instances(component)[0], silent)
		}
		eventually(t, "no container", 40*time.Second, server, func(ctx context.Context, i clusters.Instance) error {
			out, err := i.Node.Exec(ctx, "crictl", "ps", "--quiet", "--name", "^(etcd|kube-apiserver|kube-scheduler|kube-controller-manager)$")
			if err == nil && len(out) > 0 {
				err = fmt.Errorf("containers run: %s", out)
			}
			return err
		})
		undoIdentity(t, c, i, server)
	})
}

// kubectlOn asks the API from a node.
func kubectlOn(t *testing.T, n *clusters.Node, args ...string) string {
	t.Helper()
	out, err := n.Exec(t.Context(), append([]string{"kubectl", "--kubeconfig=/etc/kubernetes/admin.conf"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func aPod(name string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: podSpec()}
}

// podSpec runs an image that every node has.
func podSpec() corev1.PodSpec {
	grace := int64(1)
	return corev1.PodSpec{
		TerminationGracePeriodSeconds: &grace,
		Tolerations:                   []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
		Containers:                    []corev1.Container{{Name: "pause", Image: "registry.k8s.io/pause:3.10"}},
	}
}

// contractNamespace deletes a namespace with objects of every sort.
func contractNamespace(t *testing.T, c *clusters.Cluster, client kubernetes.Interface) {
	const name = "doomed"
	ctx := t.Context()
	meta := metav1.ObjectMeta{Name: "thing", Labels: map[string]string{"app": "thing"}}
	one := int32(1)
	_, errNamespace := client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"kept": "yes"}}}, metav1.CreateOptions{})
	_, errConfig := client.CoreV1().ConfigMaps(name).Create(ctx, &corev1.ConfigMap{ObjectMeta: meta, Data: map[string]string{"a": "b"}}, metav1.CreateOptions{})
	_, errSecret := client.CoreV1().Secrets(name).Create(ctx, &corev1.Secret{ObjectMeta: meta, StringData: map[string]string{"s": "t"}}, metav1.CreateOptions{})
	_, errAccount := client.CoreV1().ServiceAccounts(name).Create(ctx, &corev1.ServiceAccount{ObjectMeta: meta}, metav1.CreateOptions{})
	service, errService := client.CoreV1().Services(name).Create(ctx, &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{
		Selector: meta.Labels, Ports: []corev1.ServicePort{{Port: 80}}}}, metav1.CreateOptions{})
	_, errRole := client.RbacV1().Roles(name).Create(ctx, &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{{
		Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"pods"}}}}, metav1.CreateOptions{})
	_, errDeployment := client.AppsV1().Deployments(name).Create(ctx, &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{
		Replicas: &one, Selector: &metav1.LabelSelector{MatchLabels: meta.Labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: meta.Labels}, Spec: podSpec()}}}, metav1.CreateOptions{})
	if err := errors.Join(errNamespace, errConfig, errSecret, errAccount, errService, errRole, errDeployment); err != nil {
		t.Fatal(err)
	}
	waiting, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	_, errReady := replicasReturn(waiting, c, name, map[string]int32{"deployment thing": 1})
	_, errPod := client.CoreV1().Pods(name).Create(ctx, aPod("bare"), metav1.CreateOptions{})
	if err := errors.Join(errReady, errPod); err != nil {
		t.Fatal(err)
	}

	i := landLive(t, liveInjector(t, c), DeleteNamespace(c, name))
	if _, err := client.CoreV1().Secrets(name).Get(ctx, "thing", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("a secret in it: got %v", err)
	}
	administrator := clusters.Instance{Component: clusters.APIServer, Node: c.Nodes[0]}
	undoIdentity(t, c, i, administrator)

	config, errConfig := client.CoreV1().ConfigMaps(name).Get(ctx, "thing", metav1.GetOptions{})
	secret, errSecret := client.CoreV1().Secrets(name).Get(ctx, "thing", metav1.GetOptions{})
	remade, errService := client.CoreV1().Services(name).Get(ctx, "thing", metav1.GetOptions{})
	space, errNamespace := client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
	_, errAccount = client.CoreV1().ServiceAccounts(name).Get(ctx, "thing", metav1.GetOptions{})
	_, errRole = client.RbacV1().Roles(name).Get(ctx, "thing", metav1.GetOptions{})
	_, errPod = client.CoreV1().Pods(name).Get(ctx, "bare", metav1.GetOptions{})
	if err := errors.Join(errConfig, errSecret, errService, errNamespace, errAccount, errRole, errPod); err != nil {
		t.Fatal(err)
	}
	if config.Data["a"] != "b" || string(secret.Data["s"]) != "t" || remade.Spec.ClusterIP != service.Spec.ClusterIP || space.Labels["kept"] != "yes" {
		t.Errorf("not as before: %v, %v, %s (was %s), %v", config.Data, secret.Data, remade.Spec.ClusterIP, service.Spec.ClusterIP, space.Labels)
	}
	if err := client.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
}

// contractMembers removes members of an etcd, and judges by what the others answer.
func contractMembers(t *testing.T, c *clusters.Cluster) {
	members := c.EtcdMembers()
	victim, other := members[0], members[1]
	t.Run("sabotage", func(t *testing.T) {
		mustNotLand(t, c, RemoveEtcdMember(c, victim))
		mustReturn(t, c)
	})
	t.Run("a member is removed", func(t *testing.T) {
		before := write(t, c, other)
		i := landLive(t, liveInjector(t, c), RemoveEtcdMember(c, victim))
		now := write(t, c, other)
		eventually(t, "a log of the removal", 10*time.Second, victim, logs("removed"))
		undoIdentity(t, c, i, victim)
		status, err := c.EtcdStatus(t.Context(), victim)
		if err != nil || status.Revision < now || now <= before || status.Learner {
			t.Errorf("%+v, %v; want a voter with revision %d", status, err, now)
		}
		mustReturn(t, c)
	})
	t.Run("the node takes the member back", func(t *testing.T) {
		i := landLive(t, liveInjector(t, c), RemoveEtcdMember(c, victim).WithTTL(10*time.Second))
		eventually(t, "a clean node", time.Until(i.Deadline())+time.Minute, victim, spotless)
		undoIdentity(t, c, i, victim)
		mustReturn(t, c)
	})
}

// write puts something and returns its revision.
func write(t *testing.T, c *clusters.Cluster, through clusters.Instance) int64 {
	t.Helper()
	client, err := c.EtcdClient(t.Context(), through)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Put(t.Context(), "faultline-test", time.Now().String())
	if err != nil {
		t.Fatal(err)
	}
	return answer.Header.Revision
}

// TestRemovedMembersUnderAControlPlane removes a member that is a static pod.
func TestRemovedMembersUnderAControlPlane(t *testing.T) {
	clustertest.NeedFull(t)
	c := clustertest.New(t, clusters.ThreeHostStacked())
	contractMembers(t, c)
}
