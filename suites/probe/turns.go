package probe

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"faultline/reports/record"
)

// turns asks the same of all doors in turn: some API server is healthy as long as there is
// anything to see.
type turns struct {
	callers []*caller
	ask     []request
	next    atomic.Uint32
}

// through opens the doors for a path.
func (t *turns) through(doors []door, path string, timeout time.Duration) error {
	for _, d := range doors {
		c, err := d.open(timeout)
		if err != nil {
			return err
		}
		t.callers = append(t.callers, c)
		t.ask = append(t.ask, c.ask(http.MethodGet, path, serverTimeout(timeout), mediaJSON))
	}
	return nil
}

// take asks the next one, and has a good answer's body applied.
func (t *turns) take(ctx context.Context, apply func(body []byte) error) outcome {
	i := int(t.next.Add(1)) % len(t.callers)
	a, err := t.callers[i].do(ctx, t.ask[i], nil)
	if err != nil {
		return failed(err)
	}
	defer a.free()
	o := a.outcome()
	if o.way != record.Up {
		return o
	}
	if err := apply(a.body); err != nil {
		return outcome{way: record.OtherDown, detail: err.Error()}
	}
	return up
}
