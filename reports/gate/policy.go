package gate

import (
	_ "embed"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"faultline/reports/record"
)

//go:embed policy.yaml
var defaultPolicy []byte

// policySchema is the version of the policies that this package reads.
const policySchema = 1

// Policy says what makes a run pass. The comments of policy.yaml explain it.
type Policy struct {
	Schema whole `yaml:"schema"`
	Claims struct {
		MustHold   selection   `yaml:"mustHold"`
		Exceptions []exception `yaml:"exceptions"`
	} `yaml:"claims"`
	Tolerate struct {
		Inconclusive whole `yaml:"inconclusive"`
		Skipped      whole `yaml:"skipped"`
	} `yaml:"tolerate"`
	Regression regression `yaml:"regression"`
	History    struct {
		Keep whole `yaml:"keep"`
	} `yaml:"history"`

	// name is the policy's file, empty for the default; text is its content.
	name, text string
}

// selection is a list of claims and groups, or the word all, which is an empty one.
type selection []string

// exception is a claim that need not hold for a time.
type exception struct {
	Claim  string `yaml:"claim"`
	Reason string `yaml:"reason"`
	Until  day    `yaml:"until"`
}

// regression says when a recovery has become slower.
type regression struct {
	Records  whole   `yaml:"records"`
	Least    whole   `yaml:"least"`
	Spreads  float64 `yaml:"spreads"`
	Relative float64 `yaml:"relative"`
	Seconds  float64 `yaml:"seconds"`
	Since    day     `yaml:"since"`
}

// whole is a number that the YAML library would round.
type whole int

// day is a date in UTC.
type day struct{ time.Time }

func (d day) String() string { return d.Format(time.DateOnly) }

// covers tells whether a moment is on the day or before.
func (d day) covers(at time.Time) bool { return at.Before(d.AddDate(0, 0, 1)) }

// Load reads the policy at path, or the default where path is empty. Claims are
// those that a policy may name.
func Load(path string, claims []record.Claim) (*Policy, error) {
	if path == "" {
		return parse("", defaultPolicy, claims)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the policy: %w", err)
	}
	return parse(path, text, claims)
}

// Recorded is the policy that judged a run before, with whether it was enforced. A
// run that no policy has judged gets the default, not enforced.
func Recorded(g *record.Gate, claims []record.Claim) (p *Policy, enforced bool, err error) {
	if g == nil {
		p, err = Load("", claims)
		return p, false, err
	}
	if p, err = parse(g.Policy, []byte(g.Text), claims); err != nil {
		return nil, false, fmt.Errorf("the policy in the record: %w", err)
	}
	return p, g.Enforced, nil
}

// parse reads and checks a policy. Each error begins with file and line.
func parse(name string, text []byte, claims []record.Claim) (*Policy, error) {
	d := document{name: name}
	if name == "" {
		d.name = "default policy"
	}
	p := &Policy{name: name, text: string(text)}
	if err := d.decode(text, p); err != nil {
		return nil, err
	}
	p.check(&d, claims)
	return p, errors.Join(d.problems...)
}

// check finds what the types alone let pass.
func (p *Policy) check(d *document, claims []record.Claim) {
	d.require("schema")
	if d.require("claims", "mustHold") {
		p.checkSelection(d, claims)
	}
	if d.require("claims", "exceptions") {
		for i := range p.Claims.Exceptions {
			p.checkException(d, i, claims)
		}
	}
	for _, number := range []struct {
		value float64
		least float64
		path  []any
	}{
		{float64(p.Tolerate.Inconclusive), 0, []any{"tolerate", "inconclusive"}},
		{float64(p.Tolerate.Skipped), 0, []any{"tolerate", "skipped"}},
		{float64(p.Regression.Records), 1, []any{"regression", "records"}},
		{float64(p.Regression.Least), 1, []any{"regression", "least"}},
		{p.Regression.Spreads, 0, []any{"regression", "spreads"}},
		{p.Regression.Relative, 0, []any{"regression", "relative"}},
		{p.Regression.Seconds, 0, []any{"regression", "seconds"}},
		{float64(p.History.Keep), 1, []any{"history", "keep"}},
	} {
		impossible := number.value < number.least || math.IsNaN(number.value) || math.IsInf(number.value, 0)
		if d.require(number.path...) && impossible {
			d.fail(fmt.Sprintf("%v is %v, and has to be %v or more", number.path[1], number.value, number.least), number.path...)
		}
	}
	if p.Regression.Least > p.Regression.Records {
		d.fail(fmt.Sprintf("least is %d, and only %d records are looked at", p.Regression.Least, p.Regression.Records), "regression", "least")
	}
	if p.History.Keep < p.Regression.Records {
		d.fail(fmt.Sprintf("keep is %d, and %d records are to be looked at", p.History.Keep, p.Regression.Records), "history", "keep")
	}
}

func (p *Policy) checkSelection(d *document, claims []record.Claim) {
	for i, name := range p.Claims.MustHold {
		if !slices.ContainsFunc(claims, func(c record.Claim) bool { return c.ID == name || c.Group == name }) {
			d.fail(fmt.Sprintf("%q is neither a claim nor a group of the catalogue", name), "claims", "mustHold", i)
		}
		if slices.Contains(p.Claims.MustHold[:i], name) {
			d.fail(fmt.Sprintf("%q is listed twice", name), "claims", "mustHold", i)
		}
	}
}

func (p *Policy) checkException(d *document, i int, claims []record.Claim) {
	e, path := p.Claims.Exceptions[i], []any{"claims", "exceptions", i}
	for _, key := range []string{"claim", "reason", "until"} {
		d.require(append(slices.Clone(path), key)...)
	}
	if e.Claim != "" && !slices.ContainsFunc(claims, func(c record.Claim) bool { return c.ID == e.Claim }) {
		d.fail(fmt.Sprintf("the catalogue has no claim %q", e.Claim), append(path, "claim")...)
	}
	if slices.ContainsFunc(p.Claims.Exceptions[:i], func(other exception) bool { return other.Claim == e.Claim }) {
		d.fail(fmt.Sprintf("%q has an exception already", e.Claim), append(path, "claim")...)
	}
	if strings.TrimSpace(e.Reason) == "" {
		d.fail("an exception needs a reason", append(path, "reason")...)
	}
}
