package fault

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"faultline/clusters"
)

func TestTogetherIsOneFault(t *testing.T) {
	b := newBench(t)
	etcd, scheduler := b.cluster.EtcdMembers()[0], b.cluster.Instances(clusters.Scheduler)[1]
	i := b.must(t, Together(Pause(etcd).WithTTL(time.Hour), Stop(scheduler).WithTTL(time.Minute)))
	if i.Fault.TTL != time.Minute {
		t.Errorf("TTL %s, want the shorter", i.Fault.TTL)
	}
	records, err := ReadJournal(b.journal.Path())
	if err != nil || len(records) != 2 || records[0].Fault != KindPause || records[1].Fault != KindStop {
		t.Errorf("journal %v, %v; want a pause and a stop", records, err)
	}
	if err := errors.Join(i.Undo(t.Context()), b.unwell()); err != nil {
		t.Error(err)
	}
	if _, err := b.Inject(t.Context(), Together(Pause(etcd), Stop(etcd))); err == nil || !strings.Contains(err.Error(), "named twice") {
		t.Errorf("two faults on one target: %v", err)
	}
	if _, err := b.Inject(t.Context(), Together()); err == nil {
		t.Error("nothing at all was injected")
	}
	if _, err := b.Inject(t.Context(), Together(Pause(etcd), Stop(b.cluster.EtcdMembers()[1]))); err == nil || !strings.Contains(err.Error(), "needs 2") {
		t.Errorf("two members by two faults: %v, want the guard's refusal", err)
	}
}

func TestSequenceIsUndoneInReverse(t *testing.T) {
	b := newBench(t)
	etcd := b.cluster.EtcdMembers()
	chain, err := b.Sequence(t.Context(), Pause(etcd[0]), HoldDown(b.cluster.Instances(clusters.Scheduler)[1]))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(chain.Undo(t.Context()), chain.AwaitHealed(t.Context()), b.unwell()); err != nil {
		t.Error(err)
	}
	want := []string{"n1 arm", "n1 pause", "n2 arm", "n2 hold", "n2 release", "n1 resume"}
	if got := b.changes(); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestASequenceThatFailsLeavesNothing(t *testing.T) {
	b := newBench(t)
	etcd := b.cluster.EtcdMembers()
	chain, err := b.Sequence(t.Context(), Pause(etcd[0]), Pause(etcd[1]))
	if err == nil || chain != nil || !strings.Contains(err.Error(), "fault 2 of 2") {
		t.Errorf("%v, %v; want the guard's refusal of the second", chain, err)
	}
	if err := b.unwell(); err != nil {
		t.Error(err)
	}
}

func TestPlayHoldsAndRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		began := time.Now()
		chain, err := b.Play(t.Context(), Repeat(Pause(b.cluster.EtcdMembers()[0]), 3, 5*time.Second, 2*time.Second)...)
		if err != nil || len(chain) != 3 {
			t.Fatalf("%d injections, %v", len(chain), err)
		}
		if took := time.Since(began); took != 21*time.Second {
			t.Errorf("took %s, want three times 5 s and 2 s", took)
		}
		for _, i := range chain {
			if at := i.Instants(); at.Undone.Sub(at.Landed) != 5*time.Second {
				t.Errorf("held for %s", at.Undone.Sub(at.Landed))
			}
		}
		if err := b.unwell(); err != nil {
			t.Error(err)
		}
	})
}

func TestPlayRefusesAndCleansUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		member, other := b.cluster.EtcdMembers()[0], b.cluster.EtcdMembers()[1]
		steps := Ramp(5*time.Second, Pause(other), Pause(member).WithTTL(5*time.Second))
		if _, err := b.Play(t.Context(), steps...); err == nil || !strings.Contains(err.Error(), "step 2 of 2") || len(b.changes()) > 0 {
			t.Errorf("%v, %v; want a refusal before anything is changed", err, b.changes())
		}
		ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
		defer cancel()
		chain, err := b.Play(ctx, Ramp(5*time.Second, Pause(member), Stop(member))...)
		if !errors.Is(err, context.DeadlineExceeded) || len(chain) != 2 {
			t.Errorf("%d injections, %v; want the second cut off", len(chain), err)
		}
		if err := b.unwell(); err != nil {
			t.Error(err)
		}
		// What cannot be undone now stays known, for Restore and Recover.
		shell := func(ctx context.Context, node string, in io.Reader, argv ...string) ([]byte, error) {
			if argv[0] == "sh" && argv[2] == resumeScript {
				return nil, errors.New("out of reach")
			}
			return b.shell(ctx, node, in, argv...)
		}
		if err := b.cluster.Connect(shell); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Play(t.Context(), Ramp(time.Second, Pause(member), Stop(other))...); err == nil || len(b.Open()) != 1 {
			t.Errorf("%v, open %v; want the first to stay open", err, b.Open())
		}
	})
}
