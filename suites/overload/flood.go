package overload

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/kubernetes"

	. "faultline/suites/drill"
)

const (
	// never is a query for a revision that nothing will ever have. The API server waits for it,
	// for 3 s and for next to no CPU time, and then says that there is none (504): a
	// seat is taken by whoever makes it wait, and what is scarce are the seats only.
	never = "?resourceVersion=9000000000000000000&resourceVersionMatch=NotOlderThan"
	// A flow is dealt a hand of 6 queues, each for 50 requests. The flood is that, all seats,
	// and more; an API server takes 100 requests at a time through a connection.
	connections, requestsEach = 8, 50
)

// flood is a client that asks with many requests at a time for what it cannot have.
type flood struct {
	end                        context.CancelFunc
	through                    []connection
	requests                   sync.WaitGroup
	waited, turned, unanswered atomic.Int64
	lastStatus                 atomic.Int64
}

// startFlood begins a flood, which ends with the spec at the latest.
func startFlood(ctx context.Context, c client) *flood {
	GinkgoHelper()
	ctx, end := context.WithCancel(ctx)
	f := &flood{end: end}
	DeferCleanup(f.stop)
	for range connections {
		through, err := c.connect()
		Expect(err).NotTo(HaveOccurred())
		f.through = append(f.through, through)
		// The first request makes the connection. Several that find none would each make one.
		_, err = c.ask(ctx, through, "")
		Expect(err).NotTo(HaveOccurred())
	}
	f.begin(ctx, c)
	return f
}

// begin sends as many requests through each connection as it is to have at a time, and another for
// each that has ended.
func (f *flood) begin(ctx context.Context, c client) {
	for _, through := range f.through {
		for range requestsEach {
			f.requests.Go(func() {
				for ctx.Err() == nil {
					f.insist(ctx, func() (answer, error) { return c.ask(ctx, through, never) })
				}
			})
		}
	}
}

// insist asks once more, and minds when it is told to come back.
func (f *flood) insist(ctx context.Context, ask func() (answer, error)) {
	a, err := ask()
	rest := time.Duration(0)
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		f.unanswered.Add(1)
		rest = time.Second
	case a.turnedAway():
		f.turned.Add(1)
		rest = time.Duration(a.retryAfter) * time.Second
	default:
		f.waited.Add(1)
		f.lastStatus.Store(int64(a.status))
		rest = pause // never a busy loop, whatever the answer
	}
	select {
	case <-ctx.Done():
	case <-time.After(rest):
	}
}

// stop ends the flood, and waits until nothing of it is under way. It may be called again.
func (f *flood) stop() {
	f.end()
	f.requests.Wait()
	for _, through := range f.through {
		through.close()
	}
}

// turnedAway fails until one of the flood's requests is.
func (f *flood) turnedAway(context.Context, kubernetes.Interface) error {
	return Unless(f.turned.Load() > 0, fmt.Errorf("%s", f))
}

func (f *flood) String() string {
	return fmt.Sprintf("of the flood %d requests were turned away, %d waited for an answer (the last was %d), and %d had none",
		f.turned.Load(), f.waited.Load(), f.lastStatus.Load(), f.unanswered.Load())
}
