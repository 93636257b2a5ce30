package gameday

import (
	"bytes"
	"fmt"
	"strconv"
	"syscall"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"faultline/clusters"
	"faultline/clusters/clustertest"
)

const (
	// look is how long the cluster is watched without and with the probes.
	look = 90 * time.Second
	// inFlight is how many requests an API server serves at once by default:
	// --max-requests-inflight and --max-mutating-requests-inflight.
	inFlight = 400 + 200
	// budget is the part of that which the probes may take.
	budget = 0.01
	// ticks is the unit of the kernel's account of a process: USER_HZ, a hundredth of a second.
	ticks = 100.0
)

// spent is what has been spent until an instant, by this process and by the cluster.
type spent struct {
	at       time.Time
	own      time.Duration
	cores    map[clusters.Component]float64 // seconds of all processes of a component
	memory   map[clusters.Component]float64 // bytes that these hold now
	requests float64                        // that API servers have answered
	serving  float64                        // seconds for which these were served; watches are not
}

// TestFootprint measures what the probes of a day cost an idle cluster, by its kernels' and its
// API servers' own accounts, and holds them to a hundredth of what API servers serve at once.
func TestFootprint(t *testing.T) {
	clustertest.NeedFull(t)
	d := adopted(t)
	idle := d.during(t, look)
	d.probe(t)
	probed := d.during(t, look)
	requests, occupied := probed.requests-idle.requests, probed.serving-idle.serving
	capacity := float64(inFlight * len(d.cluster.APIServers()))
	t.Logf("API requests: %.1f a second idle, %.1f with probes: %.1f by them; served at once %.3f, %.3f, of %.0f: %.4f %%",
		idle.requests, probed.requests, requests, idle.serving, probed.serving, capacity, 100*occupied/capacity)
	for _, c := range accounted {
		t.Logf("%s: %.3f cores idle, %.3f with probes; %.0f MiB, %.0f MiB", c, idle.cores[c], probed.cores[c], idle.memory[c]/(1<<20), probed.memory[c]/(1<<20))
	}
	t.Logf("this process: %.3f cores, %.3f with probes", idle.own.Seconds(), probed.own.Seconds())
	if requests <= 0 {
		t.Error("the API servers have noticed no request of the probes: this measures something else")
	}
	if occupied > budget*capacity {
		t.Errorf("the probes keep %.2f requests in flight, more than a hundredth of %.0f", occupied, capacity)
	}
}

// accounted are the components whose processes are asked about.
var accounted = []clusters.Component{clusters.APIServer, clusters.Etcd, clusters.Kubelet}

// during is what is spent in each second of a time; memory is what is held at its end.
func (d *Day) during(t *testing.T, look time.Duration) spent {
	t.Helper()
	before := d.spent(t)
	select {
	case <-time.After(look):
	case <-t.Context().Done():
	}
	after := d.spent(t)
	seconds := after.at.Sub(before.at).Seconds()
	for c := range after.cores {
		after.cores[c] = (after.cores[c] - before.cores[c]) / seconds
	}
	after.own = time.Duration(float64(after.own-before.own) / seconds)
	after.requests = (after.requests - before.requests) / seconds
	after.serving = (after.serving - before.serving) / seconds
	return after
}

func (d *Day) spent(t *testing.T) spent {
	t.Helper()
	s := spent{at: time.Now(), cores: map[clusters.Component]float64{}, memory: map[clusters.Component]float64{}}
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	s.own = time.Duration(used.Utime.Nano() + used.Stime.Nano())
	for _, c := range accounted {
		for _, i := range d.cluster.Instances(c) {
			cores, memory := account(t, i)
			s.cores[c] += cores
			s.memory[c] += memory
		}
	}
	for _, e := range d.cluster.APIServers() {
		requests, serving := d.served(t, e)
		s.requests += requests
		s.serving += serving
	}
	return s
}

// account is the kernel's for a process: seconds of a core, and bytes of memory.
func account(t *testing.T, i clusters.Instance) (seconds, bytes float64) {
	t.Helper()
	p, err := i.Process(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out, err := i.Node.Exec(t.Context(), "sh", "-c", `cut -d ' ' -f 14,15 < "/proc/$1/stat" && grep VmRSS "/proc/$1/status"`, "sh", strconv.Itoa(p.PID))
	if err != nil {
		t.Fatal(err)
	}
	var user, system, resident float64
	if _, err := fmt.Sscanf(string(out), "%g %g\nVmRSS: %g kB", &user, &system, &resident); err != nil {
		t.Fatalf("%s: %q: %v", i, out, err)
	}
	return (user + system) / ticks, resident * 1024
}

// served is what an API server says it has answered, and for how many seconds. Watches and
// connections, which stay, have no seats.
func (d *Day) served(t *testing.T, e clusters.Endpoint) (requests, seconds float64) {
	t.Helper()
	client, err := d.cluster.Client(e)
	if err != nil {
		t.Fatal(err)
	}
	text, err := client.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range families["apiserver_request_duration_seconds"].GetMetric() {
		if verb := label(m, "verb"); verb != "WATCH" && verb != "CONNECT" {
			requests += float64(m.GetHistogram().GetSampleCount())
			seconds += m.GetHistogram().GetSampleSum()
		}
	}
	return requests, seconds
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}
