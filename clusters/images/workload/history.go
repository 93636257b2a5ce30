package main

import (
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
)

// historySize is how many samples are remembered: more than ten minutes of
// four targets at 50 ms.
const historySize = 50_000

// history is a ring of the latest samples, in the order in which they ended.
type history struct {
	mu      sync.Mutex
	ring    []sample
	total   int           // samples ever added
	changed chan struct{} // closed with the next sample
}

func newHistory(size int) *history {
	return &history{ring: make([]sample, 0, size), changed: make(chan struct{})}
}

func (h *history) add(s sample) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.ring) < cap(h.ring) {
		h.ring = append(h.ring, s)
	} else {
		h.ring[h.total%cap(h.ring)] = s
	}
	h.total++
	close(h.changed)
	h.changed = make(chan struct{})
}

// after gives the remembered samples beyond the first n ever added, how many
// there were in all, and a channel that tells when there are more.
func (h *history) after(n int) (samples []sample, total int, changed <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := max(n, h.total-len(h.ring)); i < h.total; i++ {
		samples = append(samples, h.ring[i%cap(h.ring)])
	}
	return samples, h.total, h.changed
}

// listSamples answers with the samples that started after since_ns, as JSON
// lines.
func (s *server) listSamples(w http.ResponseWriter, r *http.Request) {
	since := int64(0)
	if value := r.FormValue("since_ns"); value != "" {
		var err error
		if since, err = strconv.ParseInt(value, 10, 64); err != nil {
			http.Error(w, "since_ns is not a number of nanoseconds: "+value, http.StatusBadRequest)
			return
		}
	}
	samples, _, _ := s.samples.after(0)
	w.Header().Set("Content-Type", "application/x-ndjson")
	lines := json.NewEncoder(w)
	for _, sample := range samples {
		if sample.Start > since && lines.Encode(sample) != nil {
			return
		}
	}
}

// streamSamples sends every sample from now on, one JSON line each, until the
// client leaves.
func (s *server) streamSamples(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	lines, flush := json.NewEncoder(w), http.NewResponseController(w)
	_, seen, changed := s.samples.after(0)
	_ = flush.Flush()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-changed:
		}
		var samples []sample
		samples, seen, changed = s.samples.after(seen)
		for _, sample := range samples {
			if lines.Encode(sample) != nil {
				return
			}
		}
		if flush.Flush() != nil {
			return
		}
	}
}
