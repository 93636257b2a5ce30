package fault

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"faultline/clusters"
	"faultline/clusters/clustertest"
)

// The contract: every fault on every component, on a real cluster, judged from a
// vantage point that the fault's own code does not use: the component's health
// port and the container runtime.

// liveCluster skips a test that no cluster was meant for.
func liveCluster(t *testing.T) *clusters.Cluster {
	t.Helper()
	if os.Getenv("FAULTLINE_LIVE_TESTS") != "1" {
		t.Skip("set FAULTLINE_LIVE_TESTS=1 to break a real cluster")
	}
	return contractCluster(t)
}

// healthURL is what a component answers on its own node, with whatever status.
var healthURL = map[clusters.Component]string{
	clusters.Etcd:              "http://127.0.0.1:2381/health",
	clusters.APIServer:         "https://127.0.0.1:6443/livez",
	clusters.Scheduler:         "https://127.0.0.1:10259/livez",
	clusters.ControllerManager: "https://127.0.0.1:10257/healthz",
	clusters.Kubelet:           "http://127.0.0.1:10248/healthz",
	clusters.KubeProxy:         "http://127.0.0.1:10256/healthz",
}

// answersInPod asks a pod's own health port in the pod's network.
const answersInPod = `nsenter --net --target "$1" curl --silent --fail --max-time 2 --output /dev/null http://127.0.0.1:8080/health`

// answers asks the component itself.
func answers(ctx context.Context, i clusters.Instance) error {
	switch i.Component {
	case clusters.ContainerRuntime:
		_, err := i.Node.Exec(ctx, "crictl", "--timeout", "2s", "version")
		return err
	case clusters.CoreDNS:
		p, err := i.Process(ctx)
		if err == nil {
			_, err = i.Node.Exec(ctx, "sh", "-c", answersInPod, "sh", strconv.Itoa(p.PID))
		}
		return err
	default:
	}
	_, err := i.Node.Exec(ctx, "curl", "-sk", "-m", "2", "-o", "/dev/null", healthURL[i.Component])
	return err
}

// silent is the opposite of answers.
func silent(ctx context.Context, i clusters.Instance) error {
	if answers(ctx, i) == nil {
		return fmt.Errorf("%s still answers", i)
	}
	return nil
}

// newestContainer asks the runtime.
func newestContainer(ctx context.Context, i clusters.Instance) (clusters.Container, error) {
	all, err := i.Containers(ctx)
	if err != nil || len(all) == 0 {
		return clusters.Container{}, errors.Join(err, fmt.Errorf("%s: %d containers", i, len(all)))
	}
	return all[0], nil
}

// runs says that the runtime runs a container of the instance.
func runs(ctx context.Context, i clusters.Instance) error {
	newest, err := newestContainer(ctx, i)
	if err == nil && newest.State != "CONTAINER_RUNNING" {
		err = fmt.Errorf("the newest container of %s is %s", i, newest.State)
	}
	return err
}

// eventually waits for a condition of an instance.
func eventually(t *testing.T, what string, within time.Duration, i clusters.Instance, check func(context.Context, clusters.Instance) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	err := clusters.Await(ctx, 200*time.Millisecond, what, func(ctx context.Context) error { return check(ctx, i) })
	if err != nil {
		t.Errorf("%s: %v", i, err)
	}
}

// clean says that nothing of ours is on the node.
func clean(ctx context.Context, i clusters.Instance) error {
	out, err := i.Node.Exec(ctx, "sh", "-c", `systemctl list-units --all --plain --no-legend 'faultline-*'
find /var/lib/faultline /etc/kubernetes/manifests/.faultline-* 2>/dev/null
find /etc/systemd/system -name '*faultline-*.conf*' 2>/dev/null
pgrep -fa 'faultline-hold-[a-z]' || true`)
	if left := strings.TrimSpace(string(out)); err == nil && left != "" {
		err = fmt.Errorf("left on %s: %s", i.Node.Name, left)
	}
	return err
}

// healing is the longest way back: a crash loop's longest back-off, as kubelets may remember
// the crashes of earlier tests, and a start.
func healing(c *clusters.Cluster) time.Duration {
	return c.Timing.ControlPlaneReturn(c.Timing.Profile.MaxRestartPeriod).Upper
}

// steady waits until the whole control plane of the target's node is up and stays so:
// what lost its lease in the test before may be about to restart.
func steady(t *testing.T, c *clusters.Cluster, target clusters.Instance) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*healing(c))
	defer cancel()
	err := each(components, func(_ int, component clusters.Component) error {
		i := clusters.Instance{Component: component, Node: target.Node}
		err := clusters.Await(ctx, time.Second, i.String()+" to answer", func(ctx context.Context) error { return answers(ctx, i) })
		if err == nil {
			_, err = stays(i)(ctx)
		}
		return err
	})
	if err != nil {
		t.Fatalf("no steady state before the fault: %v", err)
	}
}

// liveInjector is an injector whose faults end with the test.
func liveInjector(t *testing.T, c *clusters.Cluster) *Injector {
	t.Helper()
	in := NewInjector(c, testJournal(t))
	t.Cleanup(func() {
		if err := in.Restore(context.Background()); err != nil {
			t.Errorf("restore: %v", err)
		}
	})
	return in
}

func landLive(t *testing.T, in *Injector, f Fault) *Injection {
	t.Helper()
	i, err := in.Inject(t.Context(), meant(f))
	if err != nil {
		t.Fatal(err)
	}
	at := i.Instants()
	t.Logf("%s: armed in %s, acted in %s, landed after %s; %s", f, at.Armed.Sub(at.Planned),
		at.Injected.Sub(at.Injecting), at.Landed.Sub(at.Injecting), i.Proof())
	return i
}

// healLive waits for healing as the fault tells it.
func healLive(t *testing.T, c *clusters.Cluster, i *Injection) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), healing(c))
	defer cancel()
	if err := i.AwaitHealed(ctx); err != nil {
		t.Error(err)
	}
}

// assertEffect judges a landed fault from outside.
func assertEffect(t *testing.T, kind Kind, i clusters.Instance, before clusters.Container) {
	t.Helper()
	switch kind {
	case KindKill, KindTerminate:
		if i.Unit() != "" {
			return // systemd restarts it within a second: nothing to see from outside
		}
		eventually(t, "another container than before", 30*time.Second, i, func(ctx context.Context, i clusters.Instance) error {
			newest, err := newestContainer(ctx, i)
			if err == nil && newest.ID == before.ID && newest.State == "CONTAINER_RUNNING" {
				err = fmt.Errorf("container %s runs on", before.ID)
			}
			return err
		})
	case KindPause:
		eventually(t, "silence", 5*time.Second, i, silent)
		if i.Unit() == "" {
			eventually(t, "a container that runs all the same", 5*time.Second, i, runs)
		}
	case KindHoldDown, KindCrashLoop:
		staysSilent(t, i)
	case KindStopService:
		staysSilent(t, i)
		if _, err := i.Node.Exec(t.Context(), "systemctl", "start", i.Unit()); err != nil {
			t.Error(err)
		}
		staysSilent(t, i)
	case KindStop:
		eventually(t, "silence", 5*time.Second, i, silent)
		eventually(t, "no running container", 30*time.Second, i, func(ctx context.Context, i clusters.Instance) error {
			all, err := i.Containers(ctx)
			if slices.ContainsFunc(all, func(c clusters.Container) bool { return c.State == "CONTAINER_RUNNING" }) {
				err = fmt.Errorf("a container runs: %v", all)
			}
			return err
		})
	default:
		t.Fatalf("%s has a contract of its own", kind)
	}
}

// staysSilent asks several times, because what is restarted may answer for a moment.
func staysSilent(t *testing.T, i clusters.Instance) {
	t.Helper()
	for range 5 {
		if err := silent(t.Context(), i); err != nil {
			t.Error(err)
		}
	}
}

// TestContract breaks one cluster in every way. FAULTLINE_CONTRACT=full adds the
// faults and components that take long, because of the kubelet's back-off.
func TestContract(t *testing.T) {
	c := liveCluster(t)
	t.Run("power off", func(t *testing.T) { contractHost(t, c, PowerOff, connects) })
	t.Run("freeze", func(t *testing.T) { contractHost(t, c, Freeze, shakesHands) })
	t.Run("faults", func(t *testing.T) { contractFaults(t, c) })
	t.Run("Containers outlive their runtime", func(t *testing.T) { contractContainersOutliveTheirRuntime(t, c) })
	t.Run("Containers die with their runtime", func(t *testing.T) { contractContainersDieWithTheirRuntime(t, c) })
	t.Run("Several instances at once", func(t *testing.T) { contractSeveralInstancesAtOnce(t, c) })
	t.Run("The node undoes itself", func(t *testing.T) { contractTheNodeUndoesItself(t, c) })
	t.Run("The node tries again", func(t *testing.T) { contractTheNodeTriesAgain(t, c) })
	t.Run("The timer brings the manifest back", func(t *testing.T) { contractTheTimerBringsTheManifestBack(t, c) })
	t.Run("Recover from another process", func(t *testing.T) { contractRecoverFromAnotherProcess(t, c) })
	t.Run("Sabotage", func(t *testing.T) { contractSabotage(t, c) })
}

// suits tells whether a component can be broken in this way.
func suits(kind Kind, component clusters.Component) bool {
	switch kind {
	case KindStop:
		return component.Static()
	case KindStopService:
		return component == clusters.Kubelet || component == clusters.ContainerRuntime
	case KindCrashLoop:
		return slices.Contains(crashers, component)
	default:
		return true
	}
}

// takesLong tells what is left to the full contract.
func takesLong(kind Kind, component clusters.Component) bool {
	switch kind {
	case KindKill:
		return component == clusters.Kubelet || component == clusters.ContainerRuntime
	case KindPause, KindStop:
		return !component.Static()
	case KindCrashLoop:
		return component != clusters.Scheduler && component != clusters.Kubelet
	case KindStopService:
		return component != clusters.Kubelet
	default:
		return true
	}
}

func contractFaults(t *testing.T, c *clusters.Cluster) {
	for _, kind := range []Kind{KindKill, KindTerminate, KindPause, KindHoldDown, KindStop, KindCrashLoop, KindStopService} {
		for _, component := range append(slices.Clone(components), clusters.CoreDNS) {
			if !suits(kind, component) || !clustertest.Full() && takesLong(kind, component) {
				continue
			}
			t.Run(string(kind)+"/"+string(component), func(t *testing.T) { contractFault(t, c, kind, component) })
		}
	}
}

func contractFault(t *testing.T, c *clusters.Cluster, kind Kind, component clusters.Component) {
	all, err := c.Running(t.Context(), component)
	if err != nil || len(all) == 0 {
		t.Fatalf("instances of %s: %v, %v", component, all, err)
	}
	target := all[0]
	steady(t, c, target)
	eventually(t, "an answer before the fault", healing(c), target, answers)
	var before clusters.Container
	if target.Unit() == "" {
		eventually(t, "a running container before the fault", healing(c), target, runs)
		before, _ = newestContainer(t.Context(), target)
	}
	i := landLive(t, liveInjector(t, c), constructors[kind].make(target))
	assertEffect(t, kind, target, before)
	for _, other := range all[1:] {
		eventually(t, "an answer of the other", 5*time.Second, other, answers)
	}
	undoing := time.Now()
	if err := errors.Join(i.Undo(t.Context()), i.Undo(t.Context())); err != nil {
		t.Fatal(err)
	}
	healLive(t, c, i)
	t.Logf("healed %s after the undo began", i.Instants().Healed.Sub(undoing))
	eventually(t, "an answer after the fault", healing(c), target, answers)
	eventually(t, "a clean node", 5*time.Second, target, clean)
}

// contractContainersOutliveTheirRuntime kills and stops containerd only.
func contractContainersOutliveTheirRuntime(t *testing.T, c *clusters.Cluster) {
	runtime := c.Instances(clusters.ContainerRuntime)[0]
	kinds := []Kind{KindKill}
	if clustertest.Full() {
		kinds = append(kinds, KindStopService, KindHoldDown, KindCrashLoop)
	}
	for _, kind := range kinds {
		steady(t, c, runtime)
		before := staticProcesses(t, runtime.Node)
		i := landLive(t, liveInjector(t, c), constructors[kind].make(runtime))
		if err := i.Undo(t.Context()); err != nil {
			t.Fatal(err)
		}
		healLive(t, c, i)
		steady(t, c, runtime)
		if after := staticProcesses(t, runtime.Node); !maps.Equal(before, after) {
			t.Errorf("%s: processes were %v and are %v", kind, before, after)
		}
	}
}

// staticProcesses is what the kernel calls the static pods of a node now.
func staticProcesses(t *testing.T, n *clusters.Node) map[string]int {
	t.Helper()
	pids := map[string]int{}
	for _, i := range n.Everything() {
		if !i.Static() {
			continue
		}
		p, err := i.Process(t.Context())
		if err != nil {
			t.Error(err)
		}
		pids[i.Name()] = p.PID
	}
	return pids
}

// contractContainersDieWithTheirRuntime takes the containers too, and judges by the
// processes of static pods and by the connections that they close.
func contractContainersDieWithTheirRuntime(t *testing.T, c *clusters.Cluster) {
	runtime := c.Instances(clusters.ContainerRuntime)[0]
	server := runtime.Node.Instances(clusters.APIServer)[0]
	kinds := []Kind{KindKillContainers}
	if clustertest.Full() {
		kinds = append(kinds, KindStopContainers)
	}
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			steady(t, c, runtime)
			before := staticProcesses(t, runtime.Node)
			i := landLive(t, liveInjector(t, c), constructors[kind].make(runtime))
			if kind == KindStopContainers {
				staysSilent(t, server)
				staysSilent(t, runtime)
				if _, err := server.Process(t.Context()); !errors.Is(err, clusters.ErrNoProcess) {
					t.Errorf("%s is left: %v", server, err)
				}
			}
			undoing := time.Now()
			if err := errors.Join(i.Undo(t.Context()), i.Undo(t.Context())); err != nil {
				t.Fatal(err)
			}
			healLive(t, c, i)
			t.Logf("healed %s after the undo began", i.Instants().Healed.Sub(undoing))
			for name, pid := range staticProcesses(t, runtime.Node) {
				if pid == before[name] {
					t.Errorf("%s outlived its shim as process %d", name, pid)
				}
			}
			eventually(t, "an answer after the fault", healing(c), server, answers)
			eventually(t, "a clean node", 5*time.Second, runtime, clean)
		})
	}
}

func contractSeveralInstancesAtOnce(t *testing.T, c *clusters.Cluster) {
	targets := c.Instances(clusters.Scheduler)
	for _, target := range targets {
		steady(t, c, target)
	}
	i := landLive(t, liveInjector(t, c), Pause(targets...))
	for _, target := range targets {
		eventually(t, "silence", 5*time.Second, target, silent)
	}
	if err := i.Undo(t.Context()); err != nil {
		t.Fatal(err)
	}
	healLive(t, c, i)
	for _, target := range targets {
		eventually(t, "an answer", healing(c), target, answers)
		eventually(t, "a clean node", 5*time.Second, target, clean)
	}
}

func contractTheNodeUndoesItself(t *testing.T, c *clusters.Cluster) {
	for _, kind := range []Kind{KindPause, KindHoldDown} {
		t.Run(string(kind), func(t *testing.T) {
			target := c.Instances(clusters.Scheduler)[0]
			steady(t, c, target)
			const ttl = 8 * time.Second
			i := landLive(t, liveInjector(t, c), constructors[kind].make(target).WithTTL(ttl))
			eventually(t, "silence", 5*time.Second, target, silent)
			eventually(t, "a clean node", time.Until(i.Deadline())+5*time.Second, target, clean)
			t.Logf("the node had undone it %s after its deadline", time.Since(i.Deadline()))
			if time.Now().Before(i.Instants().Armed.Add(ttl - 2*time.Second)) {
				t.Error("undone long before the deadline")
			}
			eventually(t, "an answer", healing(c), target, answers)
			if err := i.Undo(t.Context()); err != nil {
				t.Errorf("undo after the node's own: %v", err)
			}
			healLive(t, c, i)
		})
	}
}

// contractTheNodeTriesAgain holds the node's lock until the first undo of its timer has given up.
func contractTheNodeTriesAgain(t *testing.T, c *clusters.Cluster) {
	if !clustertest.Full() {
		t.Skip("it takes a minute")
	}
	target := c.Instances(clusters.Scheduler)[0]
	steady(t, c, target)
	const ttl, locked = 8 * time.Second, 35 * time.Second
	i := landLive(t, liveInjector(t, c), Pause(target).WithTTL(ttl))
	hang := []string{"systemd-run", "--quiet", "--collect", "--unit=hanging-command", "flock", "/var/lib", "sleep", fmt.Sprint(locked.Seconds())}
	if _, err := target.Node.Exec(t.Context(), hang...); err != nil {
		t.Fatal(err)
	}
	free := time.Now().Add(locked)
	eventually(t, "a clean node", locked+30*time.Second, target, clean)
	if time.Now().Before(free) {
		t.Error("undone while another command held the node's lock")
	}
	t.Logf("the node had undone it %s after its deadline", time.Since(i.Deadline()))
	eventually(t, "an answer", healing(c), target, answers)
	if err := i.Undo(t.Context()); err != nil {
		t.Errorf("undo after the node's own: %v", err)
	}
	healLive(t, c, i)
}

func contractTheTimerBringsTheManifestBack(t *testing.T, c *clusters.Cluster) {
	target := c.Instances(clusters.ControllerManager)[0]
	steady(t, c, target)
	i := landLive(t, liveInjector(t, c), Stop(target).WithTTL(stopLanding))
	eventually(t, "silence", 5*time.Second, target, silent)
	eventually(t, "an answer", time.Until(i.Deadline())+healing(c), target, answers)
	eventually(t, "a clean node", 5*time.Second, target, clean)
}

func contractRecoverFromAnotherProcess(t *testing.T, c *clusters.Cluster) {
	for _, kind := range []Kind{KindPause, KindStop, KindHoldDown, KindCrashLoop} {
		t.Run(string(kind), func(t *testing.T) {
			target := c.Instances(clusters.APIServer)[0] // recovery may not need it
			steady(t, c, target)
			dead := NewInjector(c, testJournal(t))
			landLive(t, dead, constructors[kind].make(target))
			if err := dead.journal.Close(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "silence", 5*time.Second, target, silent)
			var out strings.Builder
			report, err := Recover(t.Context(), []string{dead.journal.Path()}, shellForCluster(c), &out)
			t.Log(out.String())
			if err != nil || len(report.Undone) != 1 {
				t.Errorf("%+v, %v", report, err)
			}
			eventually(t, "an answer", healing(c), target, answers)
			eventually(t, "a clean node", 5*time.Second, target, clean)
		})
	}
}

// shellForCluster reaches nodes by the cluster that is at hand.
func shellForCluster(c *clusters.Cluster) ShellFor {
	return func(_ context.Context, _, node string) (clusters.Shell, error) {
		if node == clusters.ThisMachineName {
			return clusters.LocalShell, nil
		}
		n, err := c.Node(node)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrGone, err)
		}
		return func(ctx context.Context, _ string, in io.Reader, argv ...string) ([]byte, error) {
			return n.ExecInput(ctx, in, argv...)
		}, nil
	}
}

func contractSabotage(t *testing.T, c *clusters.Cluster) {
	target := c.Instances(clusters.Scheduler)[0]
	steady(t, c, target)
	for _, kind := range []Kind{KindKill, KindPause, KindHoldDown} {
		in := liveInjector(t, c)
		in.Sabotage.SkipInject = true
		if _, err := in.Inject(t.Context(), meant(constructors[kind].make(target))); !errors.Is(err, ErrNotLanded) {
			t.Errorf("a %s that does nothing: got %v, want ErrNotLanded", kind, err)
		}
		eventually(t, "an answer", 5*time.Second, target, answers)
		eventually(t, "a clean node", 5*time.Second, target, clean)
	}

	steady(t, c, target)
	skippedUndoIsNotHealed(t, c, Pause(target))
	eventually(t, "an answer", healing(c), target, answers)
	eventually(t, "a clean node", 5*time.Second, target, clean)
}

// contractHost judges a lost node from the network, by how it is reached.
func contractHost(t *testing.T, c *clusters.Cluster, lose func(...*clusters.Node) Fault, reach func(context.Context, clusters.Instance) error) {
	target := c.Instances(clusters.APIServer)[0]
	steady(t, c, target)
	i := landLive(t, liveInjector(t, c), lose(target.Node))
	eventually(t, "silence", 5*time.Second, target, func(ctx context.Context, target clusters.Instance) error {
		if reach(ctx, target) == nil {
			return fmt.Errorf("%s still answers", target)
		}
		return nil
	})
	if err := errors.Join(i.Undo(t.Context()), i.Undo(t.Context())); err != nil {
		t.Fatal(err)
	}
	healLive(t, c, i)
	eventually(t, "the same address", healing(c), target, reach)
	eventually(t, "an answer after the fault", healing(c), target, answers)
	if left, _ := filepath.Glob("/tmp/faultline-undo-*"); len(left) > 0 {
		t.Errorf("left on this machine: %v", left)
	}
}

// connects asks for a connection, which nothing on a node without power accepts.
func connects(_ context.Context, i clusters.Instance) error {
	conn, err := net.DialTimeout("tcp", i.Node.APIServer().Address, time.Second)
	if err != nil {
		return err
	}
	return conn.Close()
}

// shakesHands asks for more than a connection, which the kernel of a frozen node
// still accepts.
func shakesHands(ctx context.Context, i clusters.Instance) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} // nothing is sent: the server is only asked to speak
	conn, err := dialer.DialContext(ctx, "tcp", i.Node.APIServer().Address)
	if err != nil {
		return err
	}
	return conn.Close()
}

// undoTwice undoes a fault twice, which has to do no harm, and waits for healing.
func undoTwice(t *testing.T, i *Injection, within time.Duration) {
	t.Helper()
	start := time.Now()
	if err := errors.Join(i.Undo(t.Context()), i.Undo(t.Context())); err != nil {
		t.Fatal(err)
	}
	undone := time.Since(start)
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	if err := i.AwaitHealed(ctx); err != nil {
		t.Error(err)
	}
	t.Logf("%s: undone in %s, healed after %s", i.Fault, undone, i.Instants().Healed.Sub(start))
}

// skippedUndoIsNotHealed expects that a fault which only seems to be undone is not healed.
func skippedUndoIsNotHealed(t *testing.T, c *clusters.Cluster, f Fault) {
	t.Helper()
	in := liveInjector(t, c)
	in.Sabotage.SkipUndo = true
	i := landLive(t, in, f)
	if err := i.Undo(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*settle)
	defer cancel()
	if err := i.AwaitHealed(ctx); err == nil {
		t.Error("healed although the undo was skipped")
	}
	if err := in.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
}
