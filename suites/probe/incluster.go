package probe

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"golang.org/x/sys/unix"
)

// inside reads what the client in a node's workload pod sees. Where its stream
// cannot be read, the vantage point itself is gone, and its samples fail in the
// way in which the stream does.
type inside struct {
	clock     Clock
	url       string
	transport *http.Transport
	timeout   time.Duration
	interval  time.Duration
	timelines map[string]*Timeline // by the target's name
	// booted is the epoch of the clock on CLOCK_MONOTONIC, which all pods of
	// this kernel share.
	booted time.Duration
	heard  time.Duration // when the stream last told something, or was asked for
}

func newInside(clock Clock, n WorkloadNode, timeout, interval time.Duration, timelines map[string]*Timeline) *inside {
	return &inside{
		clock: clock, url: n.url(HostPort) + "client", timeout: timeout, interval: interval, timelines: timelines,
		transport: &http.Transport{DialContext: (&net.Dialer{Timeout: timeout}).DialContext, DisableKeepAlives: true, DisableCompression: true},
		booted:    kernelClock() - clock.Now(),
	}
}

func kernelClock() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return 0 // never on Linux; the samples' own instants are then implausible and not used
	}
	return time.Duration(now.Nano())
}

// run reads the stream until ctx ends.
func (i *inside) run(ctx context.Context) {
	for ctx.Err() == nil {
		i.heard = i.clock.Now()
		began := i.heard
		way, detail := ClassifyError(i.follow(ctx))
		if ctx.Err() != nil {
			return
		}
		for _, t := range i.timelines {
			t.Add(Sample{
				At: i.heard, Latency: i.clock.Now() - i.heard, Way: way, Blind: true,
				Detail: "the stream of the client in the cluster: " + detail,
			})
		}
		pause(ctx, i.interval-(i.clock.Now()-began))
	}
}

// follow reads one stream to its end. Silence ends it as well: the client
// takes a sample every few milliseconds.
func (i *inside) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(i.timeout, func() { cancel(context.DeadlineExceeded) })
	defer silence.Stop()
	err := i.stream(ctx, func() { silence.Reset(i.timeout) })
	if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return context.DeadlineExceeded
	}
	return err
}

func (i *inside) stream(ctx context.Context, alive func()) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, i.url, nil)
	if err != nil {
		return err
	}
	response, err := i.transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", i.url, response.Status)
	}
	lines := bufio.NewReader(response.Body)
	for {
		line, err := readLine(lines)
		if len(line) > 0 {
			alive()
			i.heard = i.clock.Now()
			if err := i.add(line); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
	}
}

// add turns a line of the stream into a sample.
func (i *inside) add(line []byte) error {
	var seen struct {
		Target  string `json:"target"`
		Start   int64  `json:"start_ns"`
		Latency int64  `json:"latency_ns"`
		Status  int    `json:"status"`
		Error   string `json:"error"`
	}
	if err := json.Unmarshal(line, &seen); err != nil {
		return fmt.Errorf("read the stream of the client in the cluster: %w", err)
	}
	t := i.timelines[seen.Target]
	if t == nil {
		return nil
	}
	s := Sample{At: time.Duration(seen.Start) - i.booted, Latency: time.Duration(seen.Latency)}
	// On another kernel the clock counts from another instant: use the arrival.
	if arrival := i.clock.Now(); s.Done() > arrival || s.Done() < arrival-time.Minute {
		s.At = arrival - s.Latency
	}
	if seen.Error != "" {
		s.Way, s.Detail = ClassifyError(errors.New(seen.Error))
	} else {
		s.Way, s.Detail = Classify(seen.Status, nil)
	}
	t.Add(s)
	return nil
}
