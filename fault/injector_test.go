package fault

import (
	"context"
	"errors"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"faultline/clusters"
)

// bench is an injector on a model.
type bench struct {
	*model
	*Injector
	cluster *clusters.Cluster
}

func newBench(t *testing.T) bench {
	t.Helper()
	m := newModel()
	c := modelCluster(t, m.shell)
	j, err := OpenJournal(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return bench{m, NewInjector(c, j), c}
}

// meant is a fault that the guard lets pass, whatever it takes.
func meant(f Fault) Fault { return f.Losing(clusters.Components...) }

// must injects a fault that is meant.
func (b bench) must(t *testing.T, f Fault) *Injection {
	t.Helper()
	i, err := b.Inject(t.Context(), meant(f))
	if err != nil {
		t.Fatalf("inject: %v", err)
	}
	return i
}

func (b bench) states(t *testing.T) map[State]int {
	t.Helper()
	records, err := ReadJournal(b.journal.Path())
	if err != nil {
		t.Fatal(err)
	}
	states := map[State]int{}
	for _, r := range records {
		states[r.State]++
	}
	return states
}

// constructors are every fault on instances, with a component that it suits and the name
// of its action's and undo's script.
var constructors = map[Kind]struct {
	make         func(...clusters.Instance) Fault
	component    clusters.Component
	action, undo string
}{
	KindKill:           {Kill, clusters.Etcd, "signal", ""},
	KindTerminate:      {Terminate, clusters.Etcd, "signal", ""},
	KindHoldDown:       {HoldDown, clusters.Etcd, "hold", "release"},
	KindPause:          {Pause, clusters.Etcd, "pause", "resume"},
	KindStop:           {Stop, clusters.Etcd, "stop", "restore"},
	KindCrashLoop:      {CrashLoop, clusters.Etcd, "crash", "restore"},
	KindStopService:    {StopService, clusters.Kubelet, "set", "unset"},
	KindKillContainers: {KillContainers, clusters.ContainerRuntime, "end", ""},
	KindStopContainers: {StopContainers, clusters.ContainerRuntime, "set", "unset"},
}

// undone are the kinds that have something to undo.
func undone() []Kind {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(constructors)), func(k Kind) bool { return constructors[k].undo == "" })
}

func TestEveryFaultLandsIsUndoneAndHeals(t *testing.T) {
	for kind, c := range constructors {
		t.Run(string(kind), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				i := b.must(t, c.make(b.cluster.Instances(c.component).Majority()...))
				if i.State() != Landed || strings.Count(i.Proof(), "\n") != 1 {
					t.Errorf("state %s, proof %q; want landed and a line for each of 2 targets", i.State(), i.Proof())
				}
				if lasts := c.undo != ""; i.Lasts() != lasts {
					t.Errorf("lasts: %t, want %t", i.Lasts(), lasts)
				}
				if err := i.Undo(t.Context()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Until(i.Deadline()) + time.Second)
				if i.Expired() {
					t.Error("a fault that was undone in time has expired")
				}
				if err := i.AwaitHealed(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := b.unwell(); err != nil {
					t.Error(err)
				}
				if got := b.states(t); got[Healed] != 2 || len(got) != 1 {
					t.Errorf("journal ends with %v, want 2 healed", got)
				}
				at := i.Instants()
				order := []time.Time{at.Planned, at.Armed, at.Injecting, at.Injected, at.Landed, at.Undoing, at.Undone}
				if !slices.IsSortedFunc(order, time.Time.Compare) || at.Planned.IsZero() || at.Healed.Before(at.Undone) && kind != KindKill {
					t.Errorf("instants out of order: %+v", at)
				}
				for _, s := range []string{"arm", c.action, c.undo} {
					want := 2
					if s == "" || s == "arm" && c.undo == "" {
						want = 0
					}
					if got := count(b.changes(), s); got != want {
						t.Errorf("%q ran %d times, want %d: %v", s, got, want, b.changes())
					}
				}
			})
		})
	}
}

func count(calls []string, script string) int {
	n := 0
	for _, c := range calls {
		if strings.HasSuffix(c, " "+script) {
			n++
		}
	}
	return n
}

func TestNothingIsChangedByWhatIsRefused(t *testing.T) {
	stranger := &clusters.Node{Name: "n1"}
	cases := map[string]struct {
		fault func(c *clusters.Cluster) Fault
		want  string
	}{
		"no target": {func(*clusters.Cluster) Fault { return Kill() }, "no target"},
		"twice":     {func(c *clusters.Cluster) Fault { e := c.EtcdMembers(); return Pause(e[0], e[1], e[0]) }, "etcd on n1 is named twice"},
		"no node":   {func(*clusters.Cluster) Fault { return Kill(clusters.Instance{Component: clusters.Etcd}) }, "has no node"},
		"foreign node": {func(*clusters.Cluster) Fault {
			return Kill(clusters.Instance{Component: clusters.Etcd, Node: stranger})
		}, "not in the cluster model"},
		"unknown component":                 {func(c *clusters.Cluster) Fault { return Kill(clusters.Instance{Component: "etcdd", Node: c.Nodes[0]}) }, `unknown component "etcdd"`},
		"stop of a service":                 {func(c *clusters.Cluster) Fault { return Stop(c.Instances(clusters.Kubelet)[0]) }, "no static pod"},
		"stop of a static pod as a service": {func(c *clusters.Cluster) Fault { return StopService(c.EtcdMembers()[0]) }, "no service of systemd"},
		"containers of no runtime":          {func(c *clusters.Cluster) Fault { return KillContainers(c.Instances(clusters.Kubelet)[0]) }, "no container runtime"},
		"crash loop without flags":          {func(c *clusters.Cluster) Fault { return CrashLoop(c.Instances(clusters.KubeProxy)[0]) }, "cannot be given a bad flag"},
		"TTL too short":                     {func(c *clusters.Cluster) Fault { return Kill(c.EtcdMembers()[0]).WithTTL(time.Millisecond) }, "out of range"},
		"TTL too long":                      {func(c *clusters.Cluster) Fault { return Kill(c.EtcdMembers()[0]).WithTTL(48 * time.Hour) }, "out of range"},
		"one bad in several":                {func(c *clusters.Cluster) Fault { return Stop(c.EtcdMembers()[0], c.Instances(clusters.Kubelet)[1]) }, "no static pod"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			f := c.fault(b.cluster)
			_, err := b.Inject(t.Context(), f)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
			if len(b.changes()) > 0 || len(b.states(t)) > 0 {
				t.Errorf("changed %v, journalled %v", b.changes(), b.states(t))
			}
			b.must(t, Kill(b.cluster.EtcdMembers()...)) // nothing stays reserved
		})
	}
}

func TestTargetsThatAreDownAreRefused(t *testing.T) {
	b := newBench(t)
	etcd := b.cluster.EtcdMembers()
	b.nodes["n1"].holds["other"] = clusters.Etcd
	paused := b.nodes["n2"].processes[clusters.Etcd]
	paused.State, paused.stopped = "T", time.Now()
	if err := Kill(etcd[0]).Available(t.Context()); !errors.Is(err, clusters.ErrNoProcess) {
		t.Errorf("no process: got %v", err)
	}
	if err := Pause(etcd[1]).Available(t.Context()); err == nil || !strings.Contains(err.Error(), "kill -CONT") {
		t.Errorf("stopped: got %v", err)
	}
	if err := Pause(etcd[2]).Available(t.Context()); err != nil {
		t.Errorf("well: got %v", err)
	}
	if len(b.changes()) > 0 {
		t.Errorf("changed %v", b.changes())
	}
}

func TestATargetBearsOneFault(t *testing.T) {
	b := newBench(t)
	etcd := b.cluster.EtcdMembers()
	first := b.must(t, Pause(etcd[0]))
	if _, err := b.Inject(t.Context(), Kill(etcd[1], etcd[0])); err == nil || !strings.Contains(err.Error(), first.ID) {
		t.Errorf("second fault: got %v, want it refused and %s named", err, first.ID)
	}
	fresh := NewInjector(b.cluster, b.journal) // as after a crash
	if _, err := fresh.Inject(t.Context(), Kill(etcd[0])); err == nil || !strings.Contains(err.Error(), "chaos-recover") {
		t.Errorf("fault of an earlier process: got %v, want recovery advised", err)
	}
	b.must(t, Kill(etcd[1]))
	if err := first.Undo(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.must(t, Kill(etcd[0]))
}

func TestIllegalTransitions(t *testing.T) {
	all := []State{Planned, Armed, Injected, Landed, Undone, Healed}
	legal := 0
	for _, from := range all {
		for _, to := range all {
			err := from.to(to)
			if err == nil {
				legal++
			}
			var illegal *TransitionError
			if err != nil && !errors.As(err, &illegal) {
				t.Errorf("%s to %s: %v", from, to, err)
			}
		}
	}
	if legal != 7 {
		t.Errorf("%d legal transitions, want 7", legal)
	}

	b := newBench(t)
	i := b.must(t, Pause(b.cluster.EtcdMembers()[0]))
	before := len(b.changes())
	var illegal *TransitionError
	if err := i.AwaitHealed(t.Context()); !errors.As(err, &illegal) {
		t.Errorf("healing a landed fault: got %v", err)
	}
	if i.State() != Landed || len(b.changes()) != before || b.states(t)[Landed] != 1 {
		t.Errorf("an illegal transition changed something: %s, %v, %v", i.State(), b.changes(), b.states(t))
	}
	planned := &Injection{injector: b.Injector, state: Planned}
	if err := planned.Undo(t.Context()); !errors.As(err, &illegal) {
		t.Errorf("undoing a planned fault: got %v", err)
	}
}

func TestUndoTwiceAndInAnyOrder(t *testing.T) {
	b := newBench(t)
	etcd := b.cluster.EtcdMembers()
	a, c := b.must(t, Pause(etcd[0])), b.must(t, Stop(etcd[1]))
	for _, i := range []*Injection{a, c, a, c} {
		if err := i.Undo(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if err := b.unwell(); err != nil {
		t.Error(err)
	}
}

func TestANoOpIsNotLanded(t *testing.T) {
	for kind, c := range constructors {
		t.Run(string(kind), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				b.Sabotage.SkipInject = true
				_, err := b.Inject(t.Context(), meant(c.make(b.cluster.Instances(c.component)[:2]...)))
				if !errors.Is(err, ErrNotLanded) {
					t.Errorf("got %v, want ErrNotLanded", err)
				}
				if err := b.unwell(); err != nil {
					t.Error(err)
				}
				if got := b.states(t); got[Undone] != 2 || len(got) != 1 || len(b.Open()) > 0 {
					t.Errorf("journal %v, open %v; want all undone", got, b.Open())
				}
			})
		})
	}
}

func TestSkippedUndoIsNotHealed(t *testing.T) {
	for _, kind := range undone() {
		t.Run(string(kind), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				b.Sabotage.SkipUndo = true
				i := b.must(t, constructors[kind].make(b.cluster.Instances(constructors[kind].component)[0]))
				if err := i.Undo(t.Context()); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				if err := i.AwaitHealed(ctx); err == nil {
					t.Error("healed although the undo was skipped")
				}
				if b.states(t)[Landed] != 1 {
					t.Errorf("journal %v, want the truth: landed", b.states(t))
				}
				if err := errors.Join(b.Restore(t.Context()), b.unwell()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestNothingIsHealedBeforeItsUndo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		i := b.must(t, Kill(b.cluster.Instances(clusters.Scheduler)[0]))
		time.Sleep(time.Minute) // the kubelet has long started it again
		if err := errors.Join(i.Undo(t.Context()), i.AwaitHealed(t.Context())); err != nil {
			t.Fatal(err)
		}
		if at := i.Instants(); at.Healed.Before(at.Undone) {
			t.Errorf("healed %s before it was undone", at.Undone.Sub(at.Healed))
		}
	})
}

func TestAnEndedContextStillUndoes(t *testing.T) {
	b := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	shell := func(c context.Context, node string, in io.Reader, argv ...string) ([]byte, error) {
		out, err := b.shell(c, node, in, argv...)
		if argv[0] == "sh" && argv[2] == pauseScript {
			cancel()
		}
		return out, err
	}
	if err := b.cluster.Connect(shell); err != nil {
		t.Fatal(err)
	}
	_, err := b.Inject(ctx, Pause(b.cluster.EtcdMembers()[0]))
	if !errors.Is(err, ErrNotLanded) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := b.unwell(); err != nil {
		t.Error(err)
	}
}

func TestAFailedUndoCanBeTriedAgain(t *testing.T) {
	b := newBench(t)
	i := b.must(t, Pause(b.cluster.EtcdMembers()...))
	broken := true
	shell := func(ctx context.Context, node string, in io.Reader, argv ...string) ([]byte, error) {
		if broken && node == "n2" {
			return nil, errors.New("n2 is out of reach")
		}
		return b.shell(ctx, node, in, argv...)
	}
	if err := b.cluster.Connect(shell); err != nil {
		t.Fatal(err)
	}
	if err := i.Undo(t.Context()); err == nil || !strings.Contains(err.Error(), "n2 is out of reach") {
		t.Errorf("got %v", err)
	}
	if got := b.states(t); i.State() != Landed || got[Undone] != 2 || got[Landed] != 1 {
		t.Errorf("state %s, journal %v; want landed, and 2 of 3 targets undone", i.State(), got)
	}
	broken = false
	if err := errors.Join(i.Undo(t.Context()), b.unwell()); err != nil || i.State() != Undone {
		t.Errorf("second undo: %s, %v", i.State(), err)
	}
}

// A node that is silent must not keep the others, and those who wait, for ever.
func TestAnUndoEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		i := b.must(t, Pause(b.cluster.EtcdMembers()...))
		silent := true
		shell := func(ctx context.Context, node string, in io.Reader, argv ...string) ([]byte, error) {
			if silent && node == "n2" {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return b.shell(ctx, node, in, argv...)
		}
		if err := b.cluster.Connect(shell); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := i.Undo(t.Context()); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != undoTimeout {
			t.Errorf("got %v after %s", err, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began = time.Now()
		if err := i.Undo(ctx); err == nil || time.Since(began) != time.Second {
			t.Errorf("the caller's time is not its own: %v after %s", err, time.Since(began))
		}
		silent = false
		if err := errors.Join(i.Undo(t.Context()), b.unwell()); err != nil {
			t.Error(err)
		}
	})
}

func TestTheLimitOfARestoreBeginsAfterTheStepBefore(t *testing.T) {
	b := newBench(t)
	i := b.must(t, Pause(b.cluster.EtcdMembers()[0]))
	limits := make(chan time.Time, 1)
	shell := func(ctx context.Context, node string, in io.Reader, argv ...string) ([]byte, error) {
		if argv[0] == "sh" && argv[2] == resumeScript {
			limit, _ := ctx.Deadline()
			limits <- limit
		}
		return b.shell(ctx, node, in, argv...)
	}
	if err := b.cluster.Connect(shell); err != nil {
		t.Fatal(err)
	}
	i.step.Lock() // as one who waits for its healing
	restored := make(chan error, 1)
	go func() { restored <- b.Restore(t.Context()) }()
	time.Sleep(50 * time.Millisecond) // so long is the step
	over := time.Now()
	i.step.Unlock()
	if err := errors.Join(<-restored, b.unwell()); err != nil {
		t.Error(err)
	}
	if limit := <-limits; limit.Before(over.Add(undoTimeout)) {
		t.Errorf("the undo had %s, want %s", limit.Sub(over), undoTimeout)
	}
}

func TestTheNodeUndoesWhatWeDoNot(t *testing.T) {
	for _, kind := range undone() {
		t.Run(string(kind), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				i := b.must(t, constructors[kind].make(b.cluster.Instances(constructors[kind].component)...).WithTTL(20*time.Second))
				time.Sleep(21 * time.Second)
				if err := b.unwell(); err != nil {
					t.Error(err)
				}
				if _, err := i.Prove(t.Context()); err == nil {
					t.Error("Prove still finds the fault in effect")
				}
				before := i.Expired()
				if err := i.Undo(t.Context()); err != nil {
					t.Errorf("undo after the timer: %v", err)
				}
				if !before || !i.Expired() {
					t.Errorf("expired: %t, and after the undo %t, want both", before, i.Expired())
				}
			})
		})
	}
}

func TestAnUnwritableJournalChangesNothing(t *testing.T) {
	b := newBench(t)
	if err := b.journal.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Inject(t.Context(), Pause(b.cluster.EtcdMembers()[0])); err == nil || !strings.Contains(err.Error(), filepath.Base(b.journal.Path())) {
		t.Errorf("got %v, want an error that names the journal", err)
	}
	if len(b.changes()) > 0 {
		t.Errorf("changed %v", b.changes())
	}
}
