package html

import "faultline/reports/record"

// gate is what the policy found, with links to the experiments.
type gate struct {
	*record.Gate
	Findings []finding
	Rows     []comparison
}

type finding struct {
	record.Finding
	Tone  record.Verdict // colours it
	Word  string
	Links []anchored
}

type comparison struct {
	record.Comparison
	Anchor string
}

type anchored struct{ ID, Anchor string }

// newGate is nil where no policy has judged the run.
func newGate(g *record.Gate, experiments []experiment) *gate {
	if g == nil {
		return nil
	}
	anchors := map[string]string{}
	for _, e := range experiments {
		anchors[e.ID] = e.Anchor
	}
	shown := &gate{Gate: g}
	for _, f := range g.Told() {
		x := finding{Finding: f, Tone: tone(f.Outcome), Word: string(f.Outcome)}
		if f.Outcome == record.OutcomeHeld {
			x.Word = "noted"
		}
		for _, id := range f.Experiments {
			if anchors[id] != "" {
				x.Links = append(x.Links, anchored{id, anchors[id]})
			}
		}
		shown.Findings = append(shown.Findings, x)
	}
	for _, c := range g.Comparisons {
		shown.Rows = append(shown.Rows, comparison{c, anchors[c.Experiment]})
	}
	return shown
}

// tone is the verdict whose colour an outcome gets.
func tone(o record.Outcome) record.Verdict {
	switch o {
	case record.OutcomeHeld:
		return record.Untested
	case record.OutcomeInconclusive:
		return record.Inconclusive
	default:
		return record.Broken
	}
}
