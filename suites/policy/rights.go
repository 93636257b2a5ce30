package policy

import (
	"fmt"
	"net/http"
	"strings"
)

// demand is one request to an API server, as data. One that would change something is a dry
// run: it is decided in the same way, and nothing has to be taken back.
type demand struct {
	what, method, path string
	body               any // as JSON; nil: none
}

const dryRun = "?dryRun=All"

// cached has an API server answer from what it remembers.
const cached = "?resourceVersion=0"

func read(what, path string) demand   { return demand{what, http.MethodGet, path, nil} }
func remove(what, path string) demand { return demand{what, http.MethodDelete, path + dryRun, nil} }
func create(what, path string, object any) demand {
	return demand{what, http.MethodPost, path + dryRun, object}
}
func change(what, path string, patch any) demand {
	return demand{what, http.MethodPatch, path + dryRun, patch}
}

// right says of somebody whether a demand is granted.
type right struct {
	who     string
	demand  demand
	granted bool
	// because is what a refusal has to say, where there may be several reasons.
	because string
}

// answer is what came of a demand: an HTTP status, 0 where nobody answered.
type answer struct {
	right
	through string
	status  int
	said    string
}

// outcome compares an answer with the right.
type outcome string

const (
	asGranted  outcome = "as granted"
	breached   outcome = "allowed, which nobody has granted"
	withheld   outcome = "not allowed, though it is granted"
	unanswered outcome = "not answered"
	undecided  outcome = "not refused for the right reason"
)

func (a answer) outcome() outcome {
	allowed := a.status/100 == 2
	refused := a.status == http.StatusForbidden && strings.Contains(a.said, a.because)
	switch {
	case a.granted && allowed, !a.granted && refused:
		return asGranted
	case allowed:
		return breached
	case a.granted:
		return withheld
	case a.status == 0:
		return unanswered
	default:
		return undecided
	}
}

func (a answer) err() error {
	return fmt.Errorf("%s: to %s is %s (through %s: %d %.300s)", a.who, a.demand.what, a.outcome(), a.through, a.status, a.said)
}

// tally counts what API servers answered, by what was granted and what came of it.
type tally struct {
	granted, allowed, others, refused, breaches int
}

func (t *tally) count(a answer) {
	is := a.outcome()
	switch {
	case a.status == 0:
	case a.granted:
		t.granted++
		t.allowed += one(is == asGranted)
	default:
		t.others++
		t.refused += one(is == asGranted)
		t.breaches += one(is == breached)
	}
}

func one(is bool) int {
	if is {
		return 1
	}
	return 0
}

func (t *tally) String() string {
	return fmt.Sprintf("of %d answers to what is granted %d allowed it; of %d to what is not %d refused and %d allowed it",
		t.granted, t.allowed, t.others, t.refused, t.breaches)
}
