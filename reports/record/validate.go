package record

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The words that a record may use, in the order in which reports show them.
var (
	Verdicts    = []Verdict{Held, Drifted, Broken, Inconclusive}
	Ways        = []Way{Up, Refused, TimedOut, EtcdError, NotReady, Pending, OtherDown, Starved}
	FaultStates = []string{"planned", "armed", "injected", "landed", "undone", "healed"}
	PhaseNames  = []string{
		PhaseLanded, PhaseUndone, PhaseDetected, PhaseEtcdLeader, PhaseAPIReady, PhaseSchedulerLease, PhaseControllerManagerLease,
		PhasePodBound, PhaseReconciled, PhaseWorkloadServing,
	}
)

// Validate names everything in the record that no report could show truthfully.
func (r *Run) Validate() error {
	problems := []error{checkSchema(r.Schema)}
	if r.ID == "" {
		problems = append(problems, errors.New("the run has no id"))
	}
	claims := map[string]bool{}
	for _, c := range r.Claims {
		if claims[c.ID] {
			problems = append(problems, fmt.Errorf("claim %q is listed twice", c.ID))
		}
		claims[c.ID] = true
	}
	seen := map[string]bool{}
	for i := range r.Experiments {
		e := &r.Experiments[i]
		if seen[e.ID] {
			problems = append(problems, fmt.Errorf("experiment %q is recorded twice", e.ID))
		}
		seen[e.ID] = true
		if err := e.validate(claims); err != nil {
			problems = append(problems, fmt.Errorf("experiment %q: %w", e.ID, err))
		}
		if e.Shard != "" && !slices.ContainsFunc(r.Shards, func(s Shard) bool { return s.Name == e.Shard }) {
			problems = append(problems, fmt.Errorf("experiment %q is of shard %q, which is not among the record's shards", e.ID, e.Shard))
		}
	}
	return errors.Join(append(problems, r.Gate.validate())...)
}

func (g *Gate) validate() error {
	if g == nil {
		return nil
	}
	var problems []error
	for _, f := range g.Findings {
		if err := oneOf("outcome", f.Outcome, Outcomes); err != nil {
			problems = append(problems, fmt.Errorf("gate: %w", err))
		}
	}
	return errors.Join(problems...)
}

func checkSchema(version int) error {
	switch {
	case version == 0:
		return errors.New(`has no "schema": this is not a record of faultline`)
	case version < 0:
		return fmt.Errorf("has schema version %d, which never existed", version)
	case version > SchemaVersion:
		return fmt.Errorf("has schema version %d and this faultline reads up to %d: use the faultline that wrote it, or a newer one",
			version, SchemaVersion)
	}
	return nil
}

func (e *Experiment) validate(claims map[string]bool) error {
	var problems []error
	if e.ID == "" {
		problems = append(problems, errors.New("has no id"))
	}
	problems = append(problems, oneOf("verdict", e.Verdict, Verdicts))
	for _, id := range e.Claims {
		if !claims[id] {
			problems = append(problems, fmt.Errorf("tests claim %q, which is not among the record's claims", id))
		}
	}
	for _, f := range e.Faults {
		problems = append(problems, f.validate())
	}
	for _, p := range e.Probes {
		problems = append(problems, p.validate())
	}
	for _, r := range e.Recoveries {
		problems = append(problems, r.validate())
	}
	return errors.Join(problems...)
}

func (f *Fault) validate() error {
	if err := oneOf("state", f.State, FaultStates); err != nil {
		return fmt.Errorf("fault %q: %w", f.Name, err)
	}
	for state := range f.Instants {
		if err := oneOf("instant", state, FaultStates); err != nil {
			return fmt.Errorf("fault %q: %w", f.Name, err)
		}
	}
	return nil
}

func (p *Probe) validate() error {
	for _, s := range p.Spans {
		if err := oneOf("way", s.Way, Ways); err != nil {
			return fmt.Errorf("probe %s at %s: %w", p.Name, p.Vantage, err)
		}
		if s.To < s.From {
			return fmt.Errorf("probe %s at %s: a span ends at %g s, before it begins at %g s", p.Name, p.Vantage, s.To, s.From)
		}
	}
	return nil
}

func (r *Recovery) validate() error {
	last := -1
	for _, p := range r.Phases {
		if err := oneOf("phase", p.Name, PhaseNames); err != nil {
			return fmt.Errorf("recovery after %q: %w", r.After, err)
		}
		n := slices.Index(PhaseNames, p.Name)
		if n <= last {
			return fmt.Errorf("recovery after %q: phase %q comes after %q", r.After, p.Name, PhaseNames[last])
		}
		if p.Seconds < 0 {
			return fmt.Errorf("recovery after %q: phase %q is reached %g s too early", r.After, p.Name, -p.Seconds)
		}
		last = n
	}
	return nil
}

func oneOf[T ~string](what string, word T, known []T) error {
	if slices.Contains(known, word) {
		return nil
	}
	list := make([]string, len(known))
	for i, k := range known {
		list[i] = string(k)
	}
	return fmt.Errorf("%s %q is none of %s", what, word, strings.Join(list, ", "))
}
