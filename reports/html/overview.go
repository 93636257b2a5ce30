package html

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"faultline/reports/internal/format"
	"faultline/reports/record"
)

// overview is what the first screen shows, and the parts of the page below it.
type overview struct {
	Run         *record.Run
	Summary     record.Summary
	Headline    string
	Mood        record.Verdict // colours the headline
	Median      string
	Counts      []count
	Environment []fact
	Topologies  []string
	Losses      []lossGroup
	Tables      []measuredTable
	Groups      []claimGroup
	Untested    []record.Claim
	Experiments []experiment
	Gate        *gate
	// Drifts is the drift register, apart from what this run did not test.
	Drifts, DriftsUntested []drift
}

type count struct {
	Verdict     record.Verdict
	Claims      int
	Experiments int
}

type fact struct{ Name, Value string }

func newOverview(run *record.Run) *overview {
	o := &overview{
		Run:         run,
		Summary:     record.Summarise(run),
		Environment: environment(run.Environment),
		Topologies:  inOrder(run.Topologies()),
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
	o.Gate = newGate(o.Summary.Gate, o.Experiments)
	o.Losses = lossesOf(o.Experiments, o.Topologies)
	o.Tables = measure(o)
	o.Drifts, o.DriftsUntested = driftsOf(o)
	o.Groups, o.Untested = claimsOf(o)
	return o
}

// Tested is how many claims an experiment looked at.
func (o *overview) Tested() int { return o.Summary.Claims.Total - o.Summary.Claims.Untested }

// Findings are the first of the experiments that do not pass, those that are broken
// before the others: what is to be acted upon.
func (o *overview) Findings() []experiment {
	const most = 3
	var all []experiment
	for _, v := range []record.Verdict{record.Broken, record.Inconclusive} {
		for _, e := range o.Experiments {
			if e.Verdict == v && len(all) < most {
				all = append(all, e)
			}
		}
	}
	return all
}

// MoreFindings is how many Findings leaves out.
func (o *overview) MoreFindings() int { return len(o.Summary.Failures) - len(o.Findings()) }

// Dense tells whether the topologies' names have to stand upright to leave room.
func (o *overview) Dense() bool { return len(o.Topologies) > 10 }

func headline(s record.Summary) (string, record.Verdict) {
	switch s.Outcome {
	case record.OutcomeHeld:
		if s.Experiments.Total == 0 {
			return "No experiment ran, and every sabotage run turned red", record.Held
		}
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
