package record

import (
	"slices"
	"time"
)

// Outcome is the one word that a run comes to.
type Outcome string

// The outcomes, from best to worst. A run that deserves several is given the
// worst; Refused and NotRestored are about the cluster and outrank all that the
// run found out. A proven breach or slow-down outranks a failure of the harness
// elsewhere, so that noise never hides a finding. Where a policy is enforced, it
// says which experiments count, and only then there is a regression.
//
//	outcome        exit  meaning
//	held              0  every experiment held, or drifted as it is known to
//	inconclusive      2  nothing is broken, and something could not be told (or nothing was tried)
//	harness-error     3  the harness itself failed, outside any experiment
//	regression        6  nothing is broken, and a recovery took longer than earlier runs let expect
//	claim-broken      1  at least one experiment contradicts its claim
//	not-restored      4  a fault could not be proven undone: run the recovery first
//	refused           5  the run was refused before anything was changed
const (
	OutcomeHeld         Outcome = "held"
	OutcomeInconclusive Outcome = "inconclusive"
	OutcomeHarnessError Outcome = "harness-error"
	OutcomeRegression   Outcome = "regression"
	OutcomeClaimBroken  Outcome = "claim-broken"
	OutcomeNotRestored  Outcome = "not-restored"
	OutcomeRefused      Outcome = "refused"
)

// Outcomes are all of them, from best to worst.
var Outcomes = []Outcome{OutcomeHeld, OutcomeInconclusive, OutcomeHarnessError, OutcomeRegression, OutcomeClaimBroken,
	OutcomeNotRestored, OutcomeRefused}

// ExitStatus is the status with which a process reports the outcome. An unknown
// outcome counts as an error of the harness.
func (o Outcome) ExitStatus() int {
	switch o {
	case OutcomeHeld:
		return 0
	case OutcomeClaimBroken:
		return 1
	case OutcomeInconclusive:
		return 2
	case OutcomeNotRestored:
		return 4
	case OutcomeRefused:
		return 5
	case OutcomeRegression:
		return 6
	default:
		return 3
	}
}

// Untested is what a summary says of a claim without an experiment. It is no
// verdict of an experiment.
const Untested Verdict = "untested"

// Summary is the content of summary.json: what a machine needs to decide.
type Summary struct {
	Schema      int       `json:"schema"`
	Run         string    `json:"run"`
	StartedAt   time.Time `json:"startedAt"`
	Seconds     float64   `json:"seconds"`
	Outcome     Outcome   `json:"outcome"`
	ExitStatus  int       `json:"exitStatus"`
	Experiments Counts    `json:"experiments"`
	Claims      Counts    `json:"claims"`
	// Sabotaged is how many runs that test the suite itself turned red, as they must.
	Sabotaged int            `json:"sabotaged,omitempty"`
	Verdicts  []ClaimVerdict `json:"verdicts"`
	// Failures are the experiments that do not pass.
	Failures    []Failure `json:"failures"`
	Harness     []string  `json:"harness,omitempty"`
	NotRestored []string  `json:"notRestored,omitempty"`
	Refused     string    `json:"refused,omitempty"`
	// Shards are the runs that were merged into this one.
	Shards []Shard `json:"shards,omitempty"`
	// Gate is what the policy found, without its text and the earlier figures.
	Gate *Gate `json:"gate,omitempty"`
}

// Counts is how many experiments or claims came to each verdict.
type Counts struct {
	Total        int `json:"total"`
	Held         int `json:"held"`
	Drifted      int `json:"drifted"`
	Broken       int `json:"broken"`
	Inconclusive int `json:"inconclusive"`
	// Untested is counted for claims only.
	Untested int `json:"untested"`
}

// Of is the count of one verdict.
func (c Counts) Of(v Verdict) int {
	switch v {
	case Held:
		return c.Held
	case Drifted:
		return c.Drifted
	case Broken:
		return c.Broken
	case Inconclusive:
		return c.Inconclusive
	case Untested:
		return c.Untested
	default:
		return 0
	}
}

// Add counts one more.
func (c *Counts) Add(v Verdict) {
	c.Total++
	switch v {
	case Held:
		c.Held++
	case Drifted:
		c.Drifted++
	case Broken:
		c.Broken++
	case Untested:
		c.Untested++
	default: // a word that nobody knows proves nothing
		c.Inconclusive++
	}
}

// ClaimVerdict is the verdict on one claim: the worst of its experiments.
type ClaimVerdict struct {
	Claim       string   `json:"claim"`
	Verdict     Verdict  `json:"verdict"`
	Experiments []string `json:"experiments,omitempty"`
}

// Failure is an experiment that does not pass.
type Failure struct {
	Experiment string   `json:"experiment"`
	Name       string   `json:"name"`
	Claims     []string `json:"claims"`
	Topology   string   `json:"topology"`
	Verdict    Verdict  `json:"verdict"`
	Reason     string   `json:"reason"`
	Command    string   `json:"command,omitempty"`
}

// Summarise judges the run as a whole.
func Summarise(run *Run) Summary {
	s := Summary{
		Schema:      SchemaVersion,
		Run:         run.ID,
		StartedAt:   run.StartedAt,
		Seconds:     run.Seconds,
		Sabotaged:   len(run.Sabotaged),
		Verdicts:    claimVerdicts(run),
		Failures:    []Failure{},
		Harness:     run.Failures,
		NotRestored: run.NotRestored,
		Refused:     run.Refused,
		Shards:      run.Shards,
		Gate:        run.Gate.brief(),
	}
	for _, e := range run.Experiments {
		s.Experiments.Add(e.Verdict)
		if !e.Verdict.Passes() {
			s.Failures = append(s.Failures, failureOf(e))
		}
	}
	for _, c := range s.Verdicts {
		s.Claims.Add(c.Verdict)
	}
	s.Outcome = s.outcome(run.tried())
	s.ExitStatus = s.Outcome.ExitStatus()
	return s
}

// tried tells whether the run did anything that proves something: an experiment or, where none was
// left out because of the machine, a sabotage run.
func (r *Run) tried() bool {
	leftOut := slices.ContainsFunc(r.Skipped, func(k Skipped) bool { return len(k.Claims) > 0 })
	return len(r.Experiments) > 0 || len(r.Sabotaged) > 0 && !leftOut
}

// outcome is the worst of what applies.
func (s *Summary) outcome(tried bool) Outcome {
	found := []Outcome{OutcomeHeld}
	add := func(o Outcome, applies bool) {
		if applies {
			found = append(found, o)
		}
	}
	add(OutcomeRefused, s.Refused != "")
	add(OutcomeNotRestored, len(s.NotRestored) > 0)
	add(OutcomeHarnessError, len(s.Harness) > 0)
	add(OutcomeInconclusive, !tried)
	if s.Gate.Decides() {
		for _, f := range s.Gate.Findings {
			add(f.Outcome, true)
		}
	} else {
		add(OutcomeClaimBroken, s.Experiments.Broken > 0)
		add(OutcomeInconclusive, s.Experiments.Inconclusive > 0)
	}
	return slices.MaxFunc(found, func(a, b Outcome) int { return slices.Index(Outcomes, a) - slices.Index(Outcomes, b) })
}

// claimVerdicts is in the order of the catalogue; a claim that only an
// experiment knows comes last.
func claimVerdicts(run *Run) []ClaimVerdict {
	verdicts := make([]ClaimVerdict, 0, len(run.Claims))
	at := map[string]int{}
	put := func(id string) int {
		if i, ok := at[id]; ok {
			return i
		}
		at[id] = len(verdicts)
		verdicts = append(verdicts, ClaimVerdict{Claim: id, Verdict: Untested})
		return at[id]
	}
	for _, c := range run.Claims {
		put(c.ID)
	}
	for _, e := range run.Experiments {
		for _, id := range e.Claims {
			v := &verdicts[put(id)]
			v.Verdict = Worse(v.Verdict, e.Verdict)
			v.Experiments = append(v.Experiments, e.ID)
		}
	}
	return verdicts
}

// Worse is the worse of two verdicts: broken, then inconclusive, drifted, held
// and untested. A word that nobody knows counts as inconclusive.
func Worse(a, b Verdict) Verdict {
	if severity(b) > severity(a) {
		return b
	}
	return a
}

func severity(v Verdict) int {
	switch v {
	case Untested:
		return 0
	case Held:
		return 1
	case Drifted:
		return 2
	case Broken:
		return 4
	default:
		return 3
	}
}

func failureOf(e Experiment) Failure {
	return Failure{
		Experiment: e.ID, Name: e.Name, Claims: e.Claims, Topology: e.Topology,
		Verdict: e.Verdict, Reason: e.Reason, Command: e.Command,
	}
}
