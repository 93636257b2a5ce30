package kind

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"faultline/clusters"
)

// kubeadmPatches is where kubeadm looks for changes of its static pods.
const kubeadmPatches = "/kind/patches"

// startupPatience is how long kubeadm's startup probes let a component start: 24
// failures, 10 s apart.
const startupPatience = 4 * time.Minute

// readPatches makes kubeadm read the patches of probePatches.
func readPatches() []v1alpha4.PatchJSON6902 {
	var patches []v1alpha4.PatchJSON6902
	for _, kind := range []string{"InitConfiguration", "JoinConfiguration"} {
		patches = append(patches, kubeadmPatch(kind, []string{operation("/patches", map[string]string{"directory": kubeadmPatches})}))
	}
	return patches
}

// writePatches writes the profile's probes where kubeadm reads them on every node.
func writePatches(ctx context.Context, nodes []*clusters.Node, profile clusters.Profile) error {
	var group errgroup.Group
	for _, n := range nodes {
		group.Go(func() error { return writeFiles(ctx, n, probePatches(profile)...) })
	}
	return group.Wait()
}

// probePatches set how often kubelets ask whether the static pods have started, which
// they have to before they count as ready, and whether the DNS servers are ready. At the
// defaults of 10 s every control plane that runs already counts as not ready for up to
// 20 s, and the first answer of a DNS server, which comes too early, costs 10 s. A
// deployment that is patched after its creation rolls out twice. A kubeadm that cannot
// patch the DNS servers (before 1.32) ignores that file.
func probePatches(profile clusters.Profile) []file {
	var files []file
	add := func(target, spec string) {
		files = append(files, file{path: kubeadmPatches + "/" + target + "+strategic.yaml", content: []byte(spec)})
	}
	startup := fmt.Sprintf("startupProbe: {initialDelaySeconds: %d, periodSeconds: %[1]d, failureThreshold: %d}",
		int(profile.StartupProbe.Seconds()), int(startupPatience/profile.StartupProbe))
	for _, component := range []clusters.Component{clusters.Etcd, clusters.APIServer, clusters.Scheduler, clusters.ControllerManager} {
		add(string(component), fmt.Sprintf("spec: {containers: [{name: %s, %s}]}\n", component, startup))
	}
	add("corednsdeployment", fmt.Sprintf("spec: {template: {spec: {containers: [{name: coredns, readinessProbe: {periodSeconds: %d}}]}}}\n",
		int(profile.DNSReadiness.Seconds())))
	return files
}
