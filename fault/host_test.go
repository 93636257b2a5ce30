package fault

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"faultline/clusters"
)

// plug is an engine of files: the status of a node is a file, and commands change it.
type plug struct {
	*model
	status string // path
	boots  atomic.Int64
}

// plugged gives the first node of a model a plug.
func plugged(t *testing.T) (*plug, *Injector, *clusters.Node) {
	t.Helper()
	p := &plug{model: newModel(), status: filepath.Join(t.TempDir(), "status")}
	c := modelCluster(t, p.shell)
	set := func(status string) []string { return []string{"sh", "-c", `echo "$1" > "$2"`, "sh", status, p.status} }
	n := c.Nodes[0]
	n.Power = clusters.Power{
		Off: set("exited"), On: set("running"), Freeze: set("paused"), Thaw: set("running"),
		Status: []string{"cat", p.status}, Destroy: []string{"rm", p.status},
	}
	p.is(t, "running")
	return p, NewInjector(c, testJournal(t)), n
}

func (p *plug) is(t *testing.T, status string) {
	t.Helper()
	if err := os.WriteFile(p.status, []byte(status+"\n"), 0o600); err != nil {
		t.Error(err)
	}
}

// frozen fails while the node is not.
func (p *plug) frozen(context.Context) error {
	got, err := os.ReadFile(p.status)
	if err == nil && strings.TrimSpace(string(got)) != "paused" {
		err = errors.New("it is not frozen")
	}
	return err
}

// shell is the model's, and tells of boots.
func (p *plug) shell(ctx context.Context, node string, in io.Reader, argv ...string) ([]byte, error) {
	if argv[0] == "sh" && argv[2] == bootScript {
		return []byte{byte('0' + p.boots.Add(1))}, nil
	}
	return p.model.shell(ctx, node, in, argv...)
}

func (p *plug) mustRun(t *testing.T) {
	t.Helper()
	got, err := os.ReadFile(p.status)
	if err != nil || strings.TrimSpace(string(got)) != "running" {
		t.Errorf("the node is %q (%v), want it to run", got, err)
	}
}

// spotless says that nothing of the fault is on this machine.
func nothingHere(t *testing.T, i *Injection) {
	t.Helper()
	for _, e := range i.effects {
		if left, _ := filepath.Glob("/tmp/faultline-*" + e.id + "*"); len(left) > 0 {
			t.Errorf("left on this machine: %v", left)
		}
	}
}

func TestABlackoutEndsByItself(t *testing.T) {
	p, in, n := plugged(t)
	const length = 300 * time.Millisecond
	i, err := in.Inject(t.Context(), meant(Blackout(length, n)))
	if err != nil {
		t.Fatal(err)
	}
	p.mustRun(t)
	if took := i.Instants().Injected.Sub(i.Instants().Injecting); took < length {
		t.Errorf("it took %s, want at least %s", took, length)
	}
	if !strings.Contains(i.Proof(), "was paused for ") || i.Lasts() {
		t.Errorf("proof %q, lasts: %t", i.Proof(), i.Lasts())
	}
	if err := errors.Join(i.Undo(t.Context()), i.Undo(t.Context()), i.AwaitHealed(t.Context())); err != nil {
		t.Error(err)
	}
	nothingHere(t, i)
}

func TestABlackoutThatIsCutShortHasNotLanded(t *testing.T) {
	p, in, n := plugged(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		if err := clusters.Await(ctx, 10*time.Millisecond, "the freeze", p.frozen); err == nil {
			p.is(t, "running")
		}
	}()
	_, err := in.Inject(t.Context(), meant(Blackout(2*time.Second, n)))
	if !errors.Is(err, ErrNotLanded) || !strings.Contains(err.Error(), "the node is not frozen") {
		t.Errorf("got %v", err)
	}
	p.mustRun(t)
}

func TestABlackoutThatIsCancelledIsThawed(t *testing.T) {
	p, in, n := plugged(t)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := in.Inject(ctx, meant(Blackout(time.Minute, n))); !errors.Is(err, ErrNotLanded) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(start); took > 45*time.Second {
		t.Errorf("it took %s to give up", took)
	}
	p.mustRun(t)
}

func TestARebootIsProvedByAnotherBoot(t *testing.T) {
	p, in, n := plugged(t)
	i, err := in.Inject(t.Context(), meant(Reboot(n)))
	if err != nil {
		t.Fatal(err)
	}
	p.mustRun(t)
	if !strings.Contains(i.Proof(), "first process started at") || i.Lasts() {
		t.Errorf("proof %q, lasts: %t", i.Proof(), i.Lasts())
	}
	if err := errors.Join(i.Undo(t.Context()), i.AwaitHealed(t.Context())); err != nil {
		t.Error(err)
	}
	nothingHere(t, i)
}

func TestTheSameBootIsNoReboot(t *testing.T) {
	p, _, n := plugged(t)
	e, err := planReboot(t.Context(), n, "reboot-x-0")
	if err != nil {
		t.Fatal(err)
	}
	p.boots.Store(0) // the next look finds the same boot
	if _, err := e.prove(t.Context()); err == nil || !strings.Contains(err.Error(), "has not booted") {
		t.Errorf("got %v", err)
	}
}

func TestAHalfDoneRebootIsFinishedByItsUndo(t *testing.T) {
	p, _, n := plugged(t)
	e, err := planReboot(t.Context(), n, "reboot-half-0")
	if err != nil {
		t.Fatal(err)
	}
	p.is(t, "exited")
	if err := errors.Join(e.run(t.Context(), e.undo), e.run(t.Context(), e.undo)); err != nil {
		t.Error(err)
	}
	p.mustRun(t)
}

func TestADestroyedNodeDoesNotHeal(t *testing.T) {
	_, in, n := plugged(t)
	if _, err := in.Inject(t.Context(), Destroy(n)); err != nil {
		t.Fatalf("one of three: %v", err) // the guard lets it pass
	}
	i := in.Open()[0]
	if !strings.Contains(i.Proof(), "knows no node") {
		t.Errorf("proof %q", i.Proof())
	}
	if err := i.Undo(t.Context()); err != nil {
		t.Error(err)
	}
	if err := i.AwaitHealed(t.Context()); !errors.Is(err, ErrIrreversible) {
		t.Errorf("got %v", err)
	}
	records, err := ReadJournal(in.journal.Path())
	if err != nil || len(records) != 1 || records[0].Open() {
		t.Errorf("journal %+v, %v; want it closed", records, err)
	}
	if err := Destroy(n).Available(t.Context()); err == nil || !strings.Contains(err.Error(), "destroyed already") {
		t.Errorf("again: got %v", err)
	}
}

func TestAnEngineThatFailsIsNoProofOfDestruction(t *testing.T) {
	n := &clusters.Node{Name: "n1", Power: clusters.Power{Status: []string{"sh", "-c", "echo cannot connect to the daemon >&2; exit 1"}}}
	if proof, err := proveDestroyed(t.Context(), clusters.ThisMachine(), n); err == nil {
		t.Errorf("proof %q", proof)
	}
	n.Power.Status = []string{"echo", "running"}
	if proof, err := proveDestroyed(t.Context(), clusters.ThisMachine(), n); err == nil || !strings.Contains(err.Error(), "is running") {
		t.Errorf("proof %q, %v", proof, err)
	}
}

func TestHostFaultsRefuseWhatMakesNoSense(t *testing.T) {
	p, _, n := plugged(t)
	bare := &clusters.Node{Name: "n9"}
	for _, test := range []struct {
		fault Fault
		want  string
	}{
		{Blackout(time.Millisecond, n), "out of range"},
		{Blackout(time.Hour, n), "out of range"},
		{Blackout(time.Second, bare), "cannot be switched"},
		{Reboot(bare), "cannot be switched"},
		{Destroy(bare), "cannot be destroyed"},
		{Reboot(), "no target"},
		{Reboot(nil), "has no node"},
	} {
		if err := test.fault.Available(t.Context()); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", test.fault, err, test.want)
		}
	}
	p.is(t, "paused")
	for _, f := range []Fault{Reboot(n), Blackout(time.Second, n)} {
		if err := f.Available(t.Context()); err == nil || !strings.Contains(err.Error(), "is paused already") {
			t.Errorf("%s: got %v", f, err)
		}
	}
	if f := Blackout(time.Minute, n); f.TTL <= time.Minute {
		t.Errorf("the TTL %s ends a blackout of a minute", f.TTL)
	}
}

func TestRollingGoesOnWhenTheFormerIsHealed(t *testing.T) {
	synctest.Test(t, rollingGoesOnWhenTheFormerIsHealed)
}

func rollingGoesOnWhenTheFormerIsHealed(t *testing.T) {
	b := newBench(t)
	var faults []Fault
	for _, i := range b.cluster.EtcdMembers() {
		faults = append(faults, Kill(i))
	}
	done, err := b.Rolling(t.Context(), faults...)
	if err != nil || len(done) != 3 {
		t.Fatalf("%d injections, %v", len(done), err)
	}
	for n, i := range done {
		if i.State() != Healed || n > 0 && i.Instants().Injecting.Before(done[n-1].Instants().Healed) {
			t.Errorf("%s: %s, %+v", i.Fault, i.State(), i.Instants())
		}
	}
}

func TestRollingStopsAtTheFirstFailure(t *testing.T) { synctest.Test(t, rollingStopsAtTheFirstFailure) }

func rollingStopsAtTheFirstFailure(t *testing.T) {
	b := newBench(t)
	etcd := b.cluster.EtcdMembers()
	if done, err := b.Rolling(t.Context(), Kill(etcd[0]), Stop(b.cluster.Instances(clusters.Kubelet)[0])); err == nil || len(done) > 0 || len(b.changes()) > 0 {
		t.Errorf("a bad one: %d injections, %v, changed %v", len(done), err, b.changes())
	}
	b.Sabotage.SkipUndo = true
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	done, err := b.Rolling(ctx, Pause(etcd[0]), Kill(etcd[1]))
	if err == nil || len(done) != 1 || !strings.Contains(err.Error(), "number 1 of 2") {
		t.Errorf("one that does not heal: %d injections, %v", len(done), err)
	}
	if err := errors.Join(b.Restore(t.Context()), b.unwell()); err != nil {
		t.Error(err)
	}
}
