package record_test

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"faultline/reports/internal/fixture"
	"faultline/reports/record"
)

func TestOutcome(t *testing.T) {
	const held, drifted, broken, inconclusive = record.Held, record.Drifted, record.Broken, record.Inconclusive
	tests := map[string]struct {
		run  record.Run
		want record.Outcome
		exit int
	}{
		"all held":                  {run(held, held), record.OutcomeHeld, 0},
		"a drift passes":            {run(held, drifted), record.OutcomeHeld, 0},
		"one broken":                {run(held, broken, held), record.OutcomeClaimBroken, 1},
		"one inconclusive":          {run(held, inconclusive), record.OutcomeInconclusive, 2},
		"broken beats inconclusive": {run(inconclusive, broken), record.OutcomeClaimBroken, 1},
		"an unknown verdict":        {run("fine"), record.OutcomeInconclusive, 2},
		"nothing tried":             {run(), record.OutcomeInconclusive, 2},
		"sabotage turned red":       {with(run(), sabotaged), record.OutcomeHeld, 0},
		"only sabotage was possible": {with(with(run(), sabotaged), func(r *record.Run) { r.Skipped = []record.Skipped{{Claims: []string{"C-1"}}} }),
			record.OutcomeInconclusive, 2},
		"sabotage beside an absent layout": {with(with(run(), sabotaged), func(r *record.Run) { r.Skipped = []record.Skipped{{Topology: "flannel"}} }),
			record.OutcomeHeld, 0},
		"sabotage proves no claim":    {with(run(inconclusive), sabotaged), record.OutcomeInconclusive, 2},
		"harness failed":              {with(run(held), func(r *record.Run) { r.Failures = []string{"x"} }), record.OutcomeHarnessError, 3},
		"harness failed, one broken":  {with(run(broken), func(r *record.Run) { r.Failures = []string{"x"} }), record.OutcomeClaimBroken, 1},
		"not restored":                {with(run(broken), func(r *record.Run) { r.NotRestored = []string{"x"} }), record.OutcomeNotRestored, 4},
		"refused":                     {with(run(), func(r *record.Run) { r.Refused = "no engine" }), record.OutcomeRefused, 5},
		"a regression":                {gated(run(held), record.OutcomeRegression), record.OutcomeRegression, 6},
		"a tolerated breach":          {gated(run(broken), record.OutcomeHeld), record.OutcomeHeld, 0},
		"a breach beats a regression": {gated(run(broken), record.OutcomeRegression, record.OutcomeClaimBroken), record.OutcomeClaimBroken, 1},
		"a regression beats the harness": {with(gated(run(held), record.OutcomeRegression, record.OutcomeInconclusive), func(r *record.Run) { r.Failures = []string{"x"} }),
			record.OutcomeRegression, 6},
		"nothing tried, with a gate": {gated(run()), record.OutcomeInconclusive, 2},
		"a gate that only informs":   {with(gated(run(broken), record.OutcomeRegression), func(r *record.Run) { r.Gate.Enforced = false }), record.OutcomeClaimBroken, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := record.Summarise(&test.run)
			if s.Outcome != test.want || s.ExitStatus != test.exit {
				t.Errorf("got %s (%d), want %s (%d)", s.Outcome, s.ExitStatus, test.want, test.exit)
			}
		})
	}
	if got := record.Outcome("splendid").ExitStatus(); got != 3 {
		t.Errorf("an unknown outcome exits with %d", got)
	}
}

// run has one claim and an experiment for each verdict.
func run(verdicts ...record.Verdict) record.Run {
	r := record.Run{Schema: record.SchemaVersion, ID: "r", Claims: []record.Claim{{ID: "C-1"}, {ID: "C-2"}}}
	for i, v := range verdicts {
		r.Experiments = append(r.Experiments, record.Experiment{ID: string(rune('a' + i)), Claims: []string{"C-1"}, Verdict: v, Reason: "why"})
	}
	return r
}

// gated is a run with findings of an enforced policy.
func gated(r record.Run, findings ...record.Outcome) record.Run {
	r.Gate = &record.Gate{Text: "schema: 1", Enforced: true, Comparisons: []record.Comparison{{Records: 1, Earlier: []record.Earlier{{Seconds: 1}}}}}
	for _, o := range findings {
		r.Gate.Findings = append(r.Gate.Findings, record.Finding{Rule: record.RuleRegression, Outcome: o, Text: "why"})
	}
	return r
}

func sabotaged(r *record.Run) { r.Sabotaged = []record.Sabotaged{{Name: "the undo does nothing"}} }

func with(r record.Run, change func(*record.Run)) record.Run {
	change(&r)
	return r
}

func TestVerdictOfClaimIsTheWorst(t *testing.T) {
	tests := []struct {
		verdicts []record.Verdict
		want     record.Verdict
	}{
		{nil, record.Untested},
		{[]record.Verdict{record.Held}, record.Held},
		{[]record.Verdict{record.Drifted, record.Held}, record.Drifted},
		{[]record.Verdict{record.Held, record.Inconclusive, record.Drifted}, record.Inconclusive},
		{[]record.Verdict{record.Broken, record.Inconclusive}, record.Broken},
	}
	for _, test := range tests {
		r := run(test.verdicts...)
		s := record.Summarise(&r)
		if got := s.Verdicts[0]; got.Verdict != test.want || len(got.Experiments) != len(test.verdicts) {
			t.Errorf("%v gives %+v, want %s", test.verdicts, got, test.want)
		}
		if got := s.Verdicts[1].Verdict; got != record.Untested {
			t.Errorf("a claim without experiment is %s", got)
		}
	}
}

func TestSummaryOfRealisticRun(t *testing.T) {
	s := record.Summarise(fixture.Run())
	if want := (record.Counts{Total: 15, Held: 10, Drifted: 2, Broken: 1, Inconclusive: 2}); s.Experiments != want {
		t.Errorf("experiments: %+v", s.Experiments)
	}
	if want := (record.Counts{Total: 20, Held: 10, Drifted: 2, Broken: 1, Inconclusive: 3, Untested: 4}); s.Claims != want {
		t.Errorf("claims: %+v", s.Claims)
	}
	if len(s.Failures) != 3 || s.Failures[1].Reason == "" || s.Failures[1].Verdict != record.Broken {
		t.Errorf("failures: %+v", s.Failures)
	}
	total := 0
	for _, v := range append(record.Verdicts, record.Untested) {
		total += s.Claims.Of(v)
	}
	if total != s.Claims.Total {
		t.Errorf("the counts of claims add up to %d of %d", total, s.Claims.Total)
	}
}

func TestSummaryKnowsClaimsOutsideTheCatalogue(t *testing.T) {
	r := run()
	r.Experiments = []record.Experiment{{ID: "e", Claims: []string{"NEW-1"}, Verdict: record.Held}}
	s := record.Summarise(&r)
	if last := s.Verdicts[len(s.Verdicts)-1]; last.Claim != "NEW-1" || last.Verdict != record.Held {
		t.Errorf("got %+v", s.Verdicts)
	}
}

func TestSummaryFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "summary.json")
	r := run(record.Broken)
	if err := record.Summarise(&r).Save(path); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(read(t, path), &got); err != nil {
		t.Fatal(err)
	}
	if got["outcome"] != "claim-broken" || got["exitStatus"] != 1.0 || got["run"] != "r" || got["schema"] != 1.0 {
		t.Errorf("got %v", got)
	}
	failure := got["failures"].([]any)[0].(map[string]any)
	if failure["verdict"] != "broken" || failure["reason"] != "why" {
		t.Errorf("got %v", failure)
	}
}

func TestExitStatusesDiffer(t *testing.T) {
	seen := map[int]record.Outcome{}
	for _, o := range record.Outcomes {
		if other, taken := seen[o.ExitStatus()]; taken {
			t.Errorf("%s and %s both exit with %d", o, other, o.ExitStatus())
		}
		seen[o.ExitStatus()] = o
	}
}

func TestSummaryLeavesOutWhatOnlyJudgingAgainNeeds(t *testing.T) {
	r := gated(run(record.Held), record.OutcomeRegression)
	g := record.Summarise(&r).Gate
	if g.Text != "" || g.Comparisons[0].Earlier != nil || g.Comparisons[0].Records != 1 || len(g.Findings) != 1 {
		t.Errorf("got %+v", g)
	}
	if r.Gate.Text == "" || r.Gate.Comparisons[0].Earlier == nil {
		t.Error("the record itself has lost it")
	}
}

func TestRecovery(t *testing.T) {
	of := func(all ...float64) record.Experiment {
		var e record.Experiment
		for _, s := range all {
			e.Observations = append(e.Observations, record.Observation{Seconds: &s, Recovery: true})
		}
		return e
	}
	outage := 99.0
	e := of(2, 5, 3)
	e.Observations = append(e.Observations, record.Observation{Seconds: &outage}, record.Observation{Recovery: true})
	if got, ok := e.Recovery(); got != 5 || !ok {
		t.Errorf("the longest recovery is 5 s, got %g, %t", got, ok)
	}
	none := of()
	if _, ok := none.Recovery(); ok {
		t.Error("a recovery was found where none was measured")
	}
	if got, ok := record.MedianRecovery([]record.Experiment{of(9), none, of(1), of(2)}); got != 2 || !ok {
		t.Errorf("median of 1, 2, 9: got %g, %t", got, ok)
	}
	if got, _ := record.MedianRecovery([]record.Experiment{of(4), of(1)}); got != 2.5 {
		t.Errorf("median of 1, 4: got %g", got)
	}
	if _, ok := record.MedianRecovery([]record.Experiment{none}); ok {
		t.Error("a median was found where nothing was measured")
	}
}

func TestDecisiveObservation(t *testing.T) {
	mine, others, common := record.Observation{Claim: "A", Expected: "mine", OK: true}, record.Observation{Claim: "B", Expected: "others", OK: true}, record.Observation{Expected: "common", OK: true}
	failed := func(o record.Observation) record.Observation { o.OK = false; return o }
	recovery := func(o record.Observation) record.Observation { o.Recovery = true; return o }
	tests := map[string]struct {
		verdict record.Verdict
		seen    []record.Observation
		want    record.Observation
	}{
		"own before common":              {record.Held, []record.Observation{common, others, mine}, mine},
		"a recovery after another":       {record.Held, []record.Observation{recovery(mine), mine}, mine},
		"the own recovery before others": {record.Held, []record.Observation{others, recovery(mine)}, recovery(mine)},
		"a failure before a success":     {record.Broken, []record.Observation{mine, failed(mine)}, failed(mine)},
		"another's failure in a breach":  {record.Broken, []record.Observation{mine, failed(others)}, failed(others)},
		"the first where none is own":    {record.Held, []record.Observation{recovery(others), others, common}, others},
		"nothing where nothing was seen": {record.Held, nil, record.Observation{}},
	}
	for name, test := range tests {
		e := record.Experiment{Verdict: test.verdict, Observations: test.seen}
		if got, _ := e.Decisive("A"); got != test.want {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

func TestInstantOfSeveralFaults(t *testing.T) {
	e := record.Experiment{Faults: []record.Fault{
		{Instants: map[string]float64{"injected": 5, "undone": 20}}, {Instants: map[string]float64{"injected": 3, "undone": 30, "healed": 31}}}}
	for state, want := range map[string]float64{"injected": 3, "undone": 30, "healed": 31} {
		if got, ok := e.Instant(state); got != want || !ok {
			t.Errorf("%s: got %g, %t", state, got, ok)
		}
	}
	if _, ok := e.Instant("landed"); ok {
		t.Error("an instant was found that no fault reached")
	}
}
