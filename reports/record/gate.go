package record

import "time"

// Gate is what a policy makes of a run, with all that it takes to judge again
// without the history.
type Gate struct {
	// Policy names the policy's file; it is empty for the default.
	Policy string `json:"policy,omitempty"`
	// Text is the policy itself. A summary leaves it out.
	Text string `json:"text,omitempty"`
	// Enforced tells that the findings decide the outcome; else they inform.
	Enforced    bool         `json:"enforced"`
	Findings    []Finding    `json:"findings"`
	Comparisons []Comparison `json:"comparisons"`
	// Unreadable are files of the history that could not be used, and why.
	Unreadable []string `json:"unreadable,omitempty"`
}

// Rule is the part of a policy that a finding is about.
type Rule string

// The rules of a policy.
const (
	RuleClaims       Rule = "claims"
	RuleExceptions   Rule = "exceptions"
	RuleInconclusive Rule = "inconclusive"
	RuleSkipped      Rule = "skipped"
	RuleRegression   Rule = "regression"
)

// Finding is one thing that a policy has to say.
type Finding struct {
	Rule Rule `json:"rule"`
	// Outcome is what the finding makes of the run: held where the policy tolerates it.
	Outcome     Outcome  `json:"outcome"`
	Text        string   `json:"text"`
	Experiments []string `json:"experiments,omitempty"`
}

// Comparison is a recovery beside those of earlier runs.
type Comparison struct {
	Experiment string `json:"experiment"`
	Name       string `json:"name"`
	Topology   string `json:"topology"`
	// Recovery tells which of the experiment's recoveries it is.
	Recovery string  `json:"recovery"`
	Seconds  float64 `json:"seconds"`
	// Records is how many earlier runs have it. Too few have no limit.
	Records   int      `json:"records"`
	Median    *float64 `json:"median,omitempty"`
	Spread    *float64 `json:"spread,omitempty"`
	Limit     *float64 `json:"limit,omitempty"`
	Regressed bool     `json:"regressed,omitempty"`
	// Earlier are the figures themselves, oldest first. A summary leaves them out.
	Earlier []Earlier `json:"earlier,omitempty"`
}

// Earlier is what a recovery took in an earlier run.
type Earlier struct {
	StartedAt time.Time `json:"startedAt"`
	Seconds   float64   `json:"seconds"`
}

// Decides tells whether the gate has the last word on what was found.
func (g *Gate) Decides() bool { return g != nil && g.Enforced }

// Told are the findings that a report shows beside the experiments, which tell by
// themselves what is broken. Of a gate that only informs, it is the regressions.
func (g *Gate) Told() []Finding {
	var told []Finding
	for _, f := range g.Findings {
		switch {
		case g.Enforced && f.Outcome != OutcomeClaimBroken:
			told = append(told, f)
		case !g.Enforced && f.Rule == RuleRegression:
			f.Outcome = OutcomeHeld
			told = append(told, f)
		}
	}
	return told
}

// brief is the gate without what only judging again needs.
func (g *Gate) brief() *Gate {
	if g == nil {
		return nil
	}
	short := *g
	short.Text, short.Comparisons = "", make([]Comparison, len(g.Comparisons))
	for i, c := range g.Comparisons {
		c.Earlier = nil
		short.Comparisons[i] = c
	}
	return &short
}
