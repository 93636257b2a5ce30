package kind

import (
	"strings"
	"testing"

	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"faultline/clusters"
)

func TestConfigureOrdersControlPlanesFirst(t *testing.T) {
	config := configure(clusters.ThreeHostStacked(), clusters.FastProfile(), Machine{}, "/private")
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
	needy := everything(configure(clusters.SingleHostMinimal(), clusters.FastProfile(), Machine{CgroupV1: true, RestrictedCapabilities: true}, "/private"))
	plain := everything(configure(clusters.SingleHostMinimal(), clusters.DocumentedProfile(), Machine{}, "/private"))
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
