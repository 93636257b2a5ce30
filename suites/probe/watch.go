package probe

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"faultline/reports/record"
)

// reconnectPause is how long a watch waits before it connects again.
const reconnectPause = 50 * time.Millisecond

// watchLag is how old an acknowledged write may get before a watch has to have
// delivered it.
const watchLag = time.Second

// watcher keeps a watch stream on the ledger's objects open, as an informer
// does: it lists, watches on from there, reconnects where it was cut, and lists
// again when the server has forgotten that point.
type watcher struct {
	clock    Clock
	caller   *caller
	ledger   *Ledger
	delivery *delivery
	timeout  time.Duration
	path     string
	// version is where the stream has got to; empty when it has to list.
	version string

	mu    sync.Mutex
	state outcome // up while the stream is open
}

func newWatcher(clock Clock, d door, ledger *Ledger, timeout time.Duration) (*watcher, error) {
	// A stream stays on one connection: more of them would idle.
	d.width = 1
	c, err := d.open(timeout)
	if err != nil {
		return nil, err
	}
	return &watcher{
		clock: clock, caller: c, ledger: ledger, delivery: ledger.watch(d.vantage), timeout: timeout,
		path:  "/api/v1/namespaces/" + ledger.namespace + "/configmaps",
		state: outcome{way: record.Pending, detail: "the watch is not open yet"},
	}, nil
}

// take judges the stream as it is now.
func (w *watcher) take(context.Context) outcome {
	w.mu.Lock()
	o := w.state
	w.mu.Unlock()
	o.instant = true
	if o.way != record.Up {
		return o
	}
	now := w.clock.Now()
	if name, since, late := w.ledger.overdue(w.delivery, now-watchLag); late {
		detail := fmt.Sprintf("the stream is open and did not deliver %s, acknowledged %.1f s ago", name, (now - since).Seconds())
		return outcome{way: record.TimedOut, detail: detail, instant: true}
	}
	return o
}

func (w *watcher) set(o outcome) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state = o
}

// run keeps the stream open until ctx ends.
func (w *watcher) run(ctx context.Context) {
	for ctx.Err() == nil {
		w.set(w.follow(ctx))
		pause(ctx, reconnectPause)
	}
}

// follow lists if it must, then reads one stream to its end and tells how it ended.
func (w *watcher) follow(ctx context.Context) outcome {
	if w.version == "" {
		if o := w.list(ctx); o.way != record.Up {
			return o
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// Only the opening is bounded: the stream itself may be silent for long.
	opening := time.AfterFunc(w.timeout, func() { cancel(context.DeadlineExceeded) })
	query := w.ledger.selector() + "&watch=1&allowWatchBookmarks=true&resourceVersion=" + w.version
	response, err := w.caller.send(ctx, w.caller.ask(http.MethodGet, w.path, query, mediaMetadata), nil)
	if !opening.Stop() && err == nil {
		response.Body.Close()
		err = context.DeadlineExceeded
	}
	if err != nil {
		if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
			err = context.DeadlineExceeded
		}
		return failed(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return w.refused(response)
	}
	w.set(up)
	return w.read(response.Body)
}

func (w *watcher) refused(response *http.Response) outcome {
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return failed(err)
	}
	return w.ended(response.StatusCode, body)
}

// ended judges a Status that a watch got in place of objects.
func (w *watcher) ended(code int, body []byte) outcome {
	if code == http.StatusGone {
		w.version = ""
		return outcome{way: record.NotReady, detail: statusMessage(code, body)}
	}
	way, detail := Classify(code, body)
	if way == record.Up {
		way = record.OtherDown
	}
	return outcome{way: way, detail: detail}
}

// list reads the objects there are and the version to watch from.
func (w *watcher) list(ctx context.Context) outcome {
	ctx, cancel := context.WithTimeout(ctx, 10*w.timeout) // a long list is no failure
	defer cancel()
	found, err := listMetadata(ctx, w.caller, w.path, w.ledger.selector())
	var refusal *refusalError
	switch {
	case errors.As(err, &refusal):
		return outcome{way: refusal.way, detail: refusal.detail}
	case err != nil:
		return failed(err)
	}
	for _, o := range found.objects {
		w.ledger.delivered(w.delivery, o.name)
	}
	w.version = found.version
	return up
}

// read takes events until the stream ends.
func (w *watcher) read(stream io.Reader) outcome {
	lines := bufio.NewReaderSize(stream, 16<<10)
	for {
		line, err := readLine(lines)
		if len(line) > 0 {
			if o := w.event(line); o.way != record.Up {
				return o
			}
		}
		if errors.Is(err, io.EOF) {
			return outcome{way: record.Refused, detail: "the server ended the watch stream"}
		}
		if err != nil {
			return failed(err)
		}
	}
}

// readLine reads a line without copying it where it fits the buffer.
func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return bytes.TrimSpace(line), err
	}
	long := bytes.Clone(line)
	rest, err := r.ReadBytes('\n')
	return bytes.TrimSpace(append(long, rest...)), err
}

// event takes one event. Only an ERROR ends the stream.
func (w *watcher) event(line []byte) outcome {
	kind, _ := scanString(line, "type")
	switch kind {
	case "ADDED", "MODIFIED":
		if name, ok := scanString(line, "name"); ok {
			w.ledger.delivered(w.delivery, name)
		}
	case "DELETED", "BOOKMARK":
	case "ERROR":
		return w.errorEvent(line)
	default:
		return outcome{way: record.OtherDown, detail: shorten("the watch sent what is no event: " + string(line))}
	}
	if version, ok := scanString(line, "resourceVersion"); ok {
		w.version = version
	}
	return up
}

func (w *watcher) errorEvent(line []byte) outcome {
	var event struct {
		Object json.RawMessage `json:"object"`
	}
	var status struct {
		Code int `json:"code"`
	}
	err := json.Unmarshal(line, &event)
	if err == nil {
		err = json.Unmarshal(event.Object, &status)
	}
	if err != nil {
		return outcome{way: record.OtherDown, detail: "the watch sent an error that cannot be read: " + err.Error()}
	}
	return w.ended(status.Code, event.Object)
}

// pause waits; it ends early with ctx.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
