package html_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"faultline/reports/html"
	"faultline/reports/internal/fixture"
	"faultline/reports/record"
)

func render(t testing.TB, run *record.Run) string {
	t.Helper()
	var b bytes.Buffer
	if err := html.Write(&b, run); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// element is a start tag of the page, and the text that follows it directly.
type element struct {
	name string
	attr map[string]string
	text string
}

// parse reads the page as XML, which it is apart from its script and style: so
// that an element left open or closed twice is an error here, and nothing that a
// browser would silently mend differently.
func parse(t *testing.T, page string) []element {
	t.Helper()
	page = regexp.MustCompile(`(?s)<(script|style)>.*?</(script|style)>`).ReplaceAllString(page, "")
	d := xml.NewDecoder(strings.NewReader(page))
	var all []element
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("the page is not well-formed: %v", err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			e := element{name: token.Name.Local, attr: map[string]string{}}
			for _, a := range token.Attr {
				e.attr[a.Name.Local] = a.Value
			}
			all = append(all, e)
		case xml.CharData:
			if len(all) > 0 {
				all[len(all)-1].text += string(token)
			}
		}
	}
}

func TestEveryLinkResolves(t *testing.T) {
	run := gated(fixture.Run(), record.OutcomeRegression)
	run.Experiments[0].ID = "a b/c?<d>"
	run.Gate.Comparisons[0].Experiment = run.Experiments[0].ID
	run.Experiments[1].ID = "a-b-c--d-"
	ids, cells := map[string]bool{}, 0
	elements := parse(t, render(t, run))
	for _, e := range elements {
		if id := e.attr["id"]; id != "" {
			if ids[id] {
				t.Errorf("the id %q is used twice", id)
			}
			ids[id] = true
		}
	}
	for _, e := range elements {
		for _, name := range []string{"href", "aria-labelledby"} {
			target, found := e.attr[name]
			fragment, internal := strings.CutPrefix(target, "#")
			if found && (internal || name != "href") && !ids[fragment] {
				t.Errorf("%s=%q leads nowhere", name, target)
			}
		}
		if e.attr["class"] == "cell v-"+string(record.Broken) {
			cells++
			if e.attr["href"] != "#experiment-apiserver-lost-three" {
				t.Errorf("the broken cell leads to %q", e.attr["href"])
			}
		}
	}
	if cells < 3 {
		t.Errorf("%d cells are broken, want those of a loss, of the documents' rows and of a claim", cells)
	}
}

func TestPatternsOfTheStylesheetExist(t *testing.T) {
	page := render(t, fixture.Run())
	for _, m := range regexp.MustCompile(`url\(#([\w-]+)\)`).FindAllStringSubmatch(page, -1) {
		if !strings.Contains(page, `<pattern id="`+m[1]+`"`) {
			t.Errorf("the pattern %s is missing", m[1])
		}
	}
}

func TestPageLoadsNothing(t *testing.T) {
	run := fixture.Run()
	for _, e := range parse(t, render(t, run)) {
		for name, value := range e.attr {
			switch name {
			case "src", "srcset", "action", "poster", "data":
				t.Errorf("<%s %s=%q>", e.name, name, value)
			case "href":
				if u, err := url.Parse(value); err != nil || u.Host != "" || u.Scheme != "" && u.Scheme != "data" {
					t.Errorf("<%s href=%q> leaves the folder", e.name, value)
				}
			}
		}
	}
	style := regexp.MustCompile(`(?s)<style>.*?</style>|<script>.*?</script>`).FindAllString(render(t, run), -1)
	for _, word := range []string{"http:", "https:", "//", "@import", "url(h", "fetch(", "XMLHttpRequest"} {
		for _, part := range style {
			if strings.Contains(strings.ReplaceAll(part, "  // ", ""), word) {
				t.Errorf("style or script contains %q", word)
			}
		}
	}
}

func TestFirstScreenTellsTheVerdict(t *testing.T) {
	page := render(t, fixture.Run())
	top := page[:strings.Index(page, `<section id="experiments"`)]
	for _, part := range []string{"One claim is broken", "15 experiments on 2 topologies in 11m42s", "16 of\n", "Median recovery",
		"10</dd>", "</span> drifted</dt><dd>2</dd>", "</span> broken</dt><dd>1</dd>", "</span> untested</dt><dd>4</dd>", "v1.37.2", "single-host-minimal", "4 claims without an experiment"} {
		if !strings.Contains(top, part) && !strings.Contains(strings.ReplaceAll(top, "\n", " "), strings.TrimSpace(part)) {
			t.Errorf("%q is missing", part)
		}
	}
}

func TestSkippedExperimentsTellWhy(t *testing.T) {
	run := fixture.Run()
	run.Skipped = []record.Skipped{{Name: "survives", Topology: "mirror", Reason: "no btrfs"}}
	if page := render(t, run); !strings.Contains(page, "no btrfs") || !strings.Contains(page, "1 experiment left out") {
		t.Error("the reason is missing")
	}
}

func TestSabotageRunsAreListed(t *testing.T) {
	run := fixture.Run()
	run.Sabotaged = []record.Sabotaged{{Name: "nobody evicts pods", Topology: "multi-master", Seconds: 83, Groups: []string{"WORK"}}}
	page := render(t, run)
	parse(t, page)
	if !strings.Contains(page, "1 sabotage run turned red, as it must") || !strings.Contains(page, "nobody evicts pods (multi-master) WORK") {
		t.Error("the sabotage run is missing")
	}
}

// gated is a run that a policy has judged, with a finding of this outcome.
func gated(run *record.Run, outcome record.Outcome) *record.Run {
	limit := 2.5
	id := run.Experiments[0].ID
	run.Gate = &record.Gate{Enforced: true, Unreadable: []string{"x.json: is cut off"},
		Findings:    []record.Finding{{Rule: record.RuleRegression, Outcome: outcome, Text: "took 9 s", Experiments: []string{id, "elsewhere"}}},
		Comparisons: []record.Comparison{{Experiment: id, Recovery: "resume write", Seconds: 9, Records: 12, Limit: &limit, Median: &limit, Spread: &limit, Regressed: true}, {Experiment: "elsewhere", Records: 3}}}
	return run
}

func TestGateIsShown(t *testing.T) {
	run := gated(fixture.Run(), record.OutcomeRegression)
	run.Shards = []record.Shard{{Name: "s1", Environment: run.Environment}}
	page := render(t, run)
	parse(t, page)
	for _, part := range []string{"the default policy.", "took 9 s <a href=\"#experiment-kill-etcd-single\">", "x.json: is cut off", "<td>resume write</td>",
		"2.50 s</td>", "too few runs", "Merged from 1 run", "2 cores, 23.0 GiB"} {
		if !strings.Contains(page, part) {
			t.Errorf("%q is missing", part)
		}
	}
	if page := render(t, fixture.Run()); strings.Contains(page, `id="gate"`) {
		t.Error("a gate is shown where none has judged")
	}
}

func TestHeadlines(t *testing.T) {
	one := func(v record.Verdict) *record.Run {
		return &record.Run{Schema: 1, ID: "r", Claims: []record.Claim{{ID: "A"}}, Experiments: []record.Experiment{{ID: "e", Claims: []string{"A"}, Verdict: v}}}
	}
	tests := []struct {
		run  *record.Run
		want string
	}{
		{one(record.Held), "Every tested claim held"},
		{one(record.Drifted), "or drifted as known"},
		{one(record.Broken), "One claim is broken"},
		{one(record.Inconclusive), "the run is inconclusive"},
		{gated(one(record.Held), record.OutcomeRegression), "Recovery has become slower"},
		{gated(one(record.Broken), record.OutcomeHeld), "Everything that the policy demands held"},
		{gated(one(record.Broken), record.OutcomeInconclusive), "Nothing is broken that the policy demands"},
		{&record.Run{}, "No experiment ran"},
		{&record.Run{Sabotaged: []record.Sabotaged{{Name: "lies"}}}, "every sabotage run turned red"},
		{&record.Run{Refused: "no engine"}, "The run was refused"},
		{&record.Run{NotRestored: []string{"kill etcd"}}, "The cluster was not restored"},
		{&record.Run{Failures: []string{"boom"}}, "The harness failed"},
	}
	for _, test := range tests {
		page := render(t, test.run)
		parse(t, page)
		if !strings.Contains(page, test.want) {
			t.Errorf("%q is missing", test.want)
		}
	}
	both := one(record.Broken)
	both.Claims = append(both.Claims, record.Claim{ID: "B"})
	both.Experiments[0].Claims = []string{"A", "B"}
	if !strings.Contains(render(t, both), "2 claims are broken") {
		t.Error("two broken claims are not counted")
	}
	// An experiment may break without testing a claim of the catalogue.
	both.Experiments[0].Claims = nil
	if page := render(t, both); strings.Contains(page, "0 claims are broken") || !strings.Contains(page, "One experiment is broken") {
		t.Error("a broken experiment without claims is not told")
	}
}

// Every text of the record is replaced by markup; none of it may come out alive.
func TestEverythingIsEscaped(t *testing.T) {
	const evil = `"'></title></script><script>alert(1)</script><img src=x onerror=alert(1)>&amp;`
	run := fixture.Run()
	run.ID, run.Refused, run.Failures, run.NotRestored = evil, evil, []string{evil}, []string{evil}
	run.Environment.Kernel, run.Environment.FaultlineVersion = evil, evil
	run.Shards = []record.Shard{{Name: evil, Environment: record.Environment{Engine: evil}}}
	gated(run, record.OutcomeRegression)
	run.Gate.Policy, run.Gate.Unreadable[0], run.Gate.Findings[0].Text, run.Gate.Comparisons[1].Name, run.Gate.Comparisons[1].Recovery = evil, evil, evil, evil, evil
	run.Claims[2] = record.Claim{ID: "TOPO-18", Group: evil, Statement: evil, Source: evil, Drift: evil, Untested: evil}
	e := &run.Experiments[6]
	e.ID, e.Name, e.Topology, e.Cluster, e.Reason, e.Drift, e.Command = evil, evil, evil, evil, evil, evil, evil
	e.Verdict = record.Broken
	e.Faults[0] = record.Fault{Name: evil, Kind: evil, Node: evil, Target: evil, State: "landed", Proof: evil, Instants: map[string]float64{"injected": 5, "landed": 6}}
	e.Observations[0].Expected, e.Observations[0].Observed, e.Observations[0].Claim = evil, evil, evil
	e.Probes[0] = record.Probe{Name: evil, Vantage: evil, Spans: []record.Span{{From: 1, To: 9, Way: record.Way(evil), Example: evil}}}
	e.Leases[0] = record.Lease{Name: evil, Holds: []record.Tenure{{To: 20, Holder: evil}}}
	e.EtcdLeaders[0].Leader = evil
	e.Recoveries[0].After = evil
	e.Audit.Lost, e.Audit.Backwards, e.Audit.Through = []string{evil}, []string{evil}, []string{evil}
	e.Evidence = []string{evil, "javascript:alert(1)", "../../etc/passwd", "/etc/passwd", "a:b#c?.log"}

	links := map[string]string{}
	page := render(t, run)
	for _, x := range parse(t, page) {
		if x.name == "img" || x.attr["onerror"] != "" {
			t.Fatalf("markup of the record came alive: %+v", x)
		}
		if x.name == "a" {
			links[strings.TrimSpace(x.text)] = x.attr["href"]
		}
	}
	if n := strings.Count(page, "<script>"); n != 1 {
		t.Errorf("the page has %d scripts", n)
	}
	for name, want := range map[string]string{"javascript:alert(1)": "./javascript:alert%281%29", "a:b#c?.log": "./a:b%23c%3F.log", "../../etc/passwd": "", "/etc/passwd": ""} {
		if links[name] != want {
			t.Errorf("the evidence %q links to %q, want %q", name, links[name], want)
		}
	}
}

func TestTimelineTellsEveryWay(t *testing.T) {
	run := fixture.Run()
	e := &run.Experiments[0]
	e.Probes = nil
	for i, way := range record.Ways {
		e.Probes = append(e.Probes, record.Probe{Name: "p", Vantage: fmt.Sprint(i), Spans: []record.Span{{From: 1, To: 9, Way: way, Count: 160}}})
	}
	page := render(t, run)
	for _, class := range []string{"up", "refused", "timedout", "etcderror", "notready", "pending", "other", "starved"} {
		if !strings.Contains(page, `<path class="w `+class+`"`) || !strings.Contains(page, ".w."+class+" {") {
			t.Errorf("the way %s has no drawing or no style", class)
		}
	}
}

func TestTimeSpentIsShownWhereItIsKnown(t *testing.T) {
	run := fixture.Run()
	run.Experiments = run.Experiments[:1]
	if page := render(t, run); strings.Contains(page, "Time spent") {
		t.Error("a record without an account shows one")
	}
	run.Experiments[0].Spent = &record.Spent{Waiting: 12.3}
	page := render(t, run)
	if !strings.Contains(page, `<td>waiting</td><td class="num">12.3 s</td>`) {
		t.Error("the time spent is missing")
	}
	if strings.Contains(page, "had to wait for a CPU") {
		t.Error("a record that does not tell how busy the machine was tells it")
	}
	run.Experiments[0].Pressure = &record.Pressure{CPU: 0.82}
	if page := render(t, run); !strings.Contains(page, "had to wait for a CPU for 82 %") {
		t.Error("how busy the machine was is missing")
	}
}

func TestWriteErrorIsReported(t *testing.T) {
	if err := html.Write(failing{}, fixture.Run()); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("got %v", err)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

// meter counts what is written, and notes how much memory the process has meanwhile.
type meter struct{ bytes, memory uint64 }

func (m *meter) Write(p []byte) (int, error) {
	sample := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(sample)
	m.bytes += uint64(len(p))
	m.memory = max(m.memory, sample[0].Value.Uint64()-sample[1].Value.Uint64())
	return len(p), nil
}

// 300 experiments with 20 probes, each of which looks 20 times a second for a minute:
// from the record's file to the page, as make report does.
func TestLargeRunFits(t *testing.T) {
	const (
		longest = slowness * 5 * time.Second
		memory  = 300 << 20
		size    = 8_000_000
	)
	path := filepath.Join(t.TempDir(), "record.json")
	if err := fixture.Large(300, 20).Save(path); err != nil {
		t.Fatal(err)
	}
	debug.FreeOSMemory()
	start := time.Now()
	run, err := record.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	var m meter
	if err := html.Write(&m, run); err != nil {
		t.Fatal(err)
	}
	took := time.Since(start)
	t.Logf("%s, %d MB of memory, %.1f MB of HTML", took.Round(time.Millisecond), m.memory>>20, float64(m.bytes)/1e6)
	if took > longest || m.memory > memory || m.bytes > size {
		t.Errorf("took %s, %d MB of memory and %d bytes; at most %s, %d MB and %d bytes are wanted", took, m.memory>>20, m.bytes, longest, memory>>20, size)
	}
}

// FAULTLINE_PAGE names a file for the page of the fixture, to look at.
func TestPageToLookAt(t *testing.T) {
	path := os.Getenv("FAULTLINE_PAGE")
	if path == "" {
		t.Skip("FAULTLINE_PAGE is not set")
	}
	err := record.WriteFile(path, func(w io.Writer) error { return html.Write(w, fixture.Run()) })
	if err != nil {
		t.Fatal(err)
	}
}

func BenchmarkLargeRun(b *testing.B) {
	run := fixture.Large(300, 20)
	b.ReportAllocs()
	var m meter
	for b.Loop() {
		m.bytes = 0
		if err := html.Write(&m, run); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(m.bytes), "html-bytes")
	b.ReportMetric(float64(m.memory), "peak-bytes")
}
