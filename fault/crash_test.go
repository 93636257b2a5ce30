package fault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"faultline/clusters"
)

var errDead = errors.New("this process is dead")

// mortal is a process that dies at a chosen step. A step is a command on a node or a
// write to the journal.
type mortal struct {
	mu    sync.Mutex
	steps int // left to live
	how   int // 0: before the last step, 1: in the middle of it, 2: after it
	dead  bool
}

// step takes one step, unless the process is dead. half is the step's torn form.
func (p *mortal) step(whole, half func()) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead {
		return errDead
	}
	p.steps--
	if p.steps >= 0 {
		whole()
		return nil
	}
	p.dead = true
	switch p.how {
	case 1:
		half()
	case 2:
		whole()
	}
	return errDead
}

// mortalShell is the way of a mortal process to the nodes. A command that was sent is
// carried out as a whole, whoever waits for it.
func (p *mortal) shell(m *model) clusters.Shell {
	return func(ctx context.Context, node string, in io.Reader, argv ...string) (out []byte, err error) {
		run := func() { out, err = m.shell(ctx, node, in, argv...) }
		if dead := p.step(run, run); dead != nil {
			return nil, dead
		}
		return out, err
	}
}

// mortalFile is the journal of a mortal process, without the cost of syncing.
type mortalFile struct {
	*os.File
	process *mortal
}

func (f mortalFile) append(lines []byte) (err error) {
	torn, err := syncedFile{f.File}.torn()
	if err != nil {
		return err
	}
	if torn {
		lines = append([]byte(tornMark), lines...)
	}
	write := func(b []byte) func() { return func() { _, err = f.Write(b) } }
	return errors.Join(f.process.step(write(lines), write(lines[:len(lines)*2/3])), err)
}

// operation is one step of a random history.
type operation struct {
	name      string
	kind      Kind
	component clusters.Component
	nodes     int // bits
	index     int
	ttl, wait time.Duration
}

func drawOperation(t *rapid.T) operation {
	return operation{
		name:      rapid.SampledFrom([]string{"inject", "inject", "inject", "undo", "heal", "restore", "wait"}).Draw(t, "operation"),
		kind:      rapid.SampledFrom(slices.Sorted(maps.Keys(constructors))).Draw(t, "kind"),
		component: rapid.SampledFrom(components).Draw(t, "component"),
		nodes:     rapid.IntRange(1, 7).Draw(t, "nodes"),
		index:     rapid.IntRange(0, 3).Draw(t, "index"),
		ttl:       time.Duration(rapid.IntRange(5, 60).Draw(t, "ttl")) * time.Second,
		wait:      time.Duration(rapid.IntRange(0, 90).Draw(t, "wait")) * time.Second,
	}
}

// life is what one process does until it dies, and what follows.
type life struct {
	operations []operation
	steps, how int
	recover    bool // else the nodes' timers do it
}

func drawLife(t *rapid.T) life {
	return life{
		operations: rapid.SliceOfN(rapid.Custom(drawOperation), 1, 8).Draw(t, "operations"),
		steps:      rapid.IntRange(0, 60).Draw(t, "steps"),
		how:        rapid.IntRange(0, 2).Draw(t, "how"),
		recover:    rapid.Bool().Draw(t, "recover"),
	}
}

// TestAnyHistoryEndsHealed walks random histories of several processes, each of which
// dies at any step, on one set of nodes and with one journal.
func TestAnyHistoryEndsHealed(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		lives := rapid.SliceOfN(rapid.Custom(drawLife), 1, 3).Draw(rt, "lives")
		var failed error
		synctest.Test(t, func(t *testing.T) { failed = live(t, lives) })
		if failed != nil {
			rt.Fatal(failed)
		}
	})
}

func live(t *testing.T, lives []life) error {
	m := newModel()
	dir := t.TempDir()
	for n, l := range lives {
		j, err := OpenJournal(dir)
		if err != nil {
			return fmt.Errorf("life %d: %w", n, err)
		}
		process := &mortal{steps: l.steps, how: l.how}
		j.file = mortalFile{j.file.(syncedFile).File, process}
		c := modelCluster(t, process.shell(m))
		err = act(t.Context(), NewInjector(c, j), c, l.operations)
		if err != nil && !process.dead {
			return fmt.Errorf("life %d: %w", n, err)
		}
		if err := errors.Join(j.Close(), m.after(t.Context(), l, j.Path())); err != nil {
			return fmt.Errorf("after life %d: %w", n, err)
		}
	}
	return nil
}

// after lets recovery or the timers do their work, and looks at the nodes.
func (m *model) after(ctx context.Context, l life, journal string) error {
	if !l.recover {
		time.Sleep(2 * time.Minute)
		return m.unwell()
	}
	if _, err := Recover(ctx, []string{journal}, shellForModel(m), io.Discard); err != nil {
		return err
	}
	records, err := ReadJournal(journal)
	for _, r := range records {
		if r.Open() {
			err = errors.Join(err, fmt.Errorf("%s is still open", r))
		}
	}
	return errors.Join(err, m.unwell())
}

// act carries out operations. What is refused with a reason is no failure.
func act(ctx context.Context, in *Injector, c *clusters.Cluster, operations []operation) error {
	var made []*Injection
	for _, o := range operations {
		var err error
		switch o.name {
		case "wait":
			time.Sleep(o.wait)
		case "restore":
			err = in.Restore(ctx)
		case "inject":
			var i *Injection
			if i, err = in.Inject(ctx, meant(o.fault(c))); err == nil {
				made = append(made, i)
			}
		default:
			if o.index < len(made) {
				err = o.on(ctx, made[o.index])
			}
		}
		if err != nil && !isRefusal(err) {
			return fmt.Errorf("%+v: %w", o, err)
		}
	}
	return nil
}

func (o operation) fault(c *clusters.Cluster) Fault {
	var targets []clusters.Instance
	for n, i := range c.Instances(o.component) {
		if o.nodes&(1<<n) != 0 {
			targets = append(targets, i)
		}
	}
	return constructors[o.kind].make(targets...).WithTTL(o.ttl)
}

func (o operation) on(ctx context.Context, i *Injection) error {
	if o.name == "undo" {
		return i.Undo(ctx)
	}
	// What another fault broke since cannot heal.
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := i.AwaitHealed(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

func isRefusal(err error) bool {
	var illegal *TransitionError
	if errors.As(err, &illegal) || errors.Is(err, clusters.ErrNoProcess) {
		return true
	}
	for _, refusal := range []string{
		"already bears", "no static pod", "no service of systemd", "no container runtime", "runs no container", "cannot be given",
		"stopped (state T) already",
	} {
		if strings.Contains(err.Error(), refusal) {
			return true
		}
	}
	return false
}
