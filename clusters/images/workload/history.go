package main

import (
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// historySize is how many samples are remembered: more than ten minutes of
// four targets at 50 ms.
const historySize = 50_000

// history is a ring of the latest samples, in the order in which they ended.
type history struct {
	mu    sync.Mutex
	ring  []sample
	total int // samples ever added
}

func newHistory(size int) *history {
	return &history{ring: make([]sample, 0, size)}
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
}

// after gives the remembered samples beyond the first n ever added, and how many
// there were in all.
func (h *history) after(n int) (samples []sample, total int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := max(n, h.total-len(h.ring)); i < h.total; i++ {
		samples = append(samples, h.ring[i%cap(h.ring)])
	}
	return samples, h.total
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
	samples, _ := s.samples.after(0)
	w.Header().Set("Content-Type", "application/x-ndjson")
	lines := json.NewEncoder(w)
	for _, sample := range samples {
		if sample.Start > since && lines.Encode(sample) != nil {
			return
		}
	}
}

// streamEvery is how often samples are sent. They carry their own times, and a
// packet for each would cost the node more than taking them.
const streamEvery = 200 * time.Millisecond

// streamSamples sends every sample from now on, one JSON line each, until the
// client leaves.
func (s *server) streamSamples(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	lines, flush := json.NewEncoder(w), http.NewResponseController(w)
	_, seen := s.samples.after(0)
	_ = flush.Flush()
	ticker := time.NewTicker(streamEvery)
	defer ticker.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-ticker.C:
		}
		var samples []sample
		samples, seen = s.samples.after(seen)
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
