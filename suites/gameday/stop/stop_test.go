package stop

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

func ptr(f float64) *float64 { return &f }

func TestDurationIsWrittenAsRead(t *testing.T) {
	for d, text := range map[time.Duration]string{
		0: "0s", 90 * time.Second: "90s", time.Hour: "3600s", 1500 * time.Millisecond: "1.5s", -time.Second: "-1s",
	} {
		var fromYAML, fromJSON struct{ D Duration }
		written, err := yaml.Marshal(struct{ D Duration }{Duration(d)})
		if err != nil || string(written) != "d: "+text+"\n" {
			t.Errorf("%s is written as %q: %v", d, written, err)
		}
		if err := yaml.Unmarshal(written, &fromYAML); err != nil || time.Duration(fromYAML.D) != d {
			t.Errorf("%q is read as %s: %v", written, fromYAML.D, err)
		}
		inJSON, err := json.Marshal(struct{ D Duration }{Duration(d)})
		if err != nil || string(inJSON) != `{"D":"`+text+`"}` {
			t.Errorf("%s is written as %q: %v", d, inJSON, err)
		}
		if err := json.Unmarshal(inJSON, &fromJSON); err != nil || time.Duration(fromJSON.D) != d {
			t.Errorf("%q is read as %s: %v", inJSON, fromJSON.D, err)
		}
	}
	for _, text := range []string{"d: 90", "d: 0", "d: soon", "d: [90s]", "d: true"} {
		var got struct{ D Duration }
		if err := yaml.Unmarshal([]byte(text), &got); err == nil {
			t.Errorf("%q is read as %s", text, got.D)
		}
	}
}

func TestValidate(t *testing.T) {
	valid := func() Limits {
		return Limits{ErrorRate: 0.05, Latency: Duration(time.Second), QuorumMargin: 1, Prometheus: []Query{
			{"errors", "https://me:secret@prometheus.example.org/prefix", "up", ptr(1), ptr(0)},
			{"queue", "http://127.0.0.1:9090", "up", nil, ptr(0)},
		}}
	}
	for _, c := range []struct {
		name   string
		change func(*Limits)
		want   string
	}{
		{"all limits", func(*Limits) {}, ""},
		{"no limits", func(l *Limits) { *l = Limits{QuorumMargin: NoMargin} }, ""},
		{"everything may fail", func(l *Limits) { l.ErrorRate = 1 }, ""},
		{"one value only", func(l *Limits) { l.Prometheus[0].Below = ptr(1) }, ""},
		{"more than everything may fail", func(l *Limits) { l.ErrorRate = 1.01 }, "stop.errorRate: want a share of 0 to 1"},
		{"a negative share", func(l *Limits) { l.ErrorRate = -0.01 }, "stop.errorRate"},
		{"a share that is no number", func(l *Limits) { l.ErrorRate = math.NaN() }, "stop.errorRate"},
		{"a negative latency", func(l *Limits) { l.Latency = -1 }, "stop.latency"},
		{"a short window", func(l *Limits) { l.Window = 1 }, "stop.window"},
		{"a negative contact", func(l *Limits) { l.Contact = -1 }, "stop.contact"},
		{"an impossible margin", func(l *Limits) { l.QuorumMargin = -2 }, "stop.quorumMargin"},
		{"no name", func(l *Limits) { l.Prometheus[0].Name = " " }, "stop.prometheus[0].name"},
		{"the same name", func(l *Limits) { l.Prometheus[1].Name = "errors" }, "stop.prometheus[1].name"},
		{"no query", func(l *Limits) { l.Prometheus[0].Query = "" }, "stop.prometheus[0].query"},
		{"no limit", func(l *Limits) { l.Prometheus[1].Below = nil }, "stop.prometheus[1]: want above or below"},
		{"no number", func(l *Limits) { l.Prometheus[1].Below = ptr(math.NaN()) }, "stop.prometheus[1].below"},
		{"an endless limit", func(l *Limits) { l.Prometheus[0].Above = ptr(math.Inf(1)) }, "stop.prometheus[0].above"},
		{"no value left", func(l *Limits) { l.Prometheus[0].Below = ptr(1.5) }, "stop.prometheus[0].below: want at most 1"},
		{"a file", func(l *Limits) { l.Prometheus[0].URL = "file:///etc/secret" }, "stop.prometheus[0].url: want an address"},
		{"no scheme", func(l *Limits) { l.Prometheus[0].URL = "secret:9090" }, "stop.prometheus[0].url"},
		{"no host", func(l *Limits) { l.Prometheus[0].URL = "http://me:secret@" }, "stop.prometheus[0].url"},
		{"no port", func(l *Limits) { l.Prometheus[0].URL = "http://me:secret/x@host" }, "stop.prometheus[0].url"},
		{"a token", func(l *Limits) { l.Prometheus[0].URL = "http://host/?token=secret" }, "stop.prometheus[0].url"},
	} {
		l := valid()
		c.change(&l)
		err := l.Validate()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want)) {
			t.Errorf("%s: want %q, got %v", c.name, c.want, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error tells a secret: %v", c.name, err)
		}
	}
}

func TestDefaults(t *testing.T) {
	if l := (Limits{}).Filled(); l.Window != DefaultWindow || l.Contact != DefaultContact {
		t.Errorf("got %+v", l)
	}
	set := Limits{Window: Duration(time.Second), Contact: Duration(time.Minute)}
	if l := set.Filled(); !reflect.DeepEqual(l, set) {
		t.Errorf("got %+v", l)
	}
}

func TestJudge(t *testing.T) {
	limits := Limits{ErrorRate: 0.1, Latency: Duration(time.Second), QuorumMargin: 1, Contact: Duration(20 * time.Second)}
	quiet := Seen{ErrorRate: 0.1, Latency: time.Second, Samples: 50, Margin: 1, Silent: 20 * time.Second}
	for _, c := range []struct {
		name   string
		change func(*Limits, *Seen)
		met    []bool // error rate, latency, quorum margin, contact
	}{
		{"everything at its limit", func(*Limits, *Seen) {}, []bool{false, false, false, false}},
		{"more failures", func(_ *Limits, s *Seen) { s.ErrorRate = 0.11 }, []bool{true, false, false, false}},
		{"failures that are no number", func(_ *Limits, s *Seen) { s.ErrorRate = math.NaN() }, []bool{true, false, false, false}},
		{"slower", func(_ *Limits, s *Seen) { s.Latency++ }, []bool{false, true, false, false}},
		{"fewer members", func(_ *Limits, s *Seen) { s.Margin = 0 }, []bool{false, false, true, false}},
		{"silence", func(_ *Limits, s *Seen) { s.Silent++ }, []bool{false, false, false, true}},
		{"no samples, yet", func(_ *Limits, s *Seen) { s.Samples, s.ErrorRate = 0, math.NaN() }, []bool{false, false, false, false}},
		{"no samples any more", func(_ *Limits, s *Seen) { s.Samples, s.Silent = 0, time.Minute }, []bool{false, false, false, true}},
		{"the default contact", func(l *Limits, s *Seen) { l.Contact, s.Silent = 0, 30*time.Second }, []bool{false, false, false, false}},
		{"beyond the default contact", func(l *Limits, s *Seen) { l.Contact, s.Silent = 0, 31*time.Second }, []bool{false, false, false, true}},
		{"no margin left, as is allowed", func(l *Limits, s *Seen) { l.QuorumMargin, s.Margin = 0, 0 }, []bool{false, false, false, false}},
		{"a lost quorum", func(l *Limits, s *Seen) { l.QuorumMargin, s.Margin = 0, -1 }, []bool{false, false, true, false}},
	} {
		l, s := limits, quiet
		c.change(&l, &s)
		var met []bool
		var names []string
		for _, f := range l.Judge(s) {
			met, names = append(met, f.Met), append(names, f.Name)
		}
		if !reflect.DeepEqual(met, c.met) || !reflect.DeepEqual(names, []string{"error rate", "latency", "quorum margin", "contact"}) {
			t.Errorf("%s: want %v, got %v of %v", c.name, c.met, met, names)
		}
	}
}

func TestJudgeLeavesOutWhatHasNoLimit(t *testing.T) {
	awful := Seen{ErrorRate: 1, Latency: time.Hour, Samples: 9, Margin: -3}
	got := Limits{QuorumMargin: NoMargin}.Judge(awful)
	if want := []Finding{{"contact", "silent for 0s", "at most 30s", false}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}

func TestFindingsAreForPeople(t *testing.T) {
	l := Limits{ErrorRate: 0.05, Latency: Duration(500 * time.Millisecond), QuorumMargin: 1}
	want := []Finding{
		{"error rate", "12.5%", "at most 5%", true},
		{"latency", "90ms", "at most 500ms", false},
		{"quorum margin", "0", "at least 1", true},
		{"contact", "silent for 2s", "at most 30s", false},
	}
	if got := l.Judge(Seen{0.125, 90 * time.Millisecond, 8, 0, 2 * time.Second}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}

func TestConditions(t *testing.T) {
	l := Limits{ErrorRate: 0.05, Latency: Duration(time.Second), QuorumMargin: 1, Prometheus: []Query{
		{"errors", "https://me:secret@prometheus.example.org/x", "sum(errors)", ptr(3), nil},
	}}
	text := strings.Join(l.Conditions(), "\n")
	for _, want := range []string{"more than 5%", "exceeds 1s", "quorum with 1 more", "more than 30s", "sum(errors) at https://prometheus.example.org) is not at most 3"} {
		if !strings.Contains(text, want) {
			t.Errorf("want %q in:\n%s", want, text)
		}
	}
	if strings.Contains(text, "secret") || strings.Contains(text, "me:") {
		t.Errorf("credentials are told:\n%s", text)
	}
	if got := (Limits{QuorumMargin: NoMargin}).Conditions(); len(got) != 1 {
		t.Errorf("want the contact only, got %q", got)
	}
}
