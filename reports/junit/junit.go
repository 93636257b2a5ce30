// Package junit renders a record as JUnit XML, as CI systems read it: a suite
// for each topology, a case for each experiment.
//
// A broken claim is a failure. An inconclusive experiment is an error, as are
// failures of the harness: the product under test was not judged.
package junit

import (
	"encoding/xml"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"faultline/reports/internal/format"
	"faultline/reports/record"
)

type report struct {
	XMLName xml.Name `xml:"testsuites"`
	Name    string   `xml:"name,attr"`
	tally
	Suites []suite `xml:"testsuite"`
}

type suite struct {
	Name string `xml:"name,attr"`
	tally
	Timestamp  string     `xml:"timestamp,attr"`
	Properties []property `xml:"properties>property"`
	Cases      []testcase `xml:"testcase"`
}

type tally struct {
	Tests    int     `xml:"tests,attr"`
	Failures int     `xml:"failures,attr"`
	Errors   int     `xml:"errors,attr"`
	Skipped  int     `xml:"skipped,attr"`
	Time     seconds `xml:"time,attr"`
}

type testcase struct {
	Class      string      `xml:"classname,attr"`
	Name       string      `xml:"name,attr"`
	Time       seconds     `xml:"time,attr"`
	Properties *properties `xml:"properties"`
	Failure    *problem    `xml:"failure"`
	Error      *problem    `xml:"error"`
	Skipped    *problem    `xml:"skipped"`
	Out        string      `xml:"system-out,omitempty"`
}

type properties struct {
	All []property `xml:"property"`
}

type property struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type problem struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
}

type seconds float64

func (s seconds) MarshalText() ([]byte, error) { return []byte(number(float64(s))), nil }

func number(f float64) string { return strconv.FormatFloat(f, 'f', 3, 64) }

// Write writes the run as JUnit XML.
func Write(w io.Writer, run *record.Run) error {
	r := report{Name: "faultline " + run.ID}
	if cases := harness(run); len(cases) > 0 {
		r.add(newSuite("harness", run.StartedAt, run, cases))
	}
	if cases := gate(run); len(cases) > 0 {
		r.add(newSuite("gate", run.StartedAt, run, cases))
	}
	if cases := skipped(run); len(cases) > 0 {
		r.add(newSuite("skipped", run.StartedAt, run, cases))
	}
	if cases := sabotaged(run); len(cases) > 0 {
		r.add(newSuite("sabotage", run.StartedAt, run, cases))
	}
	for _, topology := range run.Topologies() {
		var cases []testcase
		var started time.Time
		for i := range run.Experiments {
			e := &run.Experiments[i]
			if e.Topology != topology {
				continue
			}
			if started.IsZero() {
				started = e.StartedAt
			}
			cases = append(cases, experiment(e))
		}
		r.add(newSuite(topology, started, run, cases))
	}
	r.Time = seconds(run.Seconds)
	return encode(w, r)
}

func encode(w io.Writer, r report) error {
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return fmt.Errorf("write the JUnit report: %w", err)
	}
	out := xml.NewEncoder(w)
	out.Indent("", "  ")
	if err := out.Encode(r); err != nil {
		return fmt.Errorf("write the JUnit report: %w", err)
	}
	if _, err := io.WriteString(w, "\n"); err != nil {
		return fmt.Errorf("write the JUnit report: %w", err)
	}
	return nil
}

func (r *report) add(s suite) {
	r.Suites = append(r.Suites, s)
	r.Tests += s.Tests
	r.Failures += s.Failures
	r.Errors += s.Errors
	r.Skipped += s.Skipped
}

func newSuite(name string, started time.Time, run *record.Run, cases []testcase) suite {
	s := suite{Name: "faultline." + name, Timestamp: started.UTC().Format("2006-01-02T15:04:05"), Properties: environment(run), Cases: cases}
	for _, c := range cases {
		s.Tests++
		s.Time += c.Time
		if c.Failure != nil {
			s.Failures++
		}
		if c.Error != nil {
			s.Errors++
		}
		if c.Skipped != nil {
			s.Skipped++
		}
	}
	return s
}

func environment(run *record.Run) []property {
	e := run.Environment
	return []property{
		{"run", run.ID}, {"faultline", e.FaultlineVersion}, {"kubernetes", e.Kubernetes}, {"etcd", e.Etcd},
		{"node-image", e.NodeImage}, {"image-origin", e.ImageOrigin}, {"load-balancer", e.LoadBalancer}, {"engine", e.Engine},
		{"kernel", e.Kernel}, {"cgroup-version", strconv.Itoa(e.CgroupVersion)}, {"cores", strconv.Itoa(e.Cores)},
		{"memory-bytes", strconv.FormatUint(e.MemoryBytes, 10)}, {"profile", e.Profile}, {"slack", number(e.Slack)},
		{"seed", strconv.FormatInt(e.Seed, 10)},
	}
}

// harness is a case for each thing that went wrong outside the experiments, so
// that a CI system cannot show such a run as green.
func harness(run *record.Run) []testcase {
	var cases []testcase
	add := func(name, kind, text string) {
		cases = append(cases, testcase{Class: "faultline.harness", Name: name, Error: &problem{Message: firstLine(text), Type: kind, Text: text}})
	}
	if run.Refused != "" {
		add("the run is accepted", "refused", run.Refused)
	}
	for i, text := range run.NotRestored {
		add(fmt.Sprintf("fault %d is restored", i+1), "not-restored", text)
	}
	for i, text := range run.Failures {
		add(fmt.Sprintf("the harness works (%d)", i+1), "harness-error", text)
	}
	return cases
}

// gate is a case for each finding of an enforced policy that the experiments do not
// show by themselves. A regression is a failure of what is tested.
func gate(run *record.Run) []testcase {
	if !run.Gate.Decides() {
		return nil
	}
	var cases []testcase
	for i, f := range run.Gate.Told() {
		p := &problem{Message: firstLine(f.Text), Type: string(f.Outcome), Text: f.Text}
		c := testcase{Class: "faultline.gate", Name: fmt.Sprintf("the policy is met: %s (%d)", f.Rule, i+1)}
		switch f.Outcome {
		case record.OutcomeHeld:
			continue
		case record.OutcomeRegression:
			c.Failure = p
		default:
			c.Error = p
		}
		cases = append(cases, c)
	}
	return cases
}

// skipped is a case for each experiment that was left out.
func skipped(run *record.Run) []testcase {
	var cases []testcase
	for _, k := range run.Skipped {
		cases = append(cases, testcase{
			Class: "faultline." + k.Topology, Name: name(&record.Experiment{Name: k.Name, Claims: k.Claims}),
			Skipped: &problem{Message: firstLine(k.Reason), Type: "skipped", Text: k.Reason},
		})
	}
	return cases
}

// sabotaged is a case for each sabotage run that turned red, as it must.
func sabotaged(run *record.Run) []testcase {
	var cases []testcase
	for _, s := range run.Sabotaged {
		cases = append(cases, testcase{Class: "faultline." + s.Topology, Name: s.Name, Time: seconds(s.Seconds)})
	}
	return cases
}

func experiment(e *record.Experiment) testcase {
	c := testcase{
		Class:      "faultline." + e.Topology,
		Name:       name(e),
		Time:       seconds(e.Seconds),
		Properties: &properties{measurements(e)},
		Out:        observations(e),
	}
	p := &problem{Message: firstLine(e.Reason), Type: string(e.Verdict), Text: explanation(e)}
	switch {
	case e.Verdict == record.Broken:
		c.Failure = p
	case !e.Verdict.Passes():
		c.Error = p
	}
	return c
}

func name(e *record.Experiment) string {
	if len(e.Claims) == 0 {
		return e.Name
	}
	return "[" + strings.Join(e.Claims, " ") + "] " + e.Name
}

// measurements carry plain numbers of seconds, so that a CI system can plot them.
// What was measured twice is numbered: many readers keep one value a name.
func measurements(e *record.Experiment) []property {
	all := facts(e)
	add := func(name string, seconds *float64) {
		if seconds != nil {
			all = append(all, property{name, number(*seconds)})
		}
	}
	seen := map[string]int{}
	numbered := func(name string) string {
		if seen[name]++; seen[name] > 1 {
			return fmt.Sprintf("%s (%d)", name, seen[name])
		}
		return name
	}
	if s, ok := e.Recovery(); ok {
		add("recovery-seconds", &s)
	}
	for _, o := range e.Observations {
		name := numbered(o.Expected)
		add("seconds: "+name, o.Seconds)
		add("lower-bound-seconds: "+name, o.Lower)
		add("upper-bound-seconds: "+name, o.Upper)
	}
	for _, r := range e.Recoveries {
		name := numbered("after " + r.After)
		for _, p := range r.Phases {
			add(p.Name+"-seconds: "+name, &p.Seconds)
		}
	}
	for _, p := range e.Probes {
		add("longest-out-seconds: "+numbered(p.Name+" at "+p.Vantage), &p.LongestOut)
	}
	return all
}

// facts are what an experiment's figures belong to.
func facts(e *record.Experiment) []property {
	all := []property{{"experiment", e.ID}, {"verdict", string(e.Verdict)}, {"topology", e.Topology}}
	for _, id := range e.Claims {
		all = append(all, property{"claim", id})
	}
	if e.Drift != "" {
		all = append(all, property{"drift", e.Drift})
	}
	if e.Command != "" {
		all = append(all, property{"command", e.Command})
	}
	return all
}

func observations(e *record.Experiment) string {
	var b strings.Builder
	for _, f := range e.Faults {
		fmt.Fprintf(&b, "fault: %s (%s)", f.Name, f.State)
		if f.Proof != "" {
			b.WriteString(": " + f.Proof)
		}
		b.WriteByte('\n')
	}
	for _, o := range e.Observations {
		b.WriteString(observation(o) + "\n")
	}
	if e.Audit != nil {
		fmt.Fprintf(&b, "audit: %d of %d writes acknowledged, %d lost, %d missed by the watch\n",
			e.Audit.Acknowledged, e.Audit.Attempted, len(e.Audit.Lost), e.Audit.Missed)
	}
	return b.String()
}

func observation(o record.Observation) string {
	word := "ok    "
	if !o.OK {
		word = "FAILED"
	}
	line := fmt.Sprintf("%s at %s: ", word, format.Seconds(o.At))
	if o.Claim != "" {
		line += o.Claim + ": "
	}
	line += "expected " + o.Expected + "; observed " + o.Observed
	if o.Seconds != nil {
		line += "; took " + format.Seconds(*o.Seconds)
		if bounds := format.Bounds(o); bounds != "" {
			line += ", allowed " + bounds
		}
	}
	return line
}

func explanation(e *record.Experiment) string {
	lines := []string{e.Reason}
	for _, o := range e.Observations {
		if !o.OK {
			lines = append(lines, observation(o))
		}
	}
	if e.Pressure != nil {
		lines = append(lines, "meanwhile "+format.Pressure(e.Pressure))
	}
	if e.Command != "" {
		lines = append(lines, "repeat with: "+e.Command)
	}
	for _, path := range e.Evidence {
		lines = append(lines, "evidence: "+path)
	}
	return strings.Join(lines, "\n")
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
