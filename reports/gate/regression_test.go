package gate

import (
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"faultline/reports/record"
)

// nights are entries of that many nights, which took these seconds in turn.
func nights(n int, seconds ...float64) []Entry {
	var entries []Entry
	for i := range n {
		entries = append(entries, EntriesOf(night(i, seconds[i%len(seconds)]))...)
	}
	return entries
}

// policy is the well-formed one with other words, and all claims unless they are named.
func policy(t *testing.T, edits ...string) *Policy {
	t.Helper()
	p, err := load(t, strings.NewReplacer(append(edits, "[ETCD-02, LEAD]", "all", "  since: 2026-10-01\n", "")...).Replace(wellFormed))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestRegression(t *testing.T) {
	tests := map[string]struct {
		earlier []Entry
		took    float64
		edit    []string
		want    bool
	}{
		// Figures that never differ: the floor of 2 s counts below 8 s, that of a quarter above.
		"within the floor in seconds": {nights(20, 4), 6, nil, false},
		"beyond the floor in seconds": {nights(20, 4), 6.01, nil, true},
		"within the relative floor":   {nights(20, 40), 50, nil, false},
		"beyond the relative floor":   {nights(20, 40), 50.01, nil, true},
		// Median 20, deviations of 1: the limit is 20 + 6 × 1.4826.
		"within the spread": {nights(20, 19, 21), 28.89, nil, false},
		"beyond the spread": {nights(20, 19, 21), 28.90, nil, true},
		// One wild figure of ten moves neither median nor spread.
		"outliers do not hide":      {nights(20, 4, 4, 4, 4, 4, 4, 4, 4, 4, 300), 6.01, nil, true},
		"outliers do not cry wolf":  {nights(20, 4, 4, 4, 4, 4, 4, 4, 4, 4, 0), 6, nil, false},
		"faster is no regression":   {nights(20, 40), 0, nil, false},
		"no pause before, one now":  {nights(20, 0), 2.01, nil, true},
		"as many as are needed":     {nights(10, 4), 60, nil, true},
		"too few":                   {nights(9, 4), 60, nil, false},
		"no history":                {nil, 60, nil, false},
		"older figures are past":    {append(nights(25, 90), shift(nights(20, 4), 25)...), 60, nil, true},
		"a longer memory":           {append(nights(25, 90), shift(nights(20, 4), 25)...), 60, []string{"records: 20", "records: 45"}, false},
		"what has been accepted":    {nights(20, 4), 60, []string{"seconds: 2", "seconds: 2\n  since: 2026-12-04"}, false},
		"since then there are some": {nights(20, 4), 60, []string{"seconds: 2", "seconds: 2\n  since: 2026-12-03"}, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := policy(t, test.edit...)
			run := night(100, test.took)
			p.judge(run, true, inHistory(test.earlier, run))
			c := run.Gate.Comparisons[0]
			if c.Regressed != test.want {
				t.Errorf("got %+v", c)
			}
			want := record.OutcomeHeld
			if test.want {
				want = record.OutcomeRegression
			}
			if s := record.Summarise(run); s.Outcome != want {
				t.Errorf("got %s, want %s", s.Outcome, want)
			}
		})
	}
}

// shift moves entries some nights on.
func shift(entries []Entry, days int) []Entry {
	for i := range entries {
		entries[i].StartedAt = entries[i].StartedAt.AddDate(0, 0, days)
	}
	return entries
}

func TestOnlyComparableRunsCount(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*record.Run)
		want   int
	}{
		"the same":             {func(*record.Run) {}, 20},
		"a patch release":      {func(r *record.Run) { r.Environment.Kubernetes, r.Environment.Etcd = "v1.37.9", "v3.7.4" }, 20},
		"another faultline":    {func(r *record.Run) { r.Environment.FaultlineVersion = "b" }, 20},
		"a minor release":      {func(r *record.Run) { r.Environment.Kubernetes = "v1.38.0" }, 0},
		"another etcd":         {func(r *record.Run) { r.Environment.Etcd = "v3.6.0" }, 0},
		"another profile":      {func(r *record.Run) { r.Environment.Profile = "fast" }, 0},
		"another balancer":     {func(r *record.Run) { r.Environment.LoadBalancer = "envoy" }, 0},
		"another layout":       {func(r *record.Run) { r.Experiments[0].Topology = "five" }, 0},
		"another experiment":   {func(r *record.Run) { r.Experiments[0].Name = "sinks" }, 0},
		"another recovery":     {func(r *record.Run) { r.Experiments[0].Observations[0].Expected = "resume watch (load-balancer)" }, 0},
		"it started before":    {func(r *record.Run) { r.StartedAt = monday }, 0},
		"it started meanwhile": {func(r *record.Run) { r.StartedAt = monday.AddDate(0, 0, 7) }, 7},
		"its shard tells": {func(r *record.Run) {
			r.Shards = []record.Shard{{Name: "s", Environment: r.Environment}}
			r.Experiments[0].Shard, r.Environment = "s", record.Environment{}
		}, 20},
	} {
		run := night(100, 1)
		test.change(run)
		policy(t).judge(run, true, inHistory(nights(20, 4), run))
		if got := run.Gate.Comparisons[0].Records; got != test.want {
			t.Errorf("%s: compared with %d runs, want %d", name, got, test.want)
		}
	}
}

func TestOnlyPassingExperimentsAreCompared(t *testing.T) {
	run := night(100, 60)
	run.Experiments[0].Verdict = record.Broken
	policy(t).judge(run, true, inHistory(nights(20, 4), run))
	if len(run.Gate.Comparisons) > 0 {
		t.Errorf("got %+v", run.Gate.Comparisons)
	}
}

func TestOrderOfTheHistoryDoesNotMatter(t *testing.T) {
	entries := nights(30, 4, 5, 6, 20)
	folder := func(entries []Entry) *record.Run {
		h, run := History(t.TempDir()), night(100, 60)
		for _, e := range entries {
			if err := h.Add([]Entry{e}, 400); err != nil {
				t.Fatal(err)
			}
		}
		if err := Judge(run, policy(t), true, h); err != nil {
			t.Fatal(err)
		}
		return run
	}
	want := folder(entries)
	random := rand.New(rand.NewPCG(1, 2))
	for range 5 {
		random.Shuffle(len(entries), func(i, j int) { entries[i], entries[j] = entries[j], entries[i] })
		if got := folder(entries); !reflect.DeepEqual(got, want) {
			t.Fatal("another order gives another judgement")
		}
	}
}

// What policy.yaml says of chance: how often figures of the same kind exceed the limit.
func TestDefaultPolicyRarelyCriesWolf(t *testing.T) {
	p, err := Load("", nil)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(3, 4))
	for name, test := range map[string]struct {
		draw func() float64
		most float64
	}{
		"normal":                   {func() float64 { return 10 + random.NormFloat64() }, 0.001},
		"the phase of a lease":     {func() float64 { return 15 + 4*random.Float64() }, 0.001},
		"a long tail":              {func() float64 { return 10 * math.Exp(0.3*random.NormFloat64()) }, 0.004},
		"an election now and then": {func() float64 { return 1.5 * math.Floor(random.Float64()*1.2) }, 0.001},
	} {
		const tries = 20000
		exceeded := 0
		for range tries {
			c := record.Comparison{Seconds: test.draw()}
			for range int(p.Regression.Records) {
				c.Earlier = append(c.Earlier, record.Earlier{Seconds: test.draw()})
			}
			if p.Regression.judge(&c); c.Regressed {
				exceeded++
			}
		}
		t.Logf("%s: %d of %d", name, exceeded, tries)
		if share := float64(exceeded) / tries; share > test.most {
			t.Errorf("%s: %.4f exceed the limit by chance, at most %.4f are wanted", name, share, test.most)
		}
	}
}
