package kind

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
	"sigs.k8s.io/yaml"

	"faultline/clusters"
)

// bootOf is a cluster of which nothing exists yet.
func bootOf(t clusters.Topology, profile clusters.Profile) *boot {
	return newBoot(Options{Topology: t, Timing: clusters.Timing{Profile: profile, Slack: 1}, Run: "test", Sequence: 1, Dir: "/private"}, nil)
}

func TestConfigureOrdersControlPlanesFirst(t *testing.T) {
	config := bootOf(clusters.ThreeHostStacked(), clusters.FastProfile()).configure(Machine{})
	var roles, hosts []string
	for _, n := range config.Nodes {
		roles = append(roles, string(n.Role))
		hosts = append(hosts, n.Labels[clusters.HostLabel])
	}
	if got := strings.Join(roles, " "); got != "control-plane control-plane control-plane worker worker" {
		t.Errorf("roles: %s", got)
	}
	if got := strings.Join(hosts, " "); got != "h1 h2 h3 h1 h2" {
		t.Errorf("hosts: %s", got)
	}
}

func TestPatchesOnlyWhereNeeded(t *testing.T) {
	everything := func(c *v1alpha4.Cluster) string {
		return strings.Join(append(c.KubeadmConfigPatches, c.ContainerdConfigPatches...), "\n") + c.KubeadmConfigPatchesJSON6902[0].Patch
	}
	needy := everything(bootOf(clusters.SingleHostMinimal(), clusters.FastProfile()).configure(Machine{CgroupV1: true, RestrictedCapabilities: true}))
	plain := everything(bootOf(clusters.SingleHostMinimal(), clusters.DocumentedProfile()).configure(Machine{}))
	for _, patch := range []string{"failCgroupV1", "restrict_oom_score_adj", "node-monitor-grace-period", "maxContainerRestartPeriod", "default-unreachable-toleration-seconds"} {
		if !strings.Contains(needy, patch) {
			t.Errorf("%s lacks where it is needed", patch)
		}
		if strings.Contains(plain, patch) {
			t.Errorf("%s is there although nothing needs it", patch)
		}
	}
	for _, both := range []string{needy, plain} {
		if !strings.Contains(both, "audit-policy-file") {
			t.Error("the audit log lacks")
		}
		if !strings.Contains(both, `stats_collect_period = "10s"`) {
			t.Error("containerd asks for statistics each second")
		}
	}
}

func TestLayoutPatches(t *testing.T) {
	b := bootOf(clusters.ExternalEtcd(), clusters.FastProfile())
	b.cluster.Nodes = []*clusters.Node{{Role: clusters.EtcdServer, Address: "10.0.0.1"}, {Role: clusters.EventsServer, Address: "10.0.0.2"}}
	b.cluster.Endpoint = "api.test:6443"
	patches := b.layoutPatches()
	if len(patches) != 2 || patches[1].Kind != "JoinConfiguration" {
		t.Fatalf("got %v", patches)
	}
	for _, want := range []string{`"endpoints":["https://10.0.0.1:2379"]`, `/events#https://10.0.0.2:2379`, `"value":"api.test"`, `"value":"api.test:6443"`} {
		if !strings.Contains(patches[0].Patch, want) {
			t.Errorf("%s lacks in %s", want, patches[0].Patch)
		}
	}
	if plain := bootOf(clusters.ThreeHostStacked(), clusters.FastProfile()).layoutPatches(); len(plain) > 0 {
		t.Errorf("kind's own layout is patched: %v", plain)
	}
}

// kubeadm reads patches only where a profile has any, and tells no component to give up
// earlier than it would by itself.
func TestProbePatches(t *testing.T) {
	reads := func(profile clusters.Profile) (kinds []string) {
		for _, p := range bootOf(clusters.ThreeHostStacked(), profile).configure(Machine{}).KubeadmConfigPatchesJSON6902 {
			if strings.Contains(p.Patch, kubeadmPatches) {
				kinds = append(kinds, p.Kind)
			}
		}
		return kinds
	}
	if got := reads(clusters.DocumentedProfile()); got != nil {
		t.Errorf("the documented profile patches %v", got)
	}
	if got := reads(clusters.FastProfile()); !slices.Equal(got, []string{"InitConfiguration", "JoinConfiguration"}) {
		t.Errorf("the fast profile patches %v", got)
	}
	for _, f := range probePatches(clusters.FastProfile()) {
		if strings.Contains(f.path, "coredns") {
			var d appsv1.Deployment
			if err := yaml.UnmarshalStrict(f.content, &d); err != nil || d.Spec.Template.Spec.Containers[0].ReadinessProbe.PeriodSeconds != 1 {
				t.Errorf("%s: %v in\n%s", f.path, err, f.content)
			}
			continue
		}
		var p corev1.Pod
		if err := yaml.UnmarshalStrict(f.content, &p); err != nil {
			t.Errorf("%s: %v in\n%s", f.path, err, f.content)
			continue
		}
		c := p.Spec.Containers[0]
		if patience := c.StartupProbe.PeriodSeconds * c.StartupProbe.FailureThreshold; patience != 240 || c.StartupProbe.PeriodSeconds != 1 {
			t.Errorf("%s is asked each %d s, for %d s", c.Name, c.StartupProbe.PeriodSeconds, patience)
		}
	}
}

func TestFillNetwork(t *testing.T) {
	manifest := "kind: Role\nname: {{ .PodSubnet }}\n---\napiVersion: apps/v1\nkind: DaemonSet\nspec:\n  template:\n    spec:\n      containers: [{name: agent}]\n"
	filled, err := fillNetwork([]byte(manifest), "api:6443")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"name: 10.244.0.0/16", "CONTROL_PLANE_ENDPOINT", "value: api:6443"} {
		if !strings.Contains(string(filled), want) {
			t.Errorf("%s lacks in %s", want, filled)
		}
	}
}

func TestHalvesOfANetwork(t *testing.T) {
	subnet := netip.MustParsePrefix("172.21.0.0/16")
	if lower, upper := lowerHalf(subnet).String(), upperHalf(subnet).String(); lower != "172.21.0.0/17" || upper != "172.21.128.0/17" {
		t.Errorf("got %s and %s", lower, upper)
	}
}

// Processes of a run count their clusters from hundreds of their own.
func TestMovingAddressesDiffer(t *testing.T) {
	for _, network := range []string{"172.21.0.0/16", "172.21.4.0/24"} {
		subnet := netip.MustParsePrefix(network)
		first, second := movingAddress(subnet, 101), movingAddress(subnet, 201)
		if first == second || !upperHalf(subnet).Contains(first) || !upperHalf(subnet).Contains(second) {
			t.Errorf("in %s clusters move %s and %s", network, first, second)
		}
	}
}

func TestIssuedCertificatesAreGoodForBothEnds(t *testing.T) {
	ca, err := newAuthority("ca")
	if err != nil {
		t.Fatal(err)
	}
	issued, err := ca.issue("n1", "n1", "10.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := tls.X509KeyPair(issued.certificate, issued.key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca.certificate)
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth} {
		options := x509.VerifyOptions{Roots: pool, DNSName: "10.0.0.1", KeyUsages: []x509.ExtKeyUsage{usage}}
		if _, err := loaded.Leaf.Verify(options); err != nil {
			t.Error(err)
		}
	}
	other, err := newAuthority("ca")
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AddCert(other.certificate)
	if _, err := loaded.Leaf.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err == nil {
		t.Error("a stranger's authority was accepted")
	}
}

func TestRefusedTooSoon(t *testing.T) {
	for text, want := range map[string]bool{
		`kubeadm join: cannot get Node "n2": Unauthorized`:                                                                true,
		`kubeadm join: cannot get Node "n2": nodes "n2" is forbidden: User "system:bootstrap:abcdef" cannot get resource`: true,
		`kubeadm join: cannot get Node "n2": context deadline exceeded - error from a previous attempt: EOF`:              true,
		`kubeadm join: cannot get Node "n2": connection refused`:                                                          false,
		`kubeadm join: etcd: Unauthorized`:                                                                                false,
	} {
		if refusedTooSoon(errors.New(text)) != want {
			t.Errorf("%s: want %t", text, want)
		}
	}
	if refusedTooSoon(nil) {
		t.Error("success is taken for a refusal")
	}
}

func TestClustersAreOfTheirRun(t *testing.T) {
	for name, want := range map[string]bool{
		ClusterName("abc", 1): true, ClusterName("abc", 101): true, ClusterName("abcd", 1): false, "faultline-abc-x-1": false, "kind": false, "abc-1": false,
	} {
		if got := ofRun(name, "abc"); got != want {
			t.Errorf("%s of run abc: %t, want %t", name, got, want)
		}
	}
}
