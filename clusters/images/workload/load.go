package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"sync"
	"time"
)

// load is one client that keeps an API server busy: at a rate, with a limit of requests
// that wait for an answer, and with a limit of all requests. What does not fit is not
// made up for later.
type load struct {
	// perSecond is how many rounds begin in a second; 0: as soon as one has ended.
	perSecond float64
	waiting   int
	total     int
	// round is one request, or several that belong together.
	round func(ctx context.Context, n int) error
	// status is a file that says each second how it goes.
	status string

	mu      sync.Mutex
	counted tally
}

// tally is what a load came to within a second, save for the fields that say otherwise.
type tally struct {
	Began  int `json:"began"`
	Done   int `json:"done"`
	Failed int `json:"failed"`
	// Refused are rounds that the server turned away because it has too many (429), or
	// because a quota is used up (403).
	Refused int `json:"refused"`
	// Withheld did not begin, because as many as allowed were waiting.
	Withheld int `json:"withheld"`
	// Seconds is how long the second was.
	Seconds float64 `json:"seconds"`
	// Waiting is how many rounds wait now, Total how many have begun ever.
	Waiting int `json:"waiting"`
	Total   int `json:"total"`
	// Error is why a round failed last, ever.
	Error string `json:"error,omitempty"`
}

// pace is how often rounds begin. A second is spread over it.
const pace = 10 * time.Millisecond

// loads are what can be put on an API server, by name.
var loads = map[string]func(*flag.FlagSet) func(context.Context, *account) (*load, error){
	"requests": requests, "events": events, "lists": lists, "pods": pods,
}

// putLoad runs a load until ctx ends or its total is reached.
func putLoad(ctx context.Context, args []string) error {
	if len(args) == 0 || loads[args[0]] == nil {
		return errors.New("say what load: requests, events, lists or pods")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	server := flags.String("server", "", "the API server, such as https://10.0.0.1:6443")
	name := flags.String("server-name", "kubernetes", "what the server's certificate is for")
	dir := flags.String("dir", "", "folder with ca.crt and token, where the file status goes")
	namespace := flags.String("namespace", "", "where everything happens")
	prepare := loads[args[0]](flags)
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	a, err := newAccount(*server, *name, *dir, *namespace)
	if err != nil {
		return err
	}
	if err := a.connect(ctx); err != nil {
		return err
	}
	l, err := prepare(ctx, a)
	if err != nil {
		return err
	}
	l.status = *dir + "/status"
	return l.run(ctx)
}

// run begins rounds until ctx ends or there were as many as allowed.
func (l *load) run(ctx context.Context) error {
	slots := make(chan struct{}, l.waiting)
	var rounds sync.WaitGroup
	defer rounds.Wait()
	tick, second := time.NewTicker(pace), time.NewTicker(time.Second)
	defer tick.Stop()
	defer second.Stop()
	start, told, tried := time.Now(), time.Now(), 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-second.C:
			if err := l.tell(time.Since(told)); err != nil {
				return err
			}
			told = time.Now()
		case <-tick.C:
			more := l.due(time.Since(start), tried)
			for range more {
				if ctx.Err() != nil {
					return nil // those that end now make room for no other
				}
				l.begin(ctx, slots, &rounds)
			}
			tried += more
		}
	}
}

// due is how many rounds should begin now, so long after the start and so many trials.
func (l *load) due(after time.Duration, tried int) int {
	so := l.sum()
	more := l.waiting - so.Waiting
	if l.perSecond > 0 {
		more = int(after.Seconds()*l.perSecond) - tried
	}
	return max(0, min(more, l.total-so.Total))
}

// begin starts a round, unless too many are waiting.
func (l *load) begin(ctx context.Context, slots chan struct{}, rounds *sync.WaitGroup) {
	select {
	case slots <- struct{}{}:
	default:
		l.count(func(t *tally) { t.Withheld++ })
		return
	}
	n := 0
	l.count(func(t *tally) { t.Began++; t.Total++; t.Waiting++; n = t.Total })
	rounds.Go(func() {
		err := l.round(ctx, n)
		<-slots
		l.count(func(t *tally) { t.Waiting--; t.note(err) })
	})
}

// note counts how a round ended.
func (t *tally) note(err error) {
	switch {
	case err == nil:
		t.Done++
	case refused(err):
		t.Refused++
		t.Error = err.Error()
	case errors.Is(err, context.Canceled):
	default:
		t.Failed++
		t.Error = err.Error()
	}
}

func (l *load) count(change func(*tally)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.counted)
}

func (l *load) sum() tally {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counted
}

// tell writes what happened in the second that is over and begins the next. A reader never
// sees half of it.
func (l *load) tell(took time.Duration) error {
	l.mu.Lock()
	past := l.counted
	l.counted = tally{Waiting: past.Waiting, Total: past.Total, Error: past.Error}
	l.mu.Unlock()
	past.Seconds = took.Seconds()
	content, err := json.Marshal(past)
	if err != nil {
		return err
	}
	if err := os.WriteFile(l.status+".part", content, 0o644); err != nil {
		return fmt.Errorf("tell how it goes: %w", err)
	}
	return os.Rename(l.status+".part", l.status)
}
