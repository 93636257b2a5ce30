package consent

import (
	"flag"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"faultline/clusters/existing"
	"faultline/suites/probe"
)

func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "200"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

const (
	cluster = "0f6a1c4e-2b7d-4c1a-9d53-7f0f3e5b8a21"
	another = "1f6a1c4e-2b7d-4c1a-9d53-7f0f3e5b8a21"
)

const wellFormed = `version: 1
cluster: ` + cluster + `
owner: platform-team@example.org
families: [process, network, lease]
namespaces: [faultline-probe]
radius:
  nodes: 1
  losing: [etcd]
hours:
  zone: Europe/Berlin
  windows:
    - {days: [mon, tue, wed, thu, fri], from: "09:00", to: "17:00"}
    - {days: [sat], from: "22:00", to: "24:00"}
expires: 2026-12-01T17:00:00+01:00
`

func TestParse(t *testing.T) {
	got, err := Parse([]byte(wellFormed))
	if err != nil {
		t.Fatal(err)
	}
	want := Consent{
		Version: 1, Cluster: cluster, Owner: "platform-team@example.org",
		Families: []string{"process", "network", "lease"}, Namespaces: []string{"faultline-probe"},
		Radius: Radius{Nodes: 1, Losing: []string{"etcd"}},
		Hours: &Hours{Zone: "Europe/Berlin", Windows: []Window{
			{[]string{"mon", "tue", "wed", "thu", "fri"}, 9 * 60, 17 * 60}, {[]string{"sat"}, 22 * 60, 24 * 60},
		}},
		Expires: got.Expires,
	}
	if !reflect.DeepEqual(got, want) || !got.Expires.Equal(time.Date(2026, 12, 1, 16, 0, 0, 0, time.UTC)) {
		t.Errorf("got %+v", got)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ name, old, replacement, want string }{
		{"another version", "version: 1", "version: 2", "version: want 1, not 2"},
		{"no version", "version: 1\n", "", "version: is missing"},
		{"no UID", cluster, "staging", "cluster: want the UID of the namespace kube-system"},
		{"a UID with a tail", cluster, cluster + "0", "cluster: want"},
		{"no owner", "owner: platform-team@example.org\n", "", "owner: is missing"},
		{"a foreign family", "process, network", "process, nuclear", `families[1]: want one of process, host,`},
		{"no family", "[process, network, lease]", "[]", "families: want at least one"},
		{"every namespace", "[faultline-probe]", `["*"]`, "namespaces[0]: want the name of one namespace"},
		{"no radius", "radius:\n  nodes: 1\n  losing: [etcd]\n", "", "radius: is missing: want a mapping with nodes, losing"},
		{"no nodes", "nodes: 1", "nodes: 0", "radius.nodes: want 1 or more, not 0"},
		{"nodes as text", "nodes: 1", "nodes: one", "radius.nodes: want a whole number"},
		{"a foreign component", "[etcd]", "[etcd, etcdd]", "radius.losing[1]: want one of etcd, kube-apiserver,"},
		{"nothing said of what may be lost", "\n  losing: [etcd]", "", "radius.losing: is missing"},
		{"a foreign zone", "Europe/Berlin", "Europe/Atlantis", "hours.zone: want a time zone"},
		{"the reader's zone", "Europe/Berlin", "Local", "hours.zone: want a time zone"},
		{"a foreign day", "[mon,", "[monday,", "hours.windows[0].days[0]: want one of sun, mon,"},
		{"no day", "[sat]", "[]", "hours.windows[1].days: want at least one"},
		{"a window that ends before it begins", `from: "09:00"`, `from: "18:00"`, "hours.windows[0].from: want a time before 17:00"},
		{"an empty window", `from: "09:00"`, `from: "17:00"`, "hours.windows[0].from: want a time before 17:00"},
		{"no time of day", `from: "09:00"`, `from: "9:00"`, `hours.windows[0].from: want a time of day such as "09:00", not "9:00"`},
		{"too late a time", `to: "24:00"`, `to: "24:01"`, "hours.windows[1].to: want a time of day"},
		{"no windows", wellFormed[strings.Index(wellFormed, "windows:"):strings.Index(wellFormed, "expires")], "windows: []\n", "hours.windows: want at least one"},
		{"no expiry", "expires: 2026-12-01T17:00:00+01:00\n", "", "expires: is missing"},
		{"an expiry in no zone", "17:00:00+01:00", "17:00:00", "expires: want a time with its zone"},
		{"the first of all times", "2026-12-01T17:00:00+01:00", "0001-01-01T00:00:00Z", "expires: want a time"},
		{"an unknown key", "version: 1", "version: 1\nforce: true", "force: unknown key"},
		{"a key that is there twice", "  nodes: 1", "  nodes: 1\n  nodes: 3", "radius.nodes: is there twice"},
	} {
		text := strings.Replace(wellFormed, c.old, c.replacement, 1)
		if text == wellFormed {
			t.Fatalf("%s: nothing is replaced", c.name)
		}
		if got, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), c.want) || !reflect.DeepEqual(got, Consent{}) {
			t.Errorf("%s: want %q, got %v and %+v", c.name, c.want, err, got)
		}
	}
}

func TestParseFindsEverything(t *testing.T) {
	_, err := Parse([]byte("version: 3\ncluster: x\nfamilies: [a, 7]\nradius: {nodes: 0}\nforce: true\n"))
	if err == nil {
		t.Fatal("want problems")
	}
	for _, field := range []string{"version", "cluster", "owner", "families[0]", "families[1]", "namespaces", "radius.nodes", "radius.losing", "expires", "force"} {
		if n := strings.Count("\n"+err.Error(), "\n"+field+":"); n != 1 {
			t.Errorf("%s is named %d times in:\n%v", field, n, err)
		}
	}
}

// at is a Wednesday in Berlin's winter.
var at = time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)

func action() Action {
	return Action{
		Cluster: cluster, Families: []string{"process", "lease"}, Namespaces: []string{"faultline-probe"},
		Nodes: []string{"n1", "n1"}, Losing: []string{"etcd"}, Until: at.Add(time.Hour),
	}
}

func TestAllows(t *testing.T) {
	c, err := Parse([]byte(wellFormed))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Allows(action(), at); err != nil {
		t.Errorf("what is allowed is refused: %v", err)
	}
	for _, s := range []struct {
		name   string
		change func(*Action)
		want   string
	}{
		{"another cluster", func(a *Action) { a.Cluster = another }, "this is another cluster"},
		{"no cluster", func(a *Action) { a.Cluster = "" }, "this is another cluster"},
		{"another family", func(a *Action) { a.Families = append(a.Families, "disk") }, `"disk" is not among the consent's families`},
		{"another namespace", func(a *Action) { a.Namespaces = append(a.Namespaces, "default") }, `"default" is not among the consent's namespaces`},
		{"another node", func(a *Action) { a.Nodes = append(a.Nodes, "n2") }, "2 nodes at the same time (n1, n2) are too many"},
		{"another loss", func(a *Action) { a.Losing = append(a.Losing, "kube-apiserver") }, `"kube-apiserver" is not among the consent's radius.losing`},
		{"no end", func(a *Action) { a.Until = time.Time{} }, "has passed"},
	} {
		a := action()
		s.change(&a)
		if err := c.Allows(a, at); err == nil || !strings.Contains(err.Error(), s.want) {
			t.Errorf("%s: want %q, got %v", s.name, s.want, err)
		}
	}
}

func TestAllowsNamesEveryReason(t *testing.T) {
	c, err := Parse([]byte(wellFormed))
	if err != nil {
		t.Fatal(err)
	}
	late := c.Expires.Add(4 * time.Hour)
	a := Action{another, []string{"disk"}, []string{"default"}, []string{"n1", "n2"}, []string{"coredns"}, late.Add(time.Minute)}
	err = c.Allows(a, late)
	if reasons, ok := err.(interface{ Unwrap() []error }); !ok || len(reasons.Unwrap()) != 7 {
		t.Errorf("want 7 reasons, got %v", err)
	}
}

func TestAConsentThatIsNoneAllowsNothing(t *testing.T) {
	if err := (Consent{}).Allows(Action{Until: at}, at); err == nil {
		t.Error("the zero consent allows something")
	}
	if (Consent{Expires: at.Add(time.Hour)}).Allows(Action{Until: at}, at) == nil {
		t.Error("a consent for no cluster allows something")
	}
	c, err := Parse([]byte(wellFormed))
	if err != nil {
		t.Fatal(err)
	}
	c.Hours.Zone = ""
	if c.Allows(action(), at) == nil {
		t.Error("hours in no zone allow something")
	}
}

func TestAllowsInItsTimeOnly(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse([]byte(wellFormed))
	if err != nil {
		t.Fatal(err)
	}
	// One that begins when another ends, and one around the hour that is there twice in October.
	c.Hours.Windows = append(c.Hours.Windows,
		Window{[]string{"sun"}, 0, 4 * 60}, Window{[]string{"mon"}, 17 * 60, 18 * 60})
	local := func(day, hour, minute, second int) time.Time {
		return time.Date(2026, 11, day, hour, minute, second, 0, berlin)
	}
	for _, s := range []struct {
		name       string
		now, until time.Time
		want       string
	}{
		{"a whole window", local(25, 9, 0, 0), local(25, 17, 0, 0), ""},
		{"now", local(25, 12, 0, 0), local(25, 12, 0, 0), ""},
		{"too early", local(25, 8, 59, 59), local(25, 10, 0, 0), "it is Wed 2026-11-25 08:59:59 CET"},
		{"too late", local(25, 16, 0, 0), local(25, 17, 0, 1), "it may last until Wed 2026-11-25 17:00:01 CET"},
		{"over night", local(25, 16, 0, 0), local(26, 10, 0, 0), "it may last until Thu"},
		{"for a week", local(16, 10, 0, 0), local(23, 10, 0, 0), "it may last until Mon"},
		{"another day", local(28, 10, 0, 0), local(28, 11, 0, 0), "it is Sat"},
		{"the evening", local(28, 22, 0, 0), local(28, 23, 59, 59), ""},
		{"over midnight, from window to window", local(28, 23, 0, 0), local(29, 1, 0, 0), "it may last until Sun"},
		{"from window to window", local(23, 16, 30, 0), local(23, 17, 30, 0), "it may last until Mon"},
		{"on both sides of a bound", local(23, 17, 0, 0), local(23, 18, 0, 0), ""},
		{"until the expiry", local(30, 10, 0, 0), local(30, 16, 0, 0), ""},
		{"beyond the expiry", time.Date(2026, 12, 1, 16, 0, 0, 0, berlin), time.Date(2026, 12, 1, 17, 0, 1, 0, berlin), "the consent expires at"},
		{"just before the expiry", time.Date(2026, 12, 1, 16, 0, 0, 0, berlin), time.Date(2026, 12, 1, 17, 0, 0, 0, berlin), ""},
		{"at the expiry", time.Date(2026, 12, 1, 17, 0, 0, 0, berlin), time.Date(2026, 12, 1, 17, 0, 0, 0, berlin), "has expired"},
		{"backwards", local(25, 12, 0, 0), local(25, 11, 59, 59), "has passed"},
		{"in another zone", local(25, 12, 0, 0).UTC(), local(25, 13, 0, 0).In(time.FixedZone("east", 12*3600)), ""},
		{"while clocks are changed", time.Date(2026, 10, 25, 0, 30, 0, 0, berlin), time.Date(2026, 10, 25, 3, 30, 0, 0, berlin), "clocks of Europe/Berlin are changed"},
		{"after clocks were changed", time.Date(2026, 10, 25, 3, 0, 0, 0, berlin), time.Date(2026, 10, 25, 3, 30, 0, 0, berlin), ""},
	} {
		a := action()
		a.Until = s.until
		err := c.Allows(a, s.now)
		if s.want == "" && err != nil || s.want != "" && (err == nil || !strings.Contains(err.Error(), s.want)) {
			t.Errorf("%s: want %q, got %v", s.name, s.want, err)
		}
	}
}

func TestWithoutHoursAnyTimeIsAllowed(t *testing.T) {
	c, err := Parse([]byte(wellFormed))
	if err != nil {
		t.Fatal(err)
	}
	c.Hours = nil
	a := action()
	a.Until = at.Add(4 * 24 * time.Hour)
	if err := c.Allows(a, at); err != nil {
		t.Error(err)
	}
}

func TestTemplateIsAConsent(t *testing.T) {
	var object struct {
		APIVersion, Kind string
		Metadata         struct{ Name, Namespace string }
		Data             map[string]string
	}
	text := Template(cluster, at)
	if err := yaml.UnmarshalStrict([]byte(text), &object); err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	if object.APIVersion != "v1" || object.Kind != "ConfigMap" || object.Metadata.Name != Name || object.Metadata.Namespace != Namespace || len(object.Data) != 1 {
		t.Errorf("got %+v", object)
	}
	c, err := Parse([]byte(object.Data[Key]))
	if err != nil {
		t.Fatal(err)
	}
	if c.Cluster != cluster || !c.Expires.Equal(at.Add(8*time.Hour)) || c.Radius.Nodes != 1 || len(c.Radius.Losing) > 0 {
		t.Errorf("got %+v", c)
	}
	if need := append(probe.Namespaces(), existing.Namespace); !reflect.DeepEqual(c.Namespaces, need) {
		t.Errorf("probes and pods need %q, and the template allows %q", need, c.Namespaces)
	}
	if strings.Contains(text, "$") {
		t.Errorf("something is not filled in:\n%s", text)
	}
}
