package html

import (
	"reflect"
	"strings"
	"testing"

	"faultline/reports/record"
)

func TestBars(t *testing.T) {
	span := func(from, to float64, way record.Way) record.Span {
		return record.Span{From: from, To: to, Way: way, Count: 1}
	}
	type look struct {
		from, to float64
		way      record.Way
	}
	const up, refused, notReady = record.Up, record.Refused, record.NotReady
	tests := map[string]struct {
		spans []record.Span
		want  []look
	}{
		"long spans stay apart":      {[]record.Span{span(0, 5, up), span(5, 9, refused)}, []look{{0, 5, up}, {5, 9, refused}}},
		"the same way is merged":     {[]record.Span{span(0, 5, up), span(5, 9, up)}, []look{{0, 9, up}}},
		"a gap is kept":              {[]record.Span{span(0, 5, up), span(7, 9, up)}, []look{{0, 5, up}, {7, 9, up}}},
		"a short fault is kept":      {[]record.Span{span(0, 5, up), span(5, 5.1, refused), span(5.1, 9, up)}, []look{{0, 5, up}, {5, 5.1, refused}, {5.1, 9, up}}},
		"a short success is kept":    {[]record.Span{span(0, 5, refused), span(5, 5.1, up), span(5.1, 9, refused)}, []look{{0, 5, refused}, {5, 5.1, up}, {5.1, 9, refused}}},
		"a flicker shows as a fault": {[]record.Span{span(0, 5, up), span(5, 5.1, refused), span(5.1, 5.2, up), span(5.2, 5.3, up), span(5.3, 5.4, notReady), span(5.4, 5.5, notReady), span(5.5, 9, up)}, []look{{0, 5, up}, {5, 5.5, notReady}, {5.5, 9, up}}},
	}
	for name, test := range tests {
		var got []look
		total := 0
		for _, b := range barsOf(test.spans, 1) {
			got = append(got, look{b.from, b.to, b.way})
			total += b.count
		}
		if !reflect.DeepEqual(got, test.want) || total != len(test.spans) {
			t.Errorf("%s: got %v with %d samples", name, got, total)
		}
	}
}

func TestSimplifyKeepsWhatFewBarsShow(t *testing.T) {
	// A flicker of single samples within a second of a minute.
	flicker := func(times int) []record.Span {
		spans := []record.Span{{To: 10, Way: record.Up, Count: 200}}
		for i := range times {
			at := 10 + float64(i)*0.1
			spans = append(spans, record.Span{From: at, To: at + 0.05, Way: record.Refused, Count: 1}, record.Span{From: at + 0.05, To: at + 0.1, Way: record.Up, Count: 1})
		}
		return append(spans, record.Span{From: 10 + float64(times)*0.1, To: 60, Way: record.Up, Count: 900})
	}
	if got := len(simplify(flicker(4), 60)); got != 9 {
		t.Errorf("a short flicker is drawn as %d bars, want each of its 9", got)
	}
	if got := simplify(flicker(10), 60); len(got) != 3 || got[1].counts[record.Refused] != 10 {
		t.Errorf("a long flicker is drawn as %+v, want one bar between two", got)
	}
	var outages []record.Span
	for i := range 30 {
		outages = append(outages, record.Span{From: float64(2 * i), To: float64(2*i + 1), Way: record.Up}, record.Span{From: float64(2*i + 1), To: float64(2*i + 2), Way: record.Refused})
	}
	if got := len(simplify(outages, 60)); got != 60 {
		t.Errorf("of 60 spans of a second each %d bars are left", got)
	}
}

func TestFlickerIsTold(t *testing.T) {
	b := barsOf([]record.Span{{From: 0, To: 0.1, Way: record.Up, Count: 2}, {From: 0.1, To: 0.2, Way: record.Refused, Count: 3, Example: strings.Repeat("x", 500)}}, 1)
	tip := b[0].tip()
	if !strings.HasPrefix(tip, "refused from 0.00 s to 0.20 s (200 ms, flickering: 2 up 3 refused): xxx") || len(tip) > 260 {
		t.Errorf("got %q", tip)
	}
}

func TestPhases(t *testing.T) {
	e := &record.Experiment{Seconds: 60,
		Faults:       []record.Fault{{Instants: map[string]float64{"armed": 9, "injected": 10, "landed": 11, "undone": 30, "healed": 31}}},
		Observations: []record.Observation{{Recovery: true, At: 40}}}
	check := func(want string) {
		t.Helper()
		var names []string
		at := 0.0
		for _, p := range phasesOf(e) {
			if p.From != at {
				t.Errorf("%s begins at %g, the phase before ended at %g", p.Name, p.From, at)
			}
			at = p.To
			names = append(names, p.Name)
		}
		if got := strings.Join(names, ","); got != want || at != 60 {
			t.Errorf("got %s up to %g, want %s", got, at, want)
		}
	}
	check("steady state,arming,landing,loss,healing,recovery,after")
	e.Observations[0].At = 25 // recovered before the undo was proved
	check("steady state,arming,landing,loss,healing,after")
	e.Observations = nil
	e.Faults[0].Instants = map[string]float64{"armed": 9, "injected": 10}
	check("steady state,arming,landing")
	e.Faults = nil
	check("steady state")
}

func TestFlagsDoNotOverlap(t *testing.T) {
	all := []flag{{x: 300, at: 10, state: "injected"}, {x: 310, at: 11, state: "landed"}, {x: 600, at: 30, state: "undone"}, {x: 1070, at: 50, state: "healed"}}
	place(all)
	for i, want := range []int{0, 1, 0, 0} {
		if all[i].row != want {
			t.Errorf("%s is in row %d, want %d", all[i].state, all[i].row, want)
		}
	}
	if !all[3].left {
		t.Error("the last flag runs out of the drawing")
	}
}

func TestTickStep(t *testing.T) {
	for length, want := range map[float64]float64{10: 1, 35: 5, 60: 10, 150: 20, 0.5: 0.05} {
		if got := tickStep(length, 10); got < want*0.999 || got > want*1.001 {
			t.Errorf("%g s is divided in steps of %g, want %g", length, got, want)
		}
	}
}

func TestCut(t *testing.T) {
	for text, want := range map[string]string{"short": "short", "kube-controller-manager": "kube-cont…"} {
		if got := cut(text, 62); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := cut("leader", 12); got != "" {
		t.Errorf("a text without room is drawn as %q", got)
	}
}

// An experiment without any figures must not divide by zero.
func TestTimelineOfNothing(t *testing.T) {
	got := string(drawTimeline(&record.Experiment{}))
	for _, word := range []string{"NaN", "Inf"} {
		if strings.Contains(got, word) {
			t.Errorf("%s in %s", word, got)
		}
	}
}

func TestOverlapOfHoldersIsMarked(t *testing.T) {
	hold := func(from, to float64, holder string) record.Tenure {
		return record.Tenure{From: from, To: to, Holder: holder}
	}
	tests := map[string]struct {
		holds []record.Tenure
		want  string
	}{
		"one after the other":   {[]record.Tenure{hold(0, 10, "n1"), hold(10, 20, "n2")}, ""},
		"both for two seconds":  {[]record.Tenure{hold(0, 12, "n1"), hold(10, 20, "n2")}, "scheduler held by both n1 and n2 from 10.00 s to 12.00 s"},
		"one within the other":  {[]record.Tenure{hold(0, 20, "n1"), hold(5, 6, "n2"), hold(7, 8, "n1")}, "from 5.00 s to 6.00 s"},
		"renewed by the same":   {[]record.Tenure{hold(0, 12, "n1"), hold(10, 20, "n1")}, ""},
		"a time without holder": {[]record.Tenure{hold(0, 12, "n1"), hold(10, 20, "")}, ""},
	}
	for name, test := range tests {
		got := string(drawTimeline(&record.Experiment{Seconds: 20, Leases: []record.Lease{{Name: "scheduler", Holds: test.holds}}}))
		marked := strings.Contains(got, `class="overlap"`)
		if marked != (test.want != "") || !strings.Contains(got, test.want) {
			t.Errorf("%s: got %s", name, got)
		}
	}
}

func TestStatesThatChangeHaveALane(t *testing.T) {
	span := func(from, to float64, is string) record.StateSpan {
		return record.StateSpan{From: from, To: to, Is: is}
	}
	drawn := func(of string, spans ...record.StateSpan) string {
		return string(drawTimeline(&record.Experiment{Seconds: 20, States: []record.State{{Of: of, Spans: spans}}}))
	}
	if got := drawn("node n1", span(0, 20, record.StateReady)); strings.Contains(got, "n1") {
		t.Errorf("a node that is ready all the time has a lane: %s", got)
	}
	got := drawn("node n1", span(0, 5, record.StateReady), span(5, 12, record.StateUnknown), span(12, 20, record.StateReady))
	if !strings.Contains(got, "node n1 is unknown from 5.00 s to 12.00 s") || strings.Count(got, `class="w up"`) != 2 {
		t.Errorf("a silent node: %s", got)
	}
	got = drawn("kube-apiserver on n1", span(0, 5, "process 1"), span(5, 20, "process 2"))
	if !strings.Contains(got, "kube-apiserver on n1 is process 2 from 5.00 s to 20.00 s") || !strings.Contains(got, "holder h1") {
		t.Errorf("an API server that was restarted: %s", got)
	}
}
