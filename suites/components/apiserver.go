package components

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"faultline/clusters"
	"faultline/fault"
	"faultline/reports/record"
	. "faultline/suites/drill"
	"faultline/suites/probe"
)

var _ = Describe("The only API server", Topology("single-host-minimal"), Component(clusters.APIServer), Core, func() {
	It("takes every change with it, and the scheduler and the controller manager depend on it", Claims("API-01", "API-02"), func(ctx SpecContext) {
		EverythingDependsOnTheAPIServer(On(ctx, "single-host-minimal"))
	})
})

var _ = Describe("One of three API servers", Topology("three-host-stacked"), Component(clusters.APIServer), Core, func() {
	It("is not missed once the load balancer has noticed", Claims("API-07"), func(ctx SpecContext) {
		d := On(ctx, "three-host-stacked")
		lost := d.Instances(clusters.APIServer)[0]
		others := d.With(clusters.ControlPlane)[1:]
		front := d.WatchFront()
		d.Inject(fault.Stop(lost))
		// What the kubelet takes to end the server is no time of the load balancer's.
		noticed := clusters.Bounds{Upper: d.SinceFault() + d.Timing.LoadBalancer().Upper}

		Expect(d).To(Lose(probe.CachedRead).On(lost.Node).As(record.Refused).Within(d.Timing.Noticed()))
		for _, name := range []probe.Name{probe.Write, probe.ConsistentRead} {
			Expect(d).To(Pause(name).Through(d.Front()).Within(noticed))
		}
		Expect(front.LeavesOut(lost.Node.APIServer(), noticed)).To(Succeed())
		Expect(d).To(KeepServing(probe.CachedRead).On(others...))

		d.Undo()
		Expect(d).To(Resume(probe.CachedRead).On(lost.Node).Within(d.Timing.StaticPodReturn()))
		Expect(front.TakesBack(lost.Node.APIServer(), d.Timing.LoadBalancerTakesBack(d.Timing.StaticPodReturn()))).To(Succeed())
	})
})

var _ = Describe("Three API servers", Topology("three-host-stacked"), Component(clusters.APIServer), Core, func() {
	const topology = "three-host-stacked"

	It("are all active at once: what one accepts, every other one reads", Claims("API-10"), func(ctx SpecContext) {
		d := On(ctx, topology)
		Expect(d.Told("through every API server one reads what was written through another", readEachOthersWrites(ctx, d, d.APIServers()))).To(Succeed())
		Expect(d.Told("of changes to the same version through all of them one is accepted", changeTheSame(ctx, d, d.APIServers()))).To(Succeed())

		d.Inject(fault.HoldDown(d.Instances(clusters.APIServer)[2]))
		Expect(d.Told("so it is with two of them", readEachOthersWrites(ctx, d, d.APIServers()[:2]))).To(Succeed())
		Expect(d.Told("so it is with two of them", changeTheSame(ctx, d, d.APIServers()[:2]))).To(Succeed())
	})

	It("stay in the service named kubernetes after a crash until their leases run out", Claims("API-09"), func(ctx SpecContext) {
		d := On(ctx, topology)
		lost := d.Instances(clusters.APIServer)[1]
		d.AskThrough(d.APIServers()[0]) // the load balancer needs a while to leave the lost one out
		client := d.With(clusters.ControlPlane)[0]
		d.Inject(fault.HoldDown(lost))
		Expect(d.BecomesTrue("some new connections from inside the cluster end at it", d.Timing.Noticed(), SomeConnect(client))).To(Succeed())

		drops := d.Timing.ServiceDropsServer()
		Expect(d.StaysTrueFor("the service kubernetes leads to it, as its lease cannot have run out", drops.Lower-d.SinceFault(), leadsTo(lost.Node.Address, true))).To(Succeed())
		Expect(d.BecomesTrueAfterFault("the service kubernetes leads to it no longer", drops, leadsTo(lost.Node.Address, false))).To(Succeed())
		Expect(d.BecomesTrue("every new connection from inside the cluster is answered", d.Timing.Noticed(), AllConnect(client))).To(Succeed())

		d.Undo()
		Expect(d.BecomesTrue("the service kubernetes leads to it again", d.Timing.CrashLoopReturn(d.Outage()), leadsTo(lost.Node.Address, true))).To(Succeed())
		d.Drifted("a dead API server leaves the service when its lease of 15 s has run out; before 1.11 it never did")
	})
})

// EverythingDependsOnTheAPIServer is the experiment of API-01 and API-02; sabotage runs use
// it too.
func EverythingDependsOnTheAPIServer(d *Drill) {
	GinkgoHelper()
	leaders := clusters.Instances{d.Leader(clusters.Scheduler), d.Leader(clusters.ControllerManager)}
	exits := d.WatchExits(leaders...)
	d.Inject(fault.Stop(d.Instances(clusters.APIServer)...).Losing(clusters.APIServer))

	for _, name := range []probe.Name{probe.Write, probe.ConsistentRead, probe.CachedRead} {
		Expect(d).To(Lose(name).As(record.Refused).Within(d.Timing.Noticed()))
	}
	Expect(d.Attempt("start a pod", startPod)).To(BeRefused())
	Expect(d.Attempt("stop pods", stopPods)).To(BeRefused())
	Expect(d.Attempt("scale a deployment", ScaleTo(3))).To(BeRefused())
	Expect(d.Attempt("create a service", createService)).To(BeRefused())
	Expect(d.Attempt("update a replication controller", updateReplicationController)).To(BeRefused())
	for _, i := range leaders {
		Expect(d).To(GiveUp(i, exits).Within(d.Timing.LeaderGivesUp()))
	}
	Expect(d).To(KeepServing(probe.Workload))
	Expect(d).To(KeepServing(probe.Service))

	d.Undo()
	Expect(d).To(Resume(probe.ConsistentRead).Within(d.Timing.StaticPodReturn()))
	Expect(d).To(Resume(probe.Schedule).Within(d.Timing.ControlPlaneReturn(d.Outage())))
	Expect(d).To(Resume(probe.Reconcile).Within(d.Timing.ControlPlaneReturn(d.Outage())))
}

// leadsTo fails unless the service of the API has the address among its endpoints, or not.
func leadsTo(address string, want bool) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		slice, err := c.DiscoveryV1().EndpointSlices("default").Get(ctx, "kubernetes", metav1.GetOptions{})
		if err != nil {
			return err
		}
		var all []string
		for _, e := range slice.Endpoints {
			all = append(all, e.Addresses...)
		}
		if slices.Contains(all, address) != want {
			return fmt.Errorf("it leads to %v", all)
		}
		return nil
	}
}

// sharedObject is what several API servers are asked about.
const sharedObject = "attempt-shared"

// readEachOthersWrites writes through each API server and reads at once through each other.
func readEachOthersWrites(ctx context.Context, d *Drill, servers []clusters.Endpoint) error {
	return withShared(ctx, d, servers, func(clients []corev1client.ConfigMapInterface) error {
		for round := range 10 {
			for w, writer := range clients {
				value := fmt.Sprintf("%d through %s", round, servers[w].Name)
				patch := fmt.Appendf(nil, `{"data":{"value":%q}}`, value)
				if _, err := writer.Patch(ctx, sharedObject, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
					return err
				}
				for r, reader := range clients {
					object, err := reader.Get(ctx, sharedObject, metav1.GetOptions{})
					if err != nil {
						return err
					}
					if object.Data["value"] != value {
						return fmt.Errorf("%s was accepted, and %s reads %s", value, servers[r].Name, object.Data["value"])
					}
				}
			}
		}
		return nil
	})
}

// changeTheSame changes one version of an object through every API server at once.
func changeTheSame(ctx context.Context, d *Drill, servers []clusters.Endpoint) error {
	return withShared(ctx, d, servers, func(clients []corev1client.ConfigMapInterface) error {
		for round := range 20 {
			version, err := clients[0].Get(ctx, sharedObject, metav1.GetOptions{})
			if err != nil {
				return err
			}
			answers := make([]error, len(clients))
			var wg sync.WaitGroup
			for n, c := range clients {
				wg.Go(func() {
					mine := version.DeepCopy()
					// What is there already is no change, and nobody would conflict with it.
					mine.Data = map[string]string{"value": fmt.Sprintf("change %d through %s", round, servers[n].Name)}
					_, answers[n] = c.Update(ctx, mine, metav1.UpdateOptions{})
				})
			}
			wg.Wait()
			if err := oneAccepted(answers); err != nil {
				return err
			}
		}
		return nil
	})
}

// oneAccepted fails unless one change was accepted and all others conflict with it.
func oneAccepted(answers []error) error {
	accepted := 0
	for _, err := range answers {
		switch {
		case err == nil:
			accepted++
		case !apierrors.IsConflict(err):
			return err
		}
	}
	if accepted != 1 {
		return fmt.Errorf("%d of %d changes to the same version were accepted", accepted, len(answers))
	}
	return nil
}

// withShared makes the shared object, does something with it through each of the API
// servers, and deletes it.
func withShared(ctx context.Context, d *Drill, servers []clusters.Endpoint, do func([]corev1client.ConfigMapInterface) error) error {
	var clients []corev1client.ConfigMapInterface
	for _, s := range servers {
		client, err := d.Client(s)
		if err != nil {
			return err
		}
		clients = append(clients, client.CoreV1().ConfigMaps(Namespace))
	}
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: sharedObject}}
	if _, err := clients[0].Create(ctx, object, metav1.CreateOptions{}); err != nil {
		return err
	}
	return errors.Join(do(clients), clients[0].Delete(ctx, sharedObject, metav1.DeleteOptions{}))
}

func startPod(ctx context.Context, c kubernetes.Interface) error {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "attempt-"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "none", Image: "none"}}},
	}
	_, err := c.CoreV1().Pods(Namespace).Create(ctx, pod, metav1.CreateOptions{})
	return err
}

func stopPods(ctx context.Context, c kubernetes.Interface) error {
	return c.CoreV1().Pods(Namespace).DeleteCollection(ctx, metav1.DeleteOptions{}, OfDeployment)
}

func createService(ctx context.Context, c kubernetes.Interface) error {
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "attempt-"},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}},
	}
	_, err := c.CoreV1().Services(Namespace).Create(ctx, service, metav1.CreateOptions{})
	return err
}

func updateReplicationController(ctx context.Context, c kubernetes.Interface) error {
	_, err := c.CoreV1().ReplicationControllers(Namespace).Patch(ctx, Deployment, types.MergePatchType,
		[]byte(`{"spec":{"replicas":0}}`), metav1.PatchOptions{})
	return err
}
