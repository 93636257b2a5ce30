package gate

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"faultline/reports/record"
)

// catalogue is what the policies of these tests may name.
var catalogue = []record.Claim{{ID: "ETCD-02", Group: "ETCD"}, {ID: "ETCD-03", Group: "ETCD"}, {ID: "LEAD-01", Group: "LEAD"}, {ID: "LB-03", Group: "LB"}}

const wellFormed = `schema: 1
claims:
  mustHold: [ETCD-02, LEAD]
  exceptions:
  - claim: LB-03
    reason: ticket 4711
    until: 2027-01-31
tolerate:
  inconclusive: 3
  skipped: 0
regression:
  records: 20
  least: 10
  spreads: 6
  relative: 0.25
  seconds: 2
  since: 2026-10-01
history:
  keep: 400
`

func load(t *testing.T, text string) (*Policy, error) {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.WriteFile("policy.yaml", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load("policy.yaml", catalogue)
}

func TestDefaultPolicy(t *testing.T) {
	p, err := Load("", catalogue)
	if err != nil {
		t.Fatal(err)
	}
	if p.name != "" || len(p.Claims.MustHold) > 0 || len(p.Claims.Exceptions) > 0 || p.Regression.Records == 0 {
		t.Errorf("got %+v", p)
	}
}

func TestPolicySaysWhatItSays(t *testing.T) {
	p, err := load(t, wellFormed)
	if err != nil {
		t.Fatal(err)
	}
	until := p.Claims.Exceptions[0].Until
	since := time.Date(2026, time.October, 1, 0, 0, 0, 0, time.UTC)
	if strings.Join(p.Claims.MustHold, " ") != "ETCD-02 LEAD" || until.String() != "2027-01-31" || p.Tolerate.Inconclusive != 3 ||
		p.Regression != (regression{20, 10, 6, 0.25, 2, day{since}}) || p.History.Keep != 400 {
		t.Errorf("got %+v", p)
	}
	lastSecond := time.Date(2027, time.January, 31, 23, 59, 59, 0, time.UTC)
	if !until.covers(lastSecond) || until.covers(lastSecond.Add(time.Second)) {
		t.Error("a day ends with its last second")
	}
}

func TestPolicyRefuses(t *testing.T) {
	tests := map[string]struct{ old, new, want string }{
		"an unknown key":                {"  skipped: 0", "  jumped: 0", `policy.yaml:10: unknown key "jumped"`},
		"an unknown section":            {"history:", "colour: red\nhistory:", `policy.yaml:18: unknown key "colour"`},
		"an unknown key of a list":      {"    until: 2027-01-31", "    until: 2027-01-31\n    ticket: x", `policy.yaml:8: unknown key "ticket"`},
		"a key twice":                   {"  skipped: 0", "  skipped: 0\n  skipped: 1", "policy.yaml:11: mapping key \"skipped\" already defined at line 10"},
		"broken YAML":                   {"tolerate:", "tolerate: [", "policy.yaml:"},
		"a text for a number":           {"records: 20", "records: many", `policy.yaml:12: "many" is not a whole number`},
		"a fraction for a count":        {"records: 20", "records: 2.5", `policy.yaml:12: "2.5" is not a whole number`},
		"a number beyond all bounds":    {"records: 20", "records: 99999999999999999999", "policy.yaml:12: "},
		"a text for a fraction":         {"relative: 0.25", "relative: much", "policy.yaml:15: `much` is not a number"},
		"a list for a number":           {"seconds: 2", "seconds: [2]", "policy.yaml:16: is not a number"},
		"a number for a section":        {"history:\n  keep: 400", "history: 3", "policy.yaml:18: `3` is not a mapping or list"},
		"no number":                     {"relative: 0.25", "relative: .nan", "policy.yaml:15: relative is NaN"},
		"an endless number":             {"spreads: 6", "spreads: .inf", "policy.yaml:14: spreads is +Inf"},
		"a negative tolerance":          {"inconclusive: 3", "inconclusive: -1", "policy.yaml:9: inconclusive is -1, and has to be 0 or more"},
		"no record at all":              {"records: 20", "records: 0", "policy.yaml:12: records is 0, and has to be 1 or more"},
		"more than are looked at":       {"least: 10", "least: 21", "policy.yaml:13: least is 21, and only 20 records are looked at"},
		"fewer kept than looked at":     {"keep: 400", "keep: 19", "policy.yaml:19: keep is 19, and 20 records"},
		"a missing number":              {"  spreads: 6\n", "", "policy.yaml:12: spreads is missing"},
		"a missing section":             {"history:\n  keep: 400\n", "", "policy.yaml:1: keep is missing"},
		"a number without value":        {"keep: 400", "keep:", "policy.yaml:19: keep is missing"},
		"an unknown claim":              {"[ETCD-02, LEAD]", "[ETCD-02, LEAD, ETCD-99]", `policy.yaml:3: "ETCD-99" is neither a claim nor a group`},
		"a claim twice":                 {"[ETCD-02, LEAD]", "[LEAD, LEAD]", `policy.yaml:3: "LEAD" is listed twice`},
		"no claim":                      {"[ETCD-02, LEAD]", "[]", "policy.yaml:3: want all, or a list"},
		"another word than all":         {"[ETCD-02, LEAD]", "most", "policy.yaml:3: want all, or a list"},
		"an exception of no claim":      {"claim: LB-03", "claim: LB-99", `policy.yaml:5: the catalogue has no claim "LB-99"`},
		"an exception without a reason": {"reason: ticket 4711", `reason: " "`, "policy.yaml:6: an exception needs a reason"},
		"an exception without an end":   {"    until: 2027-01-31\n", "", "policy.yaml:5: until is missing"},
		"an exception without a claim":  {"- claim: LB-03\n    reason", "- reason", "policy.yaml:5: claim is missing"},
		"a day that never was":          {"2027-01-31", "2027-02-31", `policy.yaml:7: "2027-02-31" is not a date`},
		"an exception twice": {"tolerate:", "  - {claim: LB-03, reason: again, until: 2027-01-31}\ntolerate:",
			`policy.yaml:8: "LB-03" has an exception already`},
		"a newer schema":    {"schema: 1", "schema: 2", `policy.yaml:1: schema is "2" and this faultline reads 1: use the faultline`},
		"no schema":         {"schema: 1\n", "", "schema is missing"},
		"a second document": {"  keep: 400\n", "  keep: 400\n---\nschema: 1\n", "policy.yaml:20: a second document begins"},
		"an empty file":     {wellFormed, "", "policy.yaml:1: a policy is a mapping"},
		"a list":            {wellFormed, "- schema: 1\n", "policy.yaml:1: a policy is a mapping"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(wellFormed, test.old, test.new, 1)
			if text == wellFormed {
				t.Fatal("the test changes nothing")
			}
			if _, err := load(t, text); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v; want %q", err, test.want)
			}
		})
	}
}

func TestEveryProblemOfAPolicyIsTold(t *testing.T) {
	text := strings.NewReplacer("keep: 400", "keep: 0", "until: 2027-01-31", "until: 2027-01-31", "least: 10", "least: -1").Replace(wellFormed)
	_, err := load(t, text)
	for _, want := range []string{"policy.yaml:13: ", "policy.yaml:19: "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in %v", want, err)
		}
	}
}

func TestMissingPolicy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none.yaml")
	if _, err := Load(path, catalogue); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
}

func TestPolicyOfTheRecord(t *testing.T) {
	p, enforced, err := Recorded(nil, catalogue)
	if err != nil || enforced || p.name != "" {
		t.Errorf("a run without gate: %+v, %t, %v", p, enforced, err)
	}
	g := &record.Gate{Policy: "mine.yaml", Text: strings.Replace(wellFormed, "inconclusive: 3", "inconclusive: 7", 1), Enforced: true}
	p, enforced, err = Recorded(g, catalogue)
	if err != nil || !enforced || p.Tolerate.Inconclusive != 7 {
		t.Errorf("got %+v, %t, %v", p, enforced, err)
	}
	g.Text = "schema: 9\n"
	if _, _, err = Recorded(g, catalogue); err == nil || !strings.Contains(err.Error(), "in the record: mine.yaml:1:") {
		t.Errorf("got %v", err)
	}
}
