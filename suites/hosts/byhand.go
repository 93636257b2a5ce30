package hosts

import (
	"context"
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

// Document A: tools of one's own have to preserve a configuration over updates (A:L115-123).
var _ = Describe("A flag of the only scheduler", Topology("single-host-minimal"), Nightly, Component(clusters.Scheduler), func() {
	It("is lost with the next manifest where it was added by hand, and stays where kubeadm has a patch with it", Claims("OPS-03"), func(ctx SpecContext) {
		d := On(ctx, "single-host-minimal")
		scheduler := d.Instances(clusters.Scheduler)[0]
		master := scheduler.Node
		built, manifest := d.Facts(), manifestOf(ctx, scheduler)
		d.Inject(fault.SetFlag(byHand, scheduler).Losing(clusters.Scheduler))
		Expect(d.Told("the flag that was added by hand is noticed, and nothing else",
			OnlyChanged(built, d.Facts(), flagged))).To(Succeed())

		d.BeginRepair()
		Expect(d.Told("kubeadm makes the manifest again", phase(ctx, master, clusters.KubeadmConfig, ofScheduler...))).To(Succeed())
		Expect(d.Told("it is the one of before, byte for byte", Unless(manifestOf(ctx, scheduler) == manifest, nil))).To(Succeed())
		Expect(d.BecomesTrue("the flag is lost, and everything is as it was built", d.Timing.StaticPodReturn(), differs(d, built))).To(Succeed())
		d.Undo() // finds nothing to put back
		Expect(d).To(Resume(probe.Schedule).Within(d.Timing.ControlPlaneReturn(d.Outage())))
		d.AwaitHealed()

		By("declaring the flag")
		d.Afterwards(func(ctx context.Context, _ kubernetes.Interface) error { return withdrawPatch(ctx, master) })
		Expect(d.Told("kubeadm is given a patch with the flag", givePatch(ctx, master))).To(Succeed())
		Expect(d.Told("it makes the manifest", phase(ctx, master, patchedConfiguration, ofScheduler...))).To(Succeed())
		Expect(d.BecomesTrue("the scheduler has the flag, and nothing else is another", d.Timing.StaticPodReturn(), differs(d, built, flagged))).To(Succeed())
		patched := manifestOf(ctx, scheduler)
		Expect(d.Told("it makes the manifest again", phase(ctx, master, patchedConfiguration, ofScheduler...))).To(Succeed())
		Expect(d.Told("the flag stays, and the manifest is the same byte for byte",
			Unless(strings.Contains(patched, byHand) && manifestOf(ctx, scheduler) == patched, nil))).To(Succeed())

		// The control: it is the patch that the flag has stayed by.
		Expect(d.Told("it makes the manifest without the patch", phase(ctx, master, clusters.KubeadmConfig, ofScheduler...))).To(Succeed())
		Expect(d.BecomesTrue("the flag is lost, and everything is as it was built", d.Timing.StaticPodReturn(), differs(d, built))).To(Succeed())
	})
})

// flagged is the end of the line by which a fingerprint tells of the flag.
const flagged = "kube-scheduler has " + byHand

// ofScheduler is the phase of kubeadm that makes the scheduler's manifest.
var ofScheduler = []string{"control-plane", "scheduler"}

func manifestOf(ctx context.Context, i clusters.Instance) string {
	GinkgoHelper()
	text, err := i.Node.Exec(ctx, "cat", i.Manifest())
	Expect(err).NotTo(HaveOccurred())
	return string(text)
}

// Where kubeadm finds patches, and the configuration that leads it there, while they are on a master.
const (
	patchesPath          = "/root/kubeadm-patches"
	patchedConfiguration = "/root/kubeadm-patched.conf"
)

// patch adds the flag to a manifest. kubeadm applies the patches of a folder by their names.
const (
	patchName = "kube-scheduler1+json.json"
	patch     = `[{"op": "add", "path": "/spec/containers/0/command/-", "value": "` + byHand + `"}]`
)

// givePatch gives kubeadm the patch beside those that its configuration has already.
func givePatch(ctx context.Context, master *clusters.Node) error {
	own, err := ownConfiguration(ctx, master)
	if err != nil {
		return err
	}
	var former string
	configuration, err := rewrite(own, ofInit, func(init document) { former = redirectPatches(init, patchesPath) })
	if err != nil {
		return err
	}
	const script = `mkdir -p "$1" && if [ -n "$2" ]; then cp -a "$2/." "$1"; fi`
	if _, err := master.Exec(ctx, "sh", "-c", script, "sh", patchesPath, former); err != nil {
		return fmt.Errorf("copy kubeadm's patches: %w", err)
	}
	if err := master.WriteFile(ctx, patchesPath+"/"+patchName, []byte(patch)); err != nil {
		return err
	}
	return master.WriteFile(ctx, patchedConfiguration, configuration)
}

// redirectPatches leads kubeadm to another folder of patches, and returns the former, if there is one.
func redirectPatches(init document, folder string) (former string) {
	patches, _ := init["patches"].(document)
	former, _ = patches["directory"].(string)
	init["patches"] = document{"directory": folder}
	return former
}

// withdrawPatch does no harm where there is none.
func withdrawPatch(ctx context.Context, master *clusters.Node) error {
	if _, err := master.Exec(ctx, "rm", "-rf", patchesPath, patchedConfiguration); err != nil {
		return err
	}
	return phase(ctx, master, clusters.KubeadmConfig, ofScheduler...)
}
