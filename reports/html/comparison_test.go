package html

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"faultline/reports/record"
)

// runOf is a run of experiments, given as name, verdict and recovery time; 0: none.
func runOf(id string, experiments ...record.Experiment) *record.Run {
	return &record.Run{Schema: record.SchemaVersion, ID: id, Experiments: experiments}
}

func tried(name string, v record.Verdict, recovery float64) record.Experiment {
	e := lossOf("id of "+name, "t", v, recovery)
	e.Name = name
	return e
}

// judged adds what the gate found for an experiment: its earlier figures, and whether
// they are enough for a limit.
func judged(run *record.Run, name string, regressed, enough bool, earlier ...float64) {
	if run.Gate == nil {
		run.Gate = &record.Gate{}
	}
	for i := range run.Experiments {
		e := &run.Experiments[i]
		seconds, measured := e.Recovery()
		if e.Name != name || !measured {
			continue
		}
		c := record.Comparison{Experiment: e.ID, Seconds: seconds, Regressed: regressed}
		if enough {
			c.Limit = new(float64)
		}
		for _, s := range earlier {
			c.Earlier = append(c.Earlier, record.Earlier{Seconds: s})
		}
		quicker := record.Comparison{Experiment: e.ID, Seconds: seconds / 2, Limit: c.Limit}
		run.Gate.Comparisons = append(run.Gate.Comparisons, quicker, c)
	}
}

func TestComparison(t *testing.T) {
	const held, drifted, broken = record.Held, record.Drifted, record.Broken
	before := runOf("b", tried("same", held, 5), tried("slower", held, 5), tried("faster", held, 5), tried("worse", held, 0),
		tried("better", broken, 9), tried("rare", held, 5), tried("gone", held, 1))
	after := runOf("a", tried("slower", held, 9), tried("faster", held, 1), tried("new", held, 2), tried("worse", broken, 7),
		tried("better", drifted, 8), tried("rare", held, 50), tried("same", held, 5.5))
	for _, name := range []string{"same", "slower", "faster", "better"} {
		judged(after, name, name == "slower", true, 4, 8, 5)
	}
	judged(after, "rare", false, false, 4, 8)
	again := tried("same", held, 60) // an earlier attempt does not count
	again.ID = "first"
	after.Experiments = append([]record.Experiment{again}, after.Experiments...)

	x := newContrast(before, after, "report.html")
	var got []string
	for _, p := range x.Rows {
		got = append(got, fmt.Sprintf("%s: %s %q, %s", p.Name, p.Difference(), p.Change.Sign(), p.Past.Words()))
	}
	want := []string{
		`worse:  "", `,
		`slower: +4.00 s "▲", 4.00 s – 5.00 s – 8.00 s in 3 runs`,
		`faster: -4.00 s "▼", 4.00 s – 5.00 s – 8.00 s in 3 runs`,
		`better: -1.00 s "=", 4.00 s – 5.00 s – 8.00 s in 3 runs`,
		`rare: +45.0 s "", 4.00 s – 6.00 s – 8.00 s in 2 runs`,
		`same: +500 ms "=", 4.00 s – 5.00 s – 8.00 s in 3 runs`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(x.Gone) != 1 || x.Gone[0].Name != "gone" || len(x.New) != 1 || x.New[0].Name != "new" {
		t.Errorf("gone: %v, new: %v", x.Gone, x.New)
	}
	if x.Headline != "1 verdict got worse, 1 recovery time grew" || x.Mood != broken {
		t.Errorf("got %q, %s", x.Headline, x.Mood)
	}
	if x.Rows[1].Link != "report.html#experiment-id-of-slower" {
		t.Errorf("the link is %q", x.Rows[1].Link)
	}
}

func TestHeadlinesOfComparisons(t *testing.T) {
	before := runOf("b", tried("e", record.Held, 1))
	slow := runOf("a", tried("e", record.Held, 4))
	judged(slow, "e", true, true, 1, 2, 3)
	for want, after := range map[string]*record.Run{
		"Nothing got worse":   runOf("a", tried("e", record.Held, 2)),
		"1 verdict got worse": runOf("a", tried("e", record.Inconclusive, 0)),
		"1 recovery time grew beyond what earlier runs let expect": slow,
		"The runs have no experiment in common":                    runOf("a"),
	} {
		if x := newContrast(before, after, ""); x.Headline != want {
			t.Errorf("got %q, want %q", x.Headline, want)
		}
	}
}

func TestDifferencesOfEnvironments(t *testing.T) {
	got := differences(record.Environment{Kubernetes: "v1", Etcd: "v3", Cores: 2}, record.Environment{Kubernetes: "v1", Etcd: "v4", Profile: "fast"})
	if want := []difference{{"etcd", "v3", "v4"}, {"profile", "unknown", "fast"}, {"cores", "2", "unknown"}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestComparisonIsEscaped(t *testing.T) {
	const evil = `<img src=x onerror=alert(1)>`
	run := runOf(evil, tried(evil, record.Held, 1))
	run.Environment.Kernel, run.Experiments[0].ID, run.Experiments[0].Topology = evil, evil, evil
	other := runOf(evil, tried(evil, record.Broken, 2), tried("new"+evil, record.Held, 1))
	other.Experiments[0].Topology = evil
	var page bytes.Buffer
	if err := WriteComparison(&page, run, other, "report.html"); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(page.String(), "<img") {
		t.Error("markup of the record came alive")
	}
}
