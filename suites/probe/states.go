package probe

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"faultline/reports/record"
)

// States are what the API said of nodes and API servers, by name. What nobody could read
// meanwhile is taken to have been as it was.
type States struct {
	mu    sync.Mutex
	views map[string][]stateView
	// processes number the identities of each API server, the first being 1.
	processes map[string][]string
}

// stateView is what something was from an instant on.
type stateView struct {
	at time.Duration
	is string
}

func newStates() *States {
	return &States{views: map[string][]stateView{}, processes: map[string][]string{}}
}

// see takes down what something is now.
func (s *States) see(at time.Duration, of, is string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	views := s.views[of]
	if n := len(views); n > 0 && views[n-1].is == is {
		return
	}
	s.views[of] = append(views, stateView{at, is})
}

// seeProcess takes down which process of an API server answers to its name: each gives itself
// an identity when it starts.
func (s *States) seeProcess(at time.Duration, of, identity string) {
	s.mu.Lock()
	number := slices.Index(s.processes[of], identity) + 1
	if number == 0 {
		s.processes[of] = append(s.processes[of], identity)
		number = len(s.processes[of])
	}
	s.mu.Unlock()
	s.see(at, of, fmt.Sprintf("process %d", number))
}

// Record is the history in a window, in seconds since its start, by name.
func (s *States) Record(w Window) []record.State {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []record.State{}
	for of, views := range s.views {
		state := record.State{Of: of, Spans: []record.StateSpan{}}
		eachSpan(w, views, func(v stateView) time.Duration { return v.at }, func(v stateView, from, to float64) {
			state.Spans = append(state.Spans, record.StateSpan{From: from, To: to, Is: v.is})
		})
		all = append(all, state)
	}
	slices.SortFunc(all, func(a, b record.State) int { return cmp.Compare(a.Of, b.Of) })
	return all
}
