package kind

import (
	"fmt"
	"path/filepath"
	"strings"

	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"faultline/clusters"
)

// Machine is what the machine lacks that a node has to be told.
type Machine struct {
	// CgroupV1: the kubelet refuses cgroup v1 unless it is told not to.
	CgroupV1 bool
	// RestrictedCapabilities: containerd cannot lower OOM scores, and must not try.
	RestrictedCapabilities bool
}

// The audit policy, on this machine and inside control-plane nodes, and the logs.
const (
	auditPolicyFile   = "audit-policy.yaml"
	auditPolicyOnNode = "/etc/faultline/audit-policy.yaml"
	auditLogDir       = "/var/log/faultline-audit"
)

// auditPolicy records who of the elected components acts. Nothing else is
// logged: probes would fill the disk.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  users: ["system:kube-scheduler", "system:kube-controller-manager"]
  verbs: [create, update, patch, delete, deletecollection]
- level: Metadata
  userGroups: ["system:serviceaccounts:kube-system"]
  verbs: [create, update, patch, delete, deletecollection]
- level: None
`

// configure turns a topology into kind's configuration. dir is a private
// directory on this machine that holds the audit policy.
func configure(t clusters.Topology, profile clusters.Profile, machine Machine, dir string) *v1alpha4.Cluster {
	config := &v1alpha4.Cluster{
		TypeMeta:                     v1alpha4.TypeMeta{APIVersion: "kind.x-k8s.io/v1alpha4", Kind: "Cluster"},
		Networking:                   v1alpha4.Networking{IPFamily: v1alpha4.IPv4Family},
		KubeadmConfigPatches:         []string{kubeletPatch(profile, machine), auditVolumesPatch()},
		KubeadmConfigPatchesJSON6902: []v1alpha4.PatchJSON6902{argumentsPatch(profile)},
	}
	config.ContainerdConfigPatches = []string{statsPatch}
	if machine.RestrictedCapabilities {
		config.ContainerdConfigPatches = append(config.ContainerdConfigPatches, oomPatch)
	}
	for _, m := range placed(t) {
		config.Nodes = append(config.Nodes, node(m, dir))
	}
	return config
}

// placement is a member with its host.
type placement struct {
	clusters.Member
	host string
}

// placed lists the members in kind's order: control-plane members first, host by host.
func placed(t clusters.Topology) []placement {
	var masters, workers []placement
	for _, h := range t.Hosts {
		for _, m := range h.Members {
			if m.Role == clusters.ControlPlane {
				masters = append(masters, placement{m, h.Name})
			} else {
				workers = append(workers, placement{m, h.Name})
			}
		}
	}
	return append(masters, workers...)
}

func node(m placement, dir string) v1alpha4.Node {
	n := v1alpha4.Node{
		Role:   v1alpha4.NodeRole(m.Role),
		Labels: map[string]string{clusters.HostLabel: m.host},
	}
	if m.Role == clusters.ControlPlane {
		n.ExtraMounts = []v1alpha4.Mount{{
			HostPath:      filepath.Join(dir, auditPolicyFile),
			ContainerPath: auditPolicyOnNode,
			Readonly:      true,
		}}
	}
	return n
}

// statsPatch lets containerd 2.2 and later ask every shim for statistics each 10 s,
// as often as the kubelet wants them, instead of each second: on a machine with
// five nodes that costs as much as an etcd member.
const statsPatch = `[plugins."io.containerd.cri.v1.runtime"]
  stats_collect_period = "10s"
`

// oomPatch keeps containerd from lowering OOM scores, which needs CAP_SYS_RESOURCE.
const oomPatch = `[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
`

func kubeletPatch(profile clusters.Profile, machine Machine) string {
	lines := []string{"kind: KubeletConfiguration"}
	if machine.CgroupV1 {
		lines = append(lines, "failCgroupV1: false")
	}
	if profile.Name != clusters.DocumentedProfile().Name {
		lines = append(lines, "crashLoopBackOff:", "  maxContainerRestartPeriod: "+profile.MaxRestartPeriod.String())
	}
	return strings.Join(lines, "\n")
}

func auditVolumesPatch() string {
	return fmt.Sprintf(`kind: ClusterConfiguration
apiServer:
  extraVolumes:
  - {name: faultline-audit-policy, hostPath: %[1]s, mountPath: %[1]s, readOnly: true, pathType: File}
  - {name: faultline-audit-log, hostPath: %[2]s, mountPath: %[2]s, pathType: DirectoryOrCreate}
`, auditPolicyOnNode, auditLogDir)
}

// argumentsPatch appends to kind's own arguments: a merge would replace the lists.
func argumentsPatch(profile clusters.Profile) v1alpha4.PatchJSON6902 {
	var ops []string
	add := func(component, name, value string) {
		ops = append(ops, fmt.Sprintf(`{"op": "add", "path": "/%s/extraArgs/-", "value": {"name": %q, "value": %q}}`, component, name, value))
	}
	add("apiServer", "audit-policy-file", auditPolicyOnNode)
	add("apiServer", "audit-log-path", clusters.AuditLog)
	if profile.Name != clusters.DocumentedProfile().Name {
		seconds := fmt.Sprintf("%.0f", profile.NodeTolerations.Seconds())
		add("apiServer", "default-not-ready-toleration-seconds", seconds)
		add("apiServer", "default-unreachable-toleration-seconds", seconds)
		add("controllerManager", "node-monitor-grace-period", profile.NodeMonitorGracePeriod.String())
	}
	return v1alpha4.PatchJSON6902{
		Group: "kubeadm.k8s.io", Version: "v1beta4", Kind: "ClusterConfiguration",
		Patch: "[" + strings.Join(ops, ",\n") + "]",
	}
}
