package existing

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"

	"faultline/clusters"
)

// cluster is what kubeadm leaves in the API: masters with static pods, and workers.
type cluster struct {
	masters, workers int
	externalEtcd     bool
	flags            map[clusters.Component][]string
	labels           map[string]string // node: host
	endpoint         string
}

func (c cluster) objects() []runtime.Object {
	var all []runtime.Object
	for n := 1; n <= c.masters+c.workers; n++ {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("n%d", n), Labels: map[string]string{}}}
		node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("10.0.0.%d", n)}}
		node.Status.Images = []corev1.ContainerImage{{Names: []string{"registry.k8s.io/pause@sha256:1", "registry.k8s.io/pause:3.10"}}}
		if host := c.labels[node.Name]; host != "" {
			node.Labels["rack"] = host
		}
		if n <= c.masters {
			node.Labels["node-role.kubernetes.io/control-plane"] = ""
			for _, component := range clusters.Stack {
				if component != clusters.Etcd || !c.externalEtcd {
					all = append(all, staticPod(component, node.Name, c.flags[component]))
				}
			}
		}
		all = append(all, node)
	}
	return append(all, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "kubeadm-config", Namespace: "kube-system"},
		Data:       map[string]string{"ClusterConfiguration": "controlPlaneEndpoint: " + c.endpoint},
	})
}

func staticPod(component clusters.Component, node string, flags []string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: string(component) + "-" + node, Namespace: "kube-system", Labels: map[string]string{"component": string(component)},
			Annotations: map[string]string{corev1.MirrorPodAnnotationKey: "x"},
		},
		Spec: corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Command: append([]string{string(component)}, flags...)}}},
	}
}

func discoverIn(t *testing.T, c cluster, server, hostLabel string) (*Found, error) {
	t.Helper()
	target := &Target{Name: "staging", config: &rest.Config{Host: server}, client: fake.NewClientset(c.objects()...)}
	return target.discover(t.Context(), hostLabel)
}

func TestDiscoverStackedMasters(t *testing.T) {
	found, err := discoverIn(t, cluster{masters: 3, workers: 2, endpoint: "api.example.org:6443"}, "https://api.example.org:6443", "")
	if err != nil {
		t.Fatal(err)
	}
	c := found.Cluster
	if len(c.With(clusters.ControlPlane)) != 3 || len(c.With(clusters.Worker)) != 2 || len(c.EtcdMembers()) != 3 || len(c.APIServers()) != 3 {
		t.Errorf("masters %d, workers %d, etcd %d, API servers %d", len(c.With(clusters.ControlPlane)), len(c.With(clusters.Worker)), len(c.EtcdMembers()), len(c.APIServers()))
	}
	if c.Balancer == nil || c.Balancer.Address != "api.example.org:6443" || c.Endpoint != "api.example.org:6443" {
		t.Errorf("what stands before the API servers is %+v, known as %q", c.Balancer, c.Endpoint)
	}
	if len(found.Unknown) != 0 {
		t.Errorf("unknown: %v", found.Unknown)
	}
	one := c.Topology.Predict(clusters.Loss{Components: []clusters.Component{clusters.Etcd}})
	two := c.Topology.Predict(clusters.Loss{Components: []clusters.Component{clusters.Etcd, clusters.Etcd}})
	if !one.Controlled || two.Writable {
		t.Errorf("one lost member: %+v, two: %+v", one, two)
	}
}

func TestDiscoverHosts(t *testing.T) {
	labels := map[string]string{"n1": "r1", "n2": "r1", "n3": "r2"}
	found, err := discoverIn(t, cluster{masters: 3, workers: 1, labels: labels, endpoint: "lb:6443"}, "https://lb:6443", "rack")
	if err != nil {
		t.Fatal(err)
	}
	var hosts []string
	for _, h := range found.Cluster.Topology.Hosts {
		hosts = append(hosts, fmt.Sprintf("%s:%d", h.Name, len(h.Members)))
	}
	if !slices.Equal(hosts, []string{"r1:2", "r2:1", "n4:1"}) {
		t.Errorf("hosts %v", hosts)
	}
	if len(found.Unknown) != 1 || !strings.Contains(found.Unknown[0], "n4") {
		t.Errorf("unknown: %v, want the node without a label", found.Unknown)
	}
	if lost := found.Cluster.Topology.Predict(clusters.Loss{Hosts: []string{"r1"}}); lost.Writable {
		t.Error("two of three members in one rack are lost, and the model says that the API takes writes")
	}
}

func TestDiscoverExternalEtcd(t *testing.T) {
	flags := map[clusters.Component][]string{clusters.APIServer: {
		"--etcd-servers=https://10.0.1.1:2379,https://10.0.1.2:2379,https://10.0.1.3:2379", "--etcd-cafile=/ca", "--etcd-certfile=/cert", "--etcd-keyfile=/key",
	}}
	found, err := discoverIn(t, cluster{masters: 2, workers: 1, externalEtcd: true, flags: flags, endpoint: "lb:6443"}, "https://lb:6443", "")
	if err != nil {
		t.Fatal(err)
	}
	c := found.Cluster
	if c.Topology.EtcdSize() != 3 || len(c.EtcdMembers()) != 3 || c.EtcdMembers()[0].Unit() != "etcd.service" {
		t.Errorf("etcd has %d members: %v", c.Topology.EtcdSize(), c.EtcdMembers())
	}
	if f := c.EtcdFiles; f == nil || f.Node != "n1" || f.CA != "/ca" || f.Certificate != "/cert" || f.Key != "/key" {
		t.Errorf("what clients of etcd show: %+v", f)
	}
	if _, err := NewPods(&Target{}, found).Manifest("", time.Hour); err == nil || !strings.Contains(err.Error(), "give a command that reaches it") {
		t.Errorf("pods on machines beside Kubernetes: %v", err)
	}
}

func TestDiscoverSettings(t *testing.T) {
	flags := map[clusters.Component][]string{
		clusters.ControllerManager: {"--node-monitor-grace-period=20s", "--leader-elect-lease-duration=60s"},
		clusters.APIServer:         {"--default-unreachable-toleration-seconds=10"},
	}
	found, err := discoverIn(t, cluster{masters: 1, flags: flags}, "https://10.0.0.1:6443", "")
	if err != nil {
		t.Fatal(err)
	}
	p := found.Cluster.Timing.Profile
	if p.NodeMonitorGracePeriod != 20*time.Second || p.NodeTolerations != 10*time.Second {
		t.Errorf("settings %+v", p)
	}
	if len(found.Unknown) != 1 || !strings.Contains(found.Unknown[0], "leader-elect-lease-duration=60s") {
		t.Errorf("unknown: %v, want the other lease", found.Unknown)
	}
	if found.Cluster.Balancer != nil {
		t.Errorf("a single API server has %+v before it", found.Cluster.Balancer)
	}
}

func TestDiscoverRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		cluster cluster
		server  string
		want    string
	}{
		"a control plane that others run":     {cluster{workers: 3}, "https://x:443", "others run"},
		"one API server of several as a door": {cluster{masters: 3}, "https://10.0.0.2:6443", "one API server of 3"},
		"etcd without TLS": {cluster{masters: 1, externalEtcd: true, flags: map[clusters.Component][]string{
			clusters.APIServer: {"--etcd-servers=http://10.0.1.1:2379"},
		}}, "https://10.0.0.1:6443", "no https URL"},
		"etcd by name": {cluster{masters: 1, externalEtcd: true, flags: map[clusters.Component][]string{
			clusters.APIServer: {"--etcd-servers=https://etcd:2379"},
		}}, "https://10.0.0.1:6443", "want an IP address"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := discoverIn(t, test.cluster, test.server, ""); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestUnreachableServersAreAnError(t *testing.T) {
	c := &clusters.Cluster{Topology: clusters.Topology{Hosts: []clusters.Host{{Name: "h", Members: []clusters.Member{{Role: clusters.ControlPlane}}}}},
		Nodes: []*clusters.Node{{Name: "n1", Role: clusters.ControlPlane, Address: "127.0.0.1"}}} // nothing listens on 6443 here
	if err := checkReachable(t.Context(), c); err == nil || !strings.Contains(err.Error(), "reachable from here") {
		t.Errorf("got %v", err)
	}
}
