package fault

import (
	"fmt"
	"slices"
)

// State is how far an injection has come.
//
//	planned ──▶ armed ──▶ injected ──▶ landed ──▶ undone ──▶ healed
//	              │           │                     ▲
//	              └───────────┴─────────────────────┘
//	              arming failed, or no proof of effect
//
// planned: the targets were looked at and nothing was changed. armed: the undo
// is journalled and set as a timer on the nodes. injected: the action was run.
// landed: its effect is proved on every target. undone: the undo succeeded on
// every target. healed: every target is well again, also proved.
type State string

// The states, in order.
const (
	Planned  State = "planned"
	Armed    State = "armed"
	Injected State = "injected"
	Landed   State = "landed"
	Undone   State = "undone"
	Healed   State = "healed"
)

var transitions = map[State][]State{
	Planned:  {Armed},
	Armed:    {Injected, Undone},
	Injected: {Landed, Undone},
	Landed:   {Undone},
	Undone:   {Healed},
	Healed:   {},
}

// TransitionError is an attempt to leave a state for one that does not follow it.
type TransitionError struct{ From, To State }

// Error tells what may follow instead.
func (e *TransitionError) Error() string {
	return fmt.Sprintf("a fault that is %s cannot become %s, only %v; nothing was changed", e.From, e.To, transitions[e.From])
}

// to checks that the state may be left for another one.
func (s State) to(next State) error {
	if !slices.Contains(transitions[s], next) {
		return &TransitionError{From: s, To: next}
	}
	return nil
}
