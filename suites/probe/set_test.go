package probe

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"faultline/clusters"
	"faultline/reports/record"
)

func TestASetSeesAHealthyAPIAndStopsCleanly(t *testing.T) {
	before := runtime.NumGoroutine()
	server := serve(t, newFakeAPI())
	s := newSet(Options{})
	if err := s.addDoors([]door{doorOf("load-balancer", server), doorOf("n1", server)}); err != nil {
		t.Fatal(err)
	}
	s.launch(t.Context())
	eventually(t, "every probe to be up", func() bool {
		for _, line := range s.Timelines() {
			if last, ok := line.Last(); !ok || last.Way != record.Up {
				return false
			}
		}
		return s.Completions(Schedule).Up(0, time.Hour) > 2
	})
	s.halt(t.Context())
	if n := s.Ledger().missed(); n != 0 {
		t.Errorf("%d acknowledged writes were not delivered before the stop", n)
	}
	if n := len(s.Of(Watch)); n != 1 {
		t.Errorf("%d watches, want one through the front", n)
	}
	if cached := s.Of(CachedRead); len(cached) != 1 || cached[0].Vantage() != "n1" {
		t.Errorf("cached reads %v, want one of the API server itself", cached)
	}
	if v, ok := s.Leases().Holder("kube-scheduler", s.Clock().Now()); !ok || v.Holder != "n1_abc" {
		t.Errorf("lease %+v", v)
	}
	server.CloseClientConnections()
	for _, p := range s.watchers {
		p.caller.close()
	}
	count := len(s.Timelines()[0].Samples(0, time.Hour))
	eventually(t, "the goroutines to end", func() bool { return runtime.NumGoroutine() <= before+40 })
	if n := len(s.Timelines()[0].Samples(0, time.Hour)); n != count {
		t.Error("samples are taken after the stop")
	}
}

func TestAnUnknownTimelineIsNamedWithTheKnownOnes(t *testing.T) {
	s := newSet(Options{})
	s.timeline(Write, "n1", time.Second)
	if _, err := s.Timeline(Write, "n1"); err != nil {
		t.Error(err)
	}
	_, err := s.Timeline(Write, "n9")
	if err == nil || !strings.Contains(err.Error(), `no probe write at "n9"; there are: write at n1`) {
		t.Errorf("error %v", err)
	}
}

func TestAProbeComesBackAfterAFrozenAndADeadServer(t *testing.T) {
	var frozen atomic.Bool
	hold := make(chan struct{})
	api := newFakeAPI()
	server := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if frozen.Load() {
			select {
			case <-hold:
			case <-r.Context().Done():
			}
		}
		api.ServeHTTP(w, r)
	}))
	address := server.Listener.Addr().String()
	d := doorOf("n1", server)
	d.width = 2
	reader, err := newConsistentReader(d, "x", 300*ms)
	if err != nil {
		t.Fatal(err)
	}
	s := samplerOf(20*ms, reader.take)
	s.inFlight = 40
	set := &Set{clock: s.clock, opts: Options{Interval: 20 * ms}, samplers: []*sampler{s}, ledger: newLedger("x")}
	set.launch(t.Context())
	defer func() { set.halt(t.Context()) }()
	wayAfter := func(what string, way record.Way) {
		t.Helper()
		now := s.clock.Now()
		eventually(t, what, func() bool { return s.timeline.Ways(now, time.Hour)[way] > 3 })
	}
	wayAfter("answers", record.Up)
	frozen.Store(true)
	wayAfter("time-outs", record.TimedOut)
	frozen.Store(false)
	close(hold)
	wayAfter("answers after the freeze", record.Up)
	server.CloseClientConnections()
	server.Listener.Close()
	wayAfter("refusals", record.Refused)
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Skip("the address was taken meanwhile: ", err)
	}
	again := &http.Server{Handler: api, TLSConfig: server.TLS, ErrorLog: quiet()}
	go again.ServeTLS(listener, "", "")
	defer again.Close()
	wayAfter("answers after the return", record.Up)
}

func TestReadsTakeBothWaysInTurn(t *testing.T) {
	var seen []string
	done := make(chan string, 10)
	server := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { done <- r.URL.String() }))
	cached, err := newCachedReader(doorOf("n1", server), "x", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		cached.take(t.Context())
		seen = append(seen, <-done)
	}
	slices.Sort(seen)
	want := []string{
		"/api/v1/namespaces/x/configmaps/anchor?timeout=750ms&resourceVersion=0",
		"/api/v1/namespaces/x/configmaps?timeout=750ms&resourceVersion=0&labelSelector=faultline/anchor",
	}
	if !slices.Equal(seen, want) {
		t.Errorf("asked\n%q, want\n%q", seen, want)
	}
}

func TestInClusterStream(t *testing.T) {
	clock := NewClock()
	began := kernelClock()
	var open atomic.Bool
	open.Store(true)
	server := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !open.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		lines := json.NewEncoder(w)
		for i, fault := range []string{"", "dial tcp 10.96.0.1:443: connect: connection refused"} {
			lines.Encode(map[string]any{"target": "api", "start_ns": int64(began) + int64(i), "latency_ns": 1000, "status": 200 * (1 - i), "error": fault})
		}
		open.Store(false)
	}))
	line := NewTimeline(ServiceAPI, InCluster("n1"), 10*ms)
	i := newInside(clock, WorkloadNode{Name: "n1", Address: "127.0.0.1"}, time.Second, 10*ms, map[string]*Timeline{"api": line})
	i.url, i.transport = server.URL+"/client", server.Client().Transport.(*http.Transport)
	set := &Set{clock: clock, opts: Options{Interval: 10 * ms}, insides: []*inside{i}, ledger: newLedger("x")}
	set.launch(t.Context())
	defer func() { set.halt(t.Context()) }()
	eventually(t, "the stream's end to count", func() bool { return len(line.Samples(0, time.Hour)) > 4 })
	all := line.Samples(0, time.Hour)
	if all[0].Way != record.Up || all[0].At > 50*ms {
		t.Errorf("the first sample is %+v, want up at about zero", all[0])
	}
	if all[1].Way != record.Refused || all[1].Blind || !strings.Contains(all[1].Detail, "10.96.0.1") {
		t.Errorf("the second sample is %+v, want the client's refusal", all[1])
	}
	if last := all[len(all)-1]; !last.Down() || !last.Blind || !strings.Contains(last.Detail, "the stream of the client") {
		t.Errorf("without a stream the sample is %+v", last)
	}
}

func TestWorkloadManifests(t *testing.T) {
	ds := nodeDaemonSet(WorkloadOptions{Image: "img:1", Interval: 50 * ms, Timeout: time.Second}, "10.96.0.9").Spec.Template.Spec
	args := fmt.Sprint(ds.Containers[0].Args)
	for _, want := range []string{"serve -interval 50ms -timeout 1s", "-target web=http://10.96.0.9:80/", "-target api=https://kubernetes.default.svc/version"} {
		if !strings.Contains(args, want) {
			t.Errorf("arguments %s lack %q", args, want)
		}
	}
	if ds.Containers[0].Ports[0].HostPort != HostPort || ds.Containers[0].ImagePullPolicy != "Never" || len(ds.Tolerations) != 0 {
		t.Errorf("pod %+v", ds)
	}
	web := webDeployment(WorkloadOptions{Image: "img:1"})
	if *web.Spec.Replicas != 2 || web.Spec.Template.Labels[clusters.AppLabel] != webService().Spec.Selector[clusters.AppLabel] {
		t.Errorf("web %+v", web.Spec)
	}
}
