package gate

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"faultline/reports/internal/fixture"
	"faultline/reports/record"
)

// ran is a run of experiments, each written as its claims and its verdict.
func ran(experiments ...string) *record.Run {
	run := &record.Run{Schema: record.SchemaVersion, ID: "r", StartedAt: monday, Claims: catalogue}
	for i, text := range experiments {
		words := strings.Fields(text)
		run.Experiments = append(run.Experiments, record.Experiment{
			ID: fmt.Sprintf("e%d", i+1), Name: fmt.Sprintf("experiment %d", i+1), Topology: "three",
			Claims: words[:len(words)-1], Verdict: record.Verdict(words[len(words)-1]), Reason: "why",
		})
	}
	return run
}

func skipping(run *record.Run, claims ...string) *record.Run {
	for _, c := range claims {
		run.Skipped = append(run.Skipped, record.Skipped{Name: "n", Claims: strings.Fields(c), Reason: "no btrfs"})
	}
	return run
}

const (
	held         = record.OutcomeHeld
	broken       = record.OutcomeClaimBroken
	inconclusive = record.OutcomeInconclusive
)

func TestRulesOfAPolicy(t *testing.T) {
	none := []string{"  - claim: LB-03\n    reason: ticket 4711\n    until: 2027-01-31\n", "", "exceptions:", "exceptions: []"}
	strict := append([]string{"inconclusive: 3", "inconclusive: 0"}, none...)
	listed := []string{"[ETCD-02, LEAD]", "[ETCD-02, LEAD]"}
	until := func(day string) []string { return []string{"until: 2027-01-31", "until: " + day} }
	tests := map[string]struct {
		run   *record.Run
		edits []string
		want  record.Outcome
		told  string // part of a finding
	}{
		"all hold":                          {ran("ETCD-02 held", "LEAD-01 drifted"), strict, held, ""},
		"a claim is broken":                 {ran("ETCD-02 held", "LEAD-01 broken"), strict, broken, "experiment 2 on three is broken"},
		"an experiment of no claim":         {ran("broken"), strict, broken, "is broken"},
		"a listed claim holds":              {ran("ETCD-02 held", "LEAD-01 held"), listed, held, ""},
		"a listed claim is broken":          {ran("ETCD-02 broken", "LEAD-01 held"), listed, broken, "experiment 1"},
		"a claim of a listed group":         {ran("ETCD-02 held", "LEAD-01 broken"), listed, broken, "experiment 2"},
		"another claim is broken":           {ran("ETCD-02 held", "LEAD-01 held", "ETCD-03 broken"), listed, held, "tolerated: its claims need not hold"},
		"another claim and a listed one":    {ran("ETCD-02 held", "ETCD-03 LEAD-01 broken"), listed, broken, "experiment 2"},
		"a listed claim is not tested":      {ran("LEAD-01 held"), listed, inconclusive, "ETCD-02 must hold, and no experiment tested it"},
		"a listed group is not tested":      {ran("ETCD-02 held"), listed, inconclusive, "LEAD must hold, and no experiment tested it"},
		"all ask this of none":              {ran("LEAD-01 held"), strict, held, ""},
		"a listed claim is inconclusive":    {ran("ETCD-02 inconclusive", "LEAD-01 held"), listed, inconclusive, "ETCD-02 must hold, and every experiment of it was inconclusive"},
		"a listed group is inconclusive":    {ran("ETCD-02 held", "LEAD-01 inconclusive"), listed, inconclusive, "LEAD must hold, and every experiment of it was inconclusive"},
		"once inconclusive and once held":   {ran("ETCD-02 inconclusive", "ETCD-02 held", "LEAD-01 held"), listed, held, "1 experiment inconclusive; 3 tolerated"},
		"an exception":                      {ran("LB-03 broken", "LEAD-01 held"), nil, held, "tolerated: LB-03 is excepted until 2027-01-31: ticket 4711"},
		"nothing but an exception":          {ran("LB-03 broken"), nil, inconclusive, "of 1 experiment none passed"},
		"an exception of another claim":     {ran("LB-03 LEAD-01 broken"), nil, broken, "experiment 1"},
		"an exception on its last day":      {ran("LB-03 broken", "LEAD-01 held"), until("2026-11-23"), held, "excepted until 2026-11-23"},
		"an exception that is over":         {ran("LB-03 broken"), until("2026-11-22"), broken, "the exception of LB-03 ended after 2026-11-22"},
		"an exception that is not needed":   {ran("LB-03 held"), nil, held, "the exception of LB-03 is not needed"},
		"an exception of the inconclusive":  {ran("LB-03 inconclusive", "LEAD-01 held"), []string{"inconclusive: 3", "inconclusive: 0"}, held, "inconclusive and tolerated: LB-03"},
		"an excepted claim is not tested":   {ran("LEAD-01 held"), []string{"[ETCD-02, LEAD]", "[LEAD, LB-03]"}, held, ""},
		"as many inconclusive as tolerated": {ran("ETCD-02 inconclusive", "LEAD-01 inconclusive", "ETCD-03 inconclusive", "held"), nil, held, "3 experiments inconclusive; 3 tolerated"},
		"nothing but tolerated":             {ran("ETCD-02 inconclusive", "LEAD-01 inconclusive", "ETCD-03 inconclusive"), nil, inconclusive, "of 3 experiments none passed"},
		"one inconclusive more":             {ran("ETCD-02 inconclusive", "LEAD-01 inconclusive", "ETCD-03 inconclusive", "inconclusive"), nil, inconclusive, "4 experiments inconclusive; 3 tolerated"},
		"an unknown verdict proves nothing": {ran("ETCD-02 splendid"), strict, inconclusive, "1 experiment inconclusive"},
		"broken outranks inconclusive":      {ran("ETCD-02 inconclusive", "LEAD-01 broken"), strict, broken, "1 experiment inconclusive"},
		"a skipped experiment":              {skipping(ran("ETCD-02 held"), "LEAD-01"), nil, inconclusive, "1 experiment skipped; 0 tolerated"},
		"a tolerated skip":                  {skipping(ran("ETCD-02 held"), "LEAD-01"), []string{"skipped: 0", "skipped: 1"}, held, "1 experiment skipped; 1 tolerated"},
		"a layout that nobody can build":    {skipping(ran("ETCD-02 held"), ""), nil, held, ""},
		"a skip of an excepted claim":       {skipping(ran("ETCD-02 held"), "LB-03"), nil, held, ""},
		"nothing ran":                       {ran(), nil, inconclusive, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			policy(t, test.edits...).judge(test.run, true, inHistory(nil, test.run))
			var told []string
			for _, f := range test.run.Gate.Findings {
				told = append(told, f.Text)
			}
			if test.told == "" && len(told) > 0 || !strings.Contains(strings.Join(told, "\n"), test.told) {
				t.Errorf("told %q, want %q", told, test.told)
			}
			if s := record.Summarise(test.run); s.Outcome != test.want {
				t.Errorf("got %s, want %s", s.Outcome, test.want)
			}
		})
	}
}

func TestAGateThatInformsDecidesNothing(t *testing.T) {
	run := night(100, 60)
	policy(t).judge(run, false, inHistory(nights(20, 4), run))
	if s := record.Summarise(run); s.Outcome != held || len(run.Gate.Told()) != 1 {
		t.Errorf("got %s, %+v", s.Outcome, run.Gate.Findings)
	}
	run = skipping(ran("ETCD-02 inconclusive"), "LEAD-01")
	policy(t).judge(run, false, inHistory(nil, run))
	if s := record.Summarise(run); s.Outcome != inconclusive || len(run.Gate.Told()) != 0 {
		t.Errorf("what a policy tolerates passes although nobody enforces it: %s, %+v", s.Outcome, run.Gate.Told())
	}
}

func TestNoPolicyToleratesADamagedRun(t *testing.T) {
	for want, damage := range map[record.Outcome]func(*record.Run){
		record.OutcomeHarnessError: func(r *record.Run) { r.Failures = []string{"x"} },
		record.OutcomeNotRestored:  func(r *record.Run) { r.NotRestored = []string{"x"} },
		record.OutcomeRefused:      func(r *record.Run) { r.Refused = "x" },
	} {
		run := ran("LB-03 broken")
		damage(run)
		policy(t).judge(run, true, inHistory(nil, run))
		if s := record.Summarise(run); s.Outcome != want {
			t.Errorf("got %s, want %s", s.Outcome, want)
		}
	}
}

func TestRegressionOfAnExceptedClaim(t *testing.T) {
	run := night(8, 60)
	run.Experiments[0].Claims = []string{"LB-03"}
	policy(t, "least: 10", "least: 5").judge(run, true, inHistory(nights(8, 4), run))
	last := run.Gate.Findings[len(run.Gate.Findings)-1]
	if last.Rule != record.RuleRegression || last.Outcome != held || !strings.Contains(last.Text, "tolerated: LB-03") {
		t.Errorf("got %+v", last)
	}
	if entries := EntriesOf(run); len(entries) > 0 {
		t.Error("a tolerated regression becomes the yardstick")
	}
}

// A record is judged again from itself, where there is no history.
func TestJudgingAgain(t *testing.T) {
	h := History(t.TempDir())
	if err := h.Add(nights(20, 4), 400); err != nil {
		t.Fatal(err)
	}
	run, p := night(100, 60), policy(t)
	if err := Judge(run, p, true, h); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "record.json")
	if err := run.Save(path); err != nil {
		t.Fatal(err)
	}
	again, err := record.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	p, enforced, err := Recorded(again.Gate, again.Claims)
	if err != nil {
		t.Fatal(err)
	}
	if err := Judge(again, p, enforced, History(t.TempDir())); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(again.Gate, run.Gate) || record.Summarise(again).Outcome != record.OutcomeRegression {
		t.Errorf("got %+v, want %+v", again.Gate, run.Gate)
	}
	lenient := policy(t, "seconds: 2", "seconds: 200")
	if err := Judge(again, lenient, true, History(t.TempDir())); err != nil {
		t.Fatal(err)
	}
	if got := record.Summarise(again).Outcome; got != held {
		t.Errorf("by another policy it is %s", got)
	}
}

func TestUnreadableHistoryIsTold(t *testing.T) {
	h := History(t.TempDir())
	if err := os.WriteFile(filepath.Join(string(h), "x.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := night(100, 4)
	for range 2 { // the second time from the record
		if err := Judge(run, policy(t), true, h); err != nil {
			t.Fatal(err)
		}
		if len(run.Gate.Unreadable) != 1 || !strings.Contains(run.Gate.Unreadable[0], "x.json") {
			t.Errorf("got %v", run.Gate.Unreadable)
		}
	}
}

var update = flag.Bool("update", false, "write the golden files")

// The golden summary is what scripts read. Fields are only ever added.
func TestGoldenSummary(t *testing.T) {
	run := fixture.Run()
	run.StartedAt = monday
	h := History(t.TempDir())
	for n := range 12 {
		earlier := fixture.Run()
		earlier.ID, earlier.StartedAt = fmt.Sprintf("r%d", n), monday.AddDate(0, 0, n-12)
		for i := range earlier.Experiments {
			for k := range earlier.Experiments[i].Observations {
				if o := &earlier.Experiments[i].Observations[k]; o.Seconds != nil {
					*o.Seconds *= []float64{0.8, 1, 1.1}[n%3]
				}
			}
		}
		if err := h.Add(EntriesOf(earlier), 400); err != nil {
			t.Fatal(err)
		}
	}
	slow := run.Experiments[slices.IndexFunc(run.Experiments, func(e record.Experiment) bool { return e.ID == "kcm-failover-three" })]
	*slow.Observations[1].Seconds *= 3
	p, err := parse("nightly.yaml", []byte(strings.NewReplacer("exceptions: []",
		"exceptions: [{claim: API-07, reason: ticket 4711, until: 2027-01-31}]").Replace(string(defaultPolicy))), run.Claims)
	if err != nil {
		t.Fatal(err)
	}
	if err := Judge(run, p, true, h); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "summary.json")
	if err := record.Summarise(run).Save(path); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "summary.json")
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(golden); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%v; go test ./reports/gate -update writes what is now\n%s", err, got)
	}
}
