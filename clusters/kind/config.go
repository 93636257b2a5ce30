package kind

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
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

// auditPolicy records who of the elected components acts, and the heartbeats of nodes, which
// show to which API server a kubelet talks. Nothing else is logged: probes would fill the disk.
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
- level: Metadata
  userGroups: ["system:nodes"]
  verbs: [create, update, patch]
  resources: [{group: coordination.k8s.io, resources: [leases]}]
- level: None
`

// configure turns the topology into kind's configuration.
func (b *boot) configure(machine Machine) *v1alpha4.Cluster {
	profile := b.Timing.Profile
	config := &v1alpha4.Cluster{
		TypeMeta:                     v1alpha4.TypeMeta{APIVersion: "kind.x-k8s.io/v1alpha4", Kind: "Cluster"},
		Networking:                   v1alpha4.Networking{IPFamily: v1alpha4.IPv4Family, PodSubnet: podSubnet},
		KubeadmConfigPatches:         []string{kubeletPatch(profile, machine), auditVolumesPatch()},
		KubeadmConfigPatchesJSON6902: append([]v1alpha4.PatchJSON6902{argumentsPatch(profile)}, b.layoutPatches()...),
	}
	if profile.Name != clusters.DocumentedProfile().Name {
		config.KubeadmConfigPatchesJSON6902 = append(config.KubeadmConfigPatchesJSON6902, readPatches()...)
	}
	config.ContainerdConfigPatches = []string{statsPatch}
	if machine.RestrictedCapabilities {
		config.ContainerdConfigPatches = append(config.ContainerdConfigPatches, oomPatch)
	}
	if b.Topology.AirGapped {
		config.ContainerdConfigPatches = append(config.ContainerdConfigPatches, registryPatch)
	}
	for _, m := range b.placed(clusters.Role.Kubernetes) {
		config.Nodes = append(config.Nodes, v1alpha4.Node{
			Role:        v1alpha4.NodeRole(m.Role),
			Labels:      map[string]string{clusters.HostLabel: m.host.Name},
			ExtraMounts: b.mounts(m),
		})
	}
	return config
}

// placement is a member with its host and the name of its container.
type placement struct {
	clusters.Member
	host clusters.Host
	node string
}

// placed lists the members with a role that is wanted, in kind's order: control-plane
// members first, then the other roles, each host by host.
func (b *boot) placed(wanted func(clusters.Role) bool) []placement {
	var all []placement
	numbers := map[clusters.Role]int{}
	for _, h := range b.Topology.Hosts {
		for _, m := range h.Members {
			if wanted(m.Role) {
				numbers[m.Role]++
				all = append(all, placement{m, h, nodeName(b.name, m.Role, numbers[m.Role])})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b placement) int {
		return cmp.Compare(boolToInt(a.Role != clusters.ControlPlane), boolToInt(b.Role != clusters.ControlPlane))
	})
	return all
}

func boolToInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// disksOnNode is where members see the private folder of this machine with their host's disks.
const disksOnNode = "/faultline/disks"

// mounts are the folders of this machine that a member sees.
func (b *boot) mounts(m placement) []v1alpha4.Mount {
	var mounts []v1alpha4.Mount
	add := func(from, to string) {
		mounts = append(mounts, v1alpha4.Mount{HostPath: filepath.Join(b.dir, from), ContainerPath: to})
	}
	if m.Role == clusters.ControlPlane {
		mounts = append(mounts, v1alpha4.Mount{HostPath: filepath.Join(b.dir, auditPolicyFile), ContainerPath: auditPolicyOnNode, Readonly: true})
	}
	if m.Disk != "" {
		add(filepath.Join("disks", m.host.Name), disksOnNode)
	}
	if m.Role.Kubernetes() && slices.Contains(b.Topology.Workloads, clusters.ExternalVolume) {
		add("external", clusters.ExternalFolder)
	}
	return mounts
}

// makeFolders makes what the members mount.
func (b *boot) makeFolders() error {
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(b.dir, auditPolicyFile), []byte(auditPolicy), 0o600); err != nil {
		return err
	}
	for _, m := range b.placed(func(clusters.Role) bool { return true }) {
		for _, mount := range b.mounts(m) {
			if mount.Readonly {
				continue
			}
			if err := os.MkdirAll(mount.HostPath, 0o700); err != nil {
				return err
			}
		}
	}
	return nil
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

// layoutPatches tell kubeadm about etcd servers and about the name of the API.
func (b *boot) layoutPatches() []v1alpha4.PatchJSON6902 {
	var cluster, join []string
	if servers := b.cluster.With(clusters.EtcdServer); len(servers) > 0 {
		cluster = append(cluster, operation("/etcd", map[string]any{"external": map[string]any{
			"endpoints": clientURLs(servers), "caFile": etcdCA, "certFile": etcdClient, "keyFile": etcdClientKey,
		}}))
	}
	if servers := b.cluster.With(clusters.EventsServer); len(servers) > 0 {
		cluster = append(cluster, argument("apiServer", "etcd-servers-overrides", "/events#"+strings.Join(clientURLs(servers), ";")))
	}
	if host, _, err := net.SplitHostPort(b.cluster.Endpoint); err == nil {
		cluster = append(cluster, operation("/apiServer/certSANs/-", host))
		cluster = append(cluster, operation("/controlPlaneEndpoint", b.cluster.Endpoint))
		join = append(join, operation("/discovery/bootstrapToken/apiServerEndpoint", b.cluster.Endpoint))
	}
	var patches []v1alpha4.PatchJSON6902
	if len(cluster) > 0 {
		patches = append(patches, kubeadmPatch("ClusterConfiguration", cluster))
	}
	if len(join) > 0 {
		patches = append(patches, kubeadmPatch("JoinConfiguration", join))
	}
	return patches
}

// operation is a JSON patch that sets a value.
func operation(path string, value any) string {
	text, err := json.Marshal(map[string]any{"op": "add", "path": path, "value": value})
	if err != nil {
		panic(err) // strings, lists and maps of them cannot fail
	}
	return string(text)
}

// argument is a JSON patch that appends to kind's own arguments of a component: a merge
// would replace the list.
func argument(component, name, value string) string {
	return operation("/"+component+"/extraArgs/-", map[string]any{"name": name, "value": value})
}

func kubeadmPatch(kind string, operations []string) v1alpha4.PatchJSON6902 {
	return v1alpha4.PatchJSON6902{
		Group: "kubeadm.k8s.io", Version: "v1beta4", Kind: kind,
		Patch: "[" + strings.Join(operations, ",\n") + "]",
	}
}

// argumentsPatch has what every cluster is told.
func argumentsPatch(profile clusters.Profile) v1alpha4.PatchJSON6902 {
	var ops []string
	add := func(component, name, value string) {
		ops = append(ops, argument(component, name, value))
	}
	add("apiServer", "audit-policy-file", auditPolicyOnNode)
	add("apiServer", "audit-log-path", clusters.AuditLog)
	if profile.Name != clusters.DocumentedProfile().Name {
		seconds := fmt.Sprintf("%.0f", profile.NodeTolerations.Seconds())
		add("apiServer", "default-not-ready-toleration-seconds", seconds)
		add("apiServer", "default-unreachable-toleration-seconds", seconds)
		add("controllerManager", "node-monitor-grace-period", profile.NodeMonitorGracePeriod.String())
		add("controllerManager", "kube-api-qps", strconv.Itoa(profile.ControllerQPS))
		add("controllerManager", "kube-api-burst", strconv.Itoa(profile.ControllerBurst))
	}
	return kubeadmPatch("ClusterConfiguration", ops)
}
