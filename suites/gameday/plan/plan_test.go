package plan

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"faultline/suites/gameday/stop"
)

func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "200"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

const (
	cluster = "0f6a1c4e-2b7d-4c1a-9d53-7f0f3e5b8a21"
	owner   = "7a11d0c2-93b4-4a68-8a0e-51f6f1f0c9d4/4711"
)

var (
	created   = time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)
	authentic = "sha256:" + strings.Repeat("0f", 32)
)

// example is a plan with everything that a plan may say.
func example() Plan {
	limit := 0.5
	return Plan{
		Version: Version, CreatedAt: created, ExpiresAt: created.Add(12 * time.Hour),
		Target: Target{
			Name: "staging", Server: "https://10.0.0.10:6443", CA: authentic, UID: cluster, Consent: owner,
			Nodes: []Node{
				{"n1", "control-plane", "h1", "10.0.0.1", []string{"etcd", "kube-apiserver", "kube-scheduler"}},
				{"n2", "control-plane", "h2", "10.0.0.2", []string{"etcd", "etcd", "kube-scheduler"}},
				{"n3", "worker", "", "", nil},
			},
		},
		Unknown: []string{"the hosts of n3"},
		Experiments: []Experiment{{
			Name: "scheduler-leader", Fault: "hold-down", Family: "process", Targets: []string{"kube-scheduler on n1"}, Nodes: []string{"n1"},
			Hold: Duration(90 * time.Second), Predicted: Prediction{true, true}, Takes: Duration(2 * time.Minute), Undo: "the loop is stopped",
		}, {
			Name: "api-servers", Fault: "partition", Family: "network", Targets: []string{"packets from n2, n3 to n1", "packets from n1 to n2"}, Nodes: []string{"n1"},
			Losing: []string{"kube-apiserver"}, Hold: Duration(time.Hour), Predicted: Prediction{}, Takes: Duration(90 * time.Minute), Undo: "the rules go",
		}},
		Stop: stop.Limits{ErrorRate: 0.5, Latency: Duration(1500 * time.Millisecond), Window: Duration(5 * time.Second), Contact: Duration(time.Minute), QuorumMargin: 1,
			Prometheus: []stop.Query{{Name: "errors", URL: "https://me:secret@prometheus.example.org", Query: "sum(\n  errors\n)", Above: &limit}}},
	}
}

func written(t interface {
	Helper()
	Fatal(...any)
}, p Plan) string {
	t.Helper()
	var out bytes.Buffer
	if err := p.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestReadGivesWhatWriteTook(t *testing.T) {
	text := written(t, example())
	got, err := Read(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if want := example(); !reflect.DeepEqual(got, want) {
		t.Errorf("want %+v\ngot %+v\nfrom\n%s", want, got, text)
	}
	for _, want := range []string{"# The plan of a game day", "make gameday FAULTLINE_PLAN=", "executes nothing by itself", "hold: 90s", "quorumMargin: 1", "losing: []"} {
		if !strings.Contains(text, want) {
			t.Errorf("want %q in\n%s", want, text)
		}
	}
}

func TestWriteTellsDefaultsAndTimesPlainly(t *testing.T) {
	p := example()
	p.Stop = stop.Limits{QuorumMargin: stop.NoMargin}
	p.CreatedAt = created.Add(time.Millisecond).In(time.FixedZone("CET", 3600))
	p.Unknown = []string{"\x1b[31mno ssh\r\nto n3\x1b[0m"}
	text := written(t, p)
	for _, want := range []string{"window: 10s", "contact: 30s", "quorumMargin: -1", "createdAt: 2026-11-25T09:00:00Z"} {
		if !strings.Contains(text, want) {
			t.Errorf("want %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, `\e`) || strings.Contains(text, `\r`) || !strings.HasPrefix(p.Unknown[0], "\x1b") {
		t.Errorf("got %q in\n%s", p.Unknown, text)
	}
}

func TestWriteRefusesWhatCouldNotBeRun(t *testing.T) {
	p := example()
	p.Experiments = nil
	var out bytes.Buffer
	if err := p.Write(&out); err == nil || !strings.Contains(err.Error(), "experiments: want at least one") || out.Len() > 0 {
		t.Errorf("got %v and %q", err, out.String())
	}
	if err := example().Write(failing{}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("got %v", err)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestReadRefuses(t *testing.T) {
	valid := written(t, example())
	for _, c := range []struct{ name, old, replacement, want string }{
		{"another version", "version: 1", "version: 2", "version: want 1, not 2"},
		{"an expiry before the creation", "expiresAt: 2026-11-25T21", "expiresAt: 2026-11-25T09", "expiresAt: want a time after createdAt"},
		{"no experiments", valid[strings.Index(valid, "experiments:"):strings.Index(valid, "stop:")], "experiments: []\n", "experiments: want at least one"},
		{"a short hold", "hold: 90s", "hold: 999ms", "experiments[0].hold: want 1s to 3600s, not 999ms"},
		{"a long hold", "hold: 3600s", "hold: 3601s", "experiments[1].hold: want 1s to 3600s"},
		{"a hold without a unit", "hold: 90s", "hold: 90", "experiments[0].hold: want a duration with its unit"},
		{"no time", "takes: 120s", "takes: 0s", "experiments[0].takes: want"},
		{"the same name", "name: api-servers", "name: scheduler-leader", `experiments[1].name: "scheduler-leader" is there twice`},
		{"a target on a foreign node", "kube-scheduler on n1", "kube-scheduler on n9", `experiments[0].targets[0]: the cluster has no node "n9"`},
		{"a target that is no experiment's", "kube-scheduler on n1", "kube-scheduler on n2", "experiments[0].targets[0]: \"kube-scheduler on n2\" is not on the experiment's nodes, which are n1"},
		{"packets from a foreign node", "from n2, n3 to", "from n2, n9 to", `experiments[1].targets[0]: the cluster has no node "n9"`},
		{"packets to a foreign node", "from n1 to n2", "from n1 to n9", `experiments[1].targets[1]: the cluster has no node "n9"`},
		{"packets around a foreign node", "packets from n1 to n2", "packets around n9", `experiments[1].targets[1]: the cluster has no node "n9"`},
		{"a foreign node", "    nodes:\n      - n1", "    nodes:\n      - n1\n      - n9", `experiments[0].nodes[1]: the cluster has no node "n9"`},
		{"no nodes", "    nodes:\n      - n1", "    nodes: []", "experiments[0].nodes: want those of the targets"},
		{"no targets", "    targets:\n      - kube-scheduler on n1", "    targets: []", "experiments[0].targets: want at least one"},
		{"an unknown fault", "fault: hold-down", "fault: hold-up", `experiments[0].fault: there is no fault "hold-up"`},
		{"another family", "family: process", "family: network", "experiments[0].family: want process, which hold-down belongs to"},
		{"an unknown component", "- kube-apiserver\n    hold", "- kube-server\n    hold", `experiments[1].losing[0]: there is no component "kube-server"`},
		{"a short digest", authentic, authentic[:70], "target.ca: want sha256:"},
		{"a long digest", authentic, authentic + "0", "target.ca: want sha256:"},
		{"an empty revision of the consent", owner, owner[:37], "target.consent: want UID and resourceVersion"},
		{"two revisions of the consent", owner, owner + "/1", "target.consent: want UID and resourceVersion"},
		{"another digest", authentic, "sha512" + authentic[6:], "target.ca: want sha256:"},
		{"a long UID", cluster + "\n", cluster + "0\n", "target.uid: want the UID"},
		{"no revision of the consent", owner, owner[:36], "target.consent: want UID and resourceVersion"},
		{"no UID of the consent", owner, "4711/" + owner[:36], "target.consent: want UID and resourceVersion"},
		{"no encryption", "https://10", "http://10", "target.server: want an https URL"},
		{"credentials", "https://10", "https://me:pw@10", "target.server: want an https URL"},
		{"no cluster nodes", valid[strings.Index(valid, "  nodes:"):strings.Index(valid, "unknown:")], "  nodes: []\n", "target.nodes: want at least one"},
		{"a node that is there twice", "name: n2", "name: n1", `target.nodes[1].name: "n1" is there twice`},
		{"an impossible error rate", "errorRate: 0.5", "errorRate: 50", "stop.errorRate: want a share"},
		{"no error rate", "  errorRate: 0.5\n", "", "stop.errorRate: is missing"},
		{"a condition without a limit", "      above: 0.5\n", "", "stop.prometheus[0]: want above or below"},
		{"an unknown key", "version: 1", "version: 1\nforce: true", "force: unknown key"},
		{"a key that is there twice", "version: 1", "version: 1\nversion: 1", "version: is there twice"},
		{"an escape sequence", "undo: the loop is stopped", `undo: "\e[1A"`, "experiments[0].undo: want a readable text"},
		{"a second plan", "version: 1", "version: 1\n---\nversion: 1", "something follows the first document"},
	} {
		text := strings.Replace(valid, c.old, c.replacement, 1)
		if text == valid {
			t.Fatalf("%s: nothing is replaced in\n%s", c.name, valid)
		}
		got, err := Read(strings.NewReader(text))
		if err == nil || !strings.Contains(err.Error(), c.want) || !reflect.DeepEqual(got, Plan{}) {
			t.Errorf("%s: want %q, got %v", c.name, c.want, err)
		}
	}
}

func TestReadFindsEverything(t *testing.T) {
	p := example()
	p.Experiments[0].Fault, p.Experiments[1].Hold, p.Target.UID = "nothing", 0, "none"
	err := p.Write(io.Discard)
	if err == nil {
		t.Fatal("want problems")
	}
	for _, field := range []string{"experiments[0].fault", "experiments[1].hold", "target.uid"} {
		if strings.Count(err.Error(), field) != 1 {
			t.Errorf("want %s in:\n%v", field, err)
		}
	}
}

func TestReadIsLimited(t *testing.T) {
	text := written(t, example())
	fits := text + "#" + strings.Repeat("x", maxSize-len(text)-1)
	if _, err := Read(strings.NewReader(fits)); err != nil {
		t.Errorf("1 MiB is refused: %v", err)
	}
	if _, err := Read(strings.NewReader(fits + "x")); err == nil || !strings.Contains(err.Error(), "more than 1048576 bytes") {
		t.Errorf("got %v", err)
	}
	if _, err := Read(iotest.ErrReader(io.ErrUnexpectedEOF)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Target)
		after  time.Duration
		want   []string
	}{
		{"the same", func(*Target) {}, 0, nil},
		{"until it expires", func(*Target) {}, 12*time.Hour - 1, nil},
		{"another order", func(t *Target) {
			t.Nodes = []Node{t.Nodes[2], t.Nodes[1], t.Nodes[0]}
			t.Nodes[1].Components = []string{"etcd", "kube-scheduler", "etcd"}
		}, 0, nil},
		{"another name", func(t *Target) { t.Name = "stage" }, 0, nil},
		{"expired", func(*Target) {}, 12 * time.Hour, []string{"the plan has expired at 2026-11-25T21:00:00Z"}},
		{"another CA", func(t *Target) { t.CA = "sha256:" + strings.Repeat("f0", 32) }, 0, []string{"the cluster's CA is another one: this is another cluster"}},
		{"another UID", func(t *Target) { t.UID = owner[:36] }, 0, []string{"the UID of the namespace kube-system is another one"}},
		{"another server", func(t *Target) { t.Server = "https://10.0.0.11:6443" }, 0, []string{"the cluster's server is another one"}},
		{"another consent", func(t *Target) { t.Consent += "0" }, 0, []string{"the consent is another one"}},
		{"no consent", func(t *Target) { t.Consent = "" }, 0, []string{"the consent is another one"}},
		{"a node less", func(t *Target) { t.Nodes = t.Nodes[:2] }, 0, []string{"node n3 has gone"}},
		{"a node more", func(t *Target) { t.Nodes = append(t.Nodes, Node{Name: "n4"}) }, 0, []string{"node n4 is new"}},
		{"a node twice", func(t *Target) { t.Nodes = append(t.Nodes, t.Nodes[0]) }, 0, []string{"node n1 is there 2 times"}},
		{"another node", func(t *Target) { t.Nodes[2].Name = "n4" }, 0, []string{"node n3 has gone", "node n4 is new"}},
		{"another address", func(t *Target) { t.Nodes[0].Address = "10.0.0.9" }, 0, []string{"node n1 has another address"}},
		{"another role and host", func(t *Target) { t.Nodes[2].Role, t.Nodes[2].Host = "etcd", "h3" }, 0, []string{"node n3 has another role", "node n3 has another host"}},
		{"a component less", func(t *Target) { t.Nodes[1].Components = []string{"etcd", "kube-scheduler"} }, 0, []string{"node n2 has another set of components"}},
		{"no cluster", func(t *Target) { *t = Target{} }, 0, []string{"CA", "UID", "server", "consent", "n1 has gone", "n2 has gone", "n3 has gone"}},
	} {
		now := example().Target
		c.change(&now)
		err := example().Matches(now, created.Add(c.after))
		if lines := reasons(err); len(lines) != len(c.want) {
			t.Errorf("%s: want %q, got %v", c.name, c.want, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: want %q, got %v", c.name, want, err)
			}
		}
	}
}

func reasons(err error) []string {
	if err == nil {
		return nil
	}
	return strings.Split(err.Error(), "\n")
}

func TestAPlanOfNothingMatchesNothing(t *testing.T) {
	p := Plan{ExpiresAt: created.Add(time.Hour)}
	if err := p.Matches(Target{}, created); len(reasons(err)) != 5 {
		t.Errorf("got %v", err)
	}
}

const terminal = `Game day on staging
   server     https://10.0.0.10:6443
   UID        0f6a1c4e-2b7d-4c1a-9d53-7f0f3e5b8a21
   CA         sha256:0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f
   consent    7a11d0c2-93b4-4a68-8a0e-51f6f1f0c9d4/4711
   expires    2026-11-25T21:00:00Z
   node       n1, control-plane, on host h1, at 10.0.0.1: etcd, kube-apiserver, kube-scheduler
   node       n2, control-plane, on host h2, at 10.0.0.2: etcd, etcd, kube-scheduler
   node       n3, worker: none

Unknown about this cluster:
 - the hosts of n3

1. scheduler-leader
   fault      hold-down (process), held for 1m30s
   targets    kube-scheduler on n1
   nodes      n1
   predicted  once elections are over the API takes writes, and a scheduler and a controller manager work
   takes      about 2m0s until all is healed
   undo       the loop is stopped

2. api-servers
   fault      partition (network), held for 1h0m0s
   targets    packets from n2, n3 to n1, packets from n1 to n2
   nodes      n1
   loses      kube-apiserver, on purpose
   predicted  the API takes no writes, and nobody schedules or controls; running workloads go on
   takes      about 1h30m0s until all is healed
   undo       the rules go

All of it takes about 1h32m0s.

Abort, and undo everything, as soon as:
 - more than 50% of the requests that should succeed fail, over 5s
 - the 99th percentile of their latency exceeds 1.5s, over 5s
 - etcd would lose its quorum with 1 more of its members, or has lost it
 - nothing has been heard from the cluster for more than 60s
 - errors (sum(   errors ) at https://prometheus.example.org) is not at most 0.5, or cannot be read
`

func TestText(t *testing.T) {
	if got := example().Text(); got != terminal {
		t.Errorf("got\n%s", got)
	}
	p := example()
	p.Unknown = nil
	p.Experiments[0].Undo = "none\x1b[2J\n1. nothing at all"
	p.Experiments[0].Predicted.Controlled = false
	got := p.Text()
	for _, want := range []string{"Unknown about this cluster:\n - nothing\n", "undo       none [2J 1. nothing at all\n", "takes writes, and nobody schedules or controls\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("want %q in\n%s", want, got)
		}
	}
}
