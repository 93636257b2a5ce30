package stop

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// staleAfter is how many intervals an answer is good for.
const staleAfter = 3

// Watcher asks Prometheus again and again, each query by itself: one that hangs delays no
// other.
type Watcher struct {
	every time.Duration
	asked []*asked
}

// asked is a query with its latest answer.
type asked struct {
	Query
	timeout time.Duration // of one request

	mu     sync.Mutex
	latest answer
}

// answer is what Prometheus said when it was asked at a time.
type answer struct {
	at     time.Time
	values []float64
	err    error
}

// Watch asks all queries once before it returns, so that there is no time without a
// judgement, which takes ten seconds at most. Then it goes on at the interval (a millisecond
// or more) until the context is done.
func Watch(ctx context.Context, queries []Query, every time.Duration) *Watcher {
	return watch(ctx, queries, every, timeout)
}

func watch(ctx context.Context, queries []Query, every, timeout time.Duration) *Watcher {
	w := &Watcher{every: max(every, time.Millisecond)}
	var first sync.WaitGroup
	for _, q := range queries {
		a := &asked{Query: q, timeout: timeout}
		w.asked = append(w.asked, a)
		first.Add(1)
		go func() {
			a.ask(ctx)
			first.Done()
			a.repeat(ctx, w.every)
		}()
	}
	first.Wait()
	return w
}

func (a *asked) repeat(ctx context.Context, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			a.ask(ctx)
		}
	}
}

// ask gets an answer, with a second try, as a single request that fails is no reason to
// abort a day. The end of the watch leaves the former answer, which then gets old.
func (a *asked) ask(ctx context.Context) {
	got := a.read(ctx, a.timeout)
	if got.err != nil && ctx.Err() == nil {
		got = a.read(ctx, a.timeout)
	}
	if ctx.Err() != nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.latest = got
}

// Findings judges the latest answers, in the order of the queries.
func (w *Watcher) Findings() []Finding {
	all := make([]Finding, len(w.asked))
	for i, a := range w.asked {
		a.mu.Lock()
		all[i] = a.judge(a.latest, time.Now(), staleAfter*w.every)
		a.mu.Unlock()
	}
	return all
}

// judge holds an answer against the query's limits.
func (q Query) judge(a answer, now time.Time, stale time.Duration) Finding {
	f := Finding{Name: q.Name, Limit: q.limit(), Met: true}
	switch age := now.Sub(a.at); {
	case a.at.IsZero():
		f.Value = "cannot be read: there has been no answer"
	case a.err != nil:
		f.Value = "cannot be read: " + a.err.Error()
	case age > stale:
		f.Value = fmt.Sprintf("cannot be read: the last answer is %s old", age.Round(time.Millisecond))
	case len(a.values) == 0:
		f.Value = "cannot be read: the query has no result"
	default:
		return q.weigh(f, a.values)
	}
	return f
}

// weigh fills the finding with the first value beyond the limits, or else the first of all.
func (q Query) weigh(f Finding, values []float64) Finding {
	worst := slices.IndexFunc(values, q.exceeds)
	f.Met = worst >= 0
	f.Value = fmt.Sprint(values[max(worst, 0)])
	if len(values) > 1 {
		f.Value += fmt.Sprintf(", one of %d series", len(values))
	}
	return f
}
