package probe

import (
	"context"
	"net/http"
	"testing"

	"faultline/reports/record"
)

// watching starts a watcher and a writer on a fake API.
func watching(t *testing.T, api *fakeAPI) (*watcher, *writer, func()) {
	t.Helper()
	server := serve(t, api)
	clock, ledger, d := NewClock(), newLedger("x-ledger"), doorOf("n1", server)
	w, err := newWatcher(clock, d, ledger, 2e9)
	if err != nil {
		t.Fatal(err)
	}
	writer, err := newWriter(clock, d, ledger, 2e9)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); w.run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	return w, writer, server.CloseClientConnections
}

func mustWrite(t *testing.T, w *writer) {
	t.Helper()
	eventually(t, "a write", func() bool { return w.take(t.Context()).way == record.Up })
}

func TestWatchDelivers(t *testing.T) {
	w, writer, _ := watching(t, newFakeAPI())
	if o := w.take(t.Context()); o.way == record.Up {
		t.Error("up before it is open")
	}
	for range 5 {
		mustWrite(t, writer)
	}
	eventually(t, "the delivery", func() bool { return w.ledger.missed() == 0 })
	eventually(t, "the stream", func() bool { return w.take(t.Context()).way == record.Up })
}

func TestWatchGoesOnWhereItWasCut(t *testing.T) {
	api := newFakeAPI()
	w, writer, cut := watching(t, api)
	mustWrite(t, writer)
	eventually(t, "the first delivery", func() bool { return w.ledger.missed() == 0 })
	cut()
	mustWrite(t, writer)
	eventually(t, "the second delivery", func() bool { return w.ledger.missed() == 0 })
	defer api.lock()()
	if api.watches < 2 {
		t.Errorf("%d watches were opened, want a second after the cut", api.watches)
	}
}

func TestWatchListsAgainWhenItsPointIsForgotten(t *testing.T) {
	api := newFakeAPI()
	w, writer, cut := watching(t, api)
	eventually(t, "the stream", func() bool { return w.take(t.Context()).way == record.Up })
	unlock := api.lock()
	api.deaf["*"] = true // only a list can show the write
	api.gone = true
	unlock()
	mustWrite(t, writer)
	cut()
	eventually(t, "the list", func() bool { return w.ledger.missed() == 0 })
}

func TestWatchThatMissesAWriteIsDown(t *testing.T) {
	api := newFakeAPI()
	w, writer, _ := watching(t, api)
	eventually(t, "the stream", func() bool { return w.take(t.Context()).way == record.Up })
	unlock := api.lock()
	api.deaf[w.ledger.name(0)] = true
	unlock()
	mustWrite(t, writer)
	if o := w.take(t.Context()); o.way != record.Up {
		t.Errorf("%s at once, want some time to deliver", o.way)
	}
	eventually(t, "the lag to count", func() bool { return w.take(t.Context()).way == record.TimedOut })
	if w.ledger.missed() != 1 {
		t.Errorf("missed %d, want 1", w.ledger.missed())
	}
}

func TestWatchEvents(t *testing.T) {
	tests := []struct {
		line, version string
		want          record.Way
	}{
		{`{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"900"}}}`, "900", record.Up},
		{`{"type":"DELETED","object":` + metadata("w-1", 901) + `}`, "901", record.Up},
		{`{"type":"ERROR","object":{"kind":"Status","code":410,"message":"too old resource version: 1 (2)"}}`, "", record.NotReady},
		{`{"type":"ERROR","object":{"kind":"Status","code":500,"message":"etcdserver: no leader"}}`, "100", record.EtcdError},
		{`not JSON`, "100", record.OtherDown},
	}
	for _, test := range tests {
		w := &watcher{ledger: newLedger("x"), version: "100"}
		w.delivery = w.ledger.watch("n1")
		if o := w.event([]byte(test.line)); o.way != test.want || w.version != test.version {
			t.Errorf("%s: %s at %q, want %s at %q", test.line, o.way, w.version, test.want, test.version)
		}
	}
}

func TestWatchTellsWhyItIsDown(t *testing.T) {
	api := newFakeAPI()
	api.answer = func(w http.ResponseWriter, _ *http.Request) bool {
		status(w, http.StatusTooManyRequests, "storage is (re)initializing")
		return true
	}
	w, _, _ := watching(t, api)
	eventually(t, "the refusal", func() bool { return w.take(t.Context()).way == record.NotReady })
}
