package html

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"faultline/reports/internal/format"
	"faultline/reports/record"
)

// overview is what the first screen shows, and the experiments below it.
type overview struct {
	Run         *record.Run
	Summary     record.Summary
	Headline    string
	Mood        record.Verdict // colours the headline
	Median      string
	Counts      []count
	Environment []fact
	Topologies  []string
	Groups      []group
	Untested    []record.Claim
	Experiments []experiment
	Gate        *gate
}

type count struct {
	Verdict     record.Verdict
	Claims      int
	Experiments int
}

type fact struct{ Name, Value string }

// group is the part of the matrix with the claims of one subject.
type group struct {
	Name string
	Rows []row
}

type row struct {
	record.Claim
	Verdict record.Verdict
	Cells   [][]link // by topology
}

// link leads from a cell to an experiment.
type link struct {
	Anchor, Name, Recovery string
	Verdict                record.Verdict
}

func newOverview(run *record.Run) *overview {
	o := &overview{
		Run:         run,
		Summary:     record.Summarise(run),
		Environment: environment(run.Environment),
		Topologies:  run.Topologies(),
	}
	o.Headline, o.Mood = headline(o.Summary)
	if m, ok := record.MedianRecovery(run.Experiments); ok {
		o.Median = format.Seconds(m)
	}
	for _, v := range append(slices.Clone(record.Verdicts), record.Untested) {
		o.Counts = append(o.Counts, count{v, o.Summary.Claims.Of(v), o.Summary.Experiments.Of(v)})
	}
	names := anchors{}
	for i := range run.Experiments {
		o.Experiments = append(o.Experiments, newExperiment(run, &run.Experiments[i], names))
	}
	o.matrix()
	o.Gate = newGate(o.Summary.Gate, o.Experiments)
	return o
}

// Tested is how many claims an experiment looked at.
func (o *overview) Tested() int { return o.Summary.Claims.Total - o.Summary.Claims.Untested }

// Started is the wall time of the start, in a form that is the same everywhere.
func (o *overview) Started() string { return o.Run.StartedAt.UTC().Format("2 January 2006, 15:04 UTC") }

func (o *overview) matrix() {
	for _, c := range o.Summary.Verdicts {
		claim := o.Run.Claim(c.Claim)
		if c.Verdict == record.Untested {
			o.Untested = append(o.Untested, claim)
			continue
		}
		o.groupOf(claim).Rows = append(o.groupOf(claim).Rows, row{claim, c.Verdict, o.cells(claim.ID)})
	}
}

func (o *overview) groupOf(c record.Claim) *group {
	for i := range o.Groups {
		if o.Groups[i].Name == c.Group {
			return &o.Groups[i]
		}
	}
	o.Groups = append(o.Groups, group{Name: c.Group})
	return &o.Groups[len(o.Groups)-1]
}

func (o *overview) cells(claim string) [][]link {
	cells := make([][]link, len(o.Topologies))
	for _, e := range o.Experiments {
		if slices.Contains(e.Claims, claim) {
			i := slices.Index(o.Topologies, e.Topology)
			cells[i] = append(cells[i], link{e.Anchor, e.Name, e.Recovery, e.Verdict})
		}
	}
	return cells
}

func headline(s record.Summary) (string, record.Verdict) {
	switch s.Outcome {
	case record.OutcomeHeld:
		if s.Experiments.Broken+s.Experiments.Inconclusive > 0 {
			return "Everything that the policy demands held", record.Held
		}
		if s.Claims.Drifted > 0 {
			return "Every tested claim held, or drifted as known", record.Held
		}
		return "Every tested claim held", record.Held
	case record.OutcomeClaimBroken:
		if s.Claims.Broken > 0 {
			return broken(s.Claims.Broken, "claim"), record.Broken
		}
		return broken(s.Experiments.Broken, "experiment"), record.Broken
	case record.OutcomeInconclusive:
		if s.Experiments.Total == 0 {
			return "No experiment ran", record.Inconclusive
		}
		if s.Experiments.Broken > 0 {
			return "Nothing is broken that the policy demands, but the run is inconclusive", record.Inconclusive
		}
		return "Nothing is broken, but the run is inconclusive", record.Inconclusive
	case record.OutcomeRegression:
		return "Recovery has become slower than in earlier runs", record.Broken
	case record.OutcomeNotRestored:
		return "The cluster was not restored", record.Broken
	case record.OutcomeRefused:
		return "The run was refused", record.Broken
	default:
		return "The harness failed", record.Broken
	}
}

func broken(n int, noun string) string {
	if n == 1 {
		return "One " + noun + " is broken"
	}
	return format.Count(n, noun) + " are broken"
}

// environment leaves out what the record does not know.
func environment(e record.Environment) []fact {
	var facts []fact
	add := func(name, value string, known bool) {
		if known {
			facts = append(facts, fact{name, value})
		}
	}
	text := func(name, value string) { add(name, value, value != "") }
	text("Kubernetes", e.Kubernetes)
	text("etcd", e.Etcd)
	text("profile", e.Profile)
	add("slack", "×"+strconv.FormatFloat(e.Slack, 'g', -1, 64), e.Slack != 0)
	text("load balancer", e.LoadBalancer)
	text("engine", e.Engine)
	text("kernel", e.Kernel)
	add("cgroup", fmt.Sprintf("v%d", e.CgroupVersion), e.CgroupVersion != 0)
	add("cores", strconv.Itoa(e.Cores), e.Cores != 0)
	add("memory", format.Memory(e.MemoryBytes), e.MemoryBytes != 0)
	text("node image", strings.TrimSpace(e.NodeImage+" "+parenthesised(e.ImageOrigin)))
	text("faultline", e.FaultlineVersion)
	return facts
}

func parenthesised(text string) string {
	if text == "" {
		return ""
	}
	return "(" + text + ")"
}

// anchors turns ids into fragment names, each of them once.
type anchors map[string]bool

func (a anchors) name(id string) string {
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '-'
	}, id)
	name := "experiment-" + clean
	for n := 2; a[name]; n++ {
		name = fmt.Sprintf("experiment-%s-%d", clean, n)
	}
	a[name] = true
	return name
}
