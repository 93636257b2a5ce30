package drill

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"faultline/reports/record"
	"faultline/suites/probe"
)

const ms = time.Millisecond

// down is a time in milliseconds in which samples fail.
type down struct{ from, to int }

// sampled are samples of one each 50 ms for a minute, which take 1 ms each.
func sampled(outages ...down) []probe.Sample {
	var all []probe.Sample
	for at := 0; at < 60_000; at += 50 {
		s := probe.Sample{At: time.Duration(at) * ms, Latency: ms, Way: record.Up}
		for _, o := range outages {
			if at >= o.from && at < o.to {
				s.Way = record.Refused
			}
		}
		all = append(all, s)
	}
	return all
}

func watching(name probe.Name, outages ...down) watched {
	return watched{name, outagesOf(sampled(outages...), leastResume)}
}

func faultAt(at, landed time.Duration, name string) step {
	return step{name: name, at: at, done: landed}
}

func undoAt(at, undone time.Duration, name string) step {
	return step{name: name, undo: true, at: at, done: undone}
}

// told are recoveries in a line each.
func told(all []record.Recovery) string {
	var lines []string
	for _, r := range all {
		line := fmt.Sprintf("%s at %.1f:", r.After, r.At)
		for _, p := range r.Phases {
			line += fmt.Sprintf(" %s %.2f", p.Name, p.Seconds)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func TestRecoveries(t *testing.T) {
	killed := faultAt(10_000*ms, 10_200*ms, "kill etcd on n1")
	stopped := []step{faultAt(10_000*ms, 10_300*ms, "stop apiserver"), undoAt(30_000*ms, 30_100*ms, "stop apiserver")}
	tests := map[string]struct {
		history
		want string
	}{
		"the leader of etcd is killed": {history{
			steps:  []step{killed},
			probes: []watched{watching(probe.Write, down{10_050, 11_500}), watching(probe.Workload)},
			etcd: []probe.EtcdView{{At: 100 * ms, Leader: "n1", Term: 2}, {At: 10_300 * ms, Term: 2},
				{At: 11_200 * ms, Leader: "n3", Term: 3}, {At: 40_000 * ms, Leader: "n2", Term: 4}},
		}, "kill etcd on n1 at 10.0: landed 0.20 detected 0.05 etcd-leader 1.20 api-ready 1.50"},
		"the only etcd is killed, and comes back as leader of the next term": {history{
			steps: []step{killed}, etcd: []probe.EtcdView{{Leader: "n1", Term: 2}, {At: 12_000 * ms, Leader: "n1", Term: 3}},
		}, "kill etcd on n1 at 10.0: landed 0.20 etcd-leader 2.00"},
		"the lone API server is stopped and started": {history{
			steps: stopped,
			probes: []watched{watching(probe.Write, down{10_100, 34_000}), watching(probe.Schedule, down{10_100, 52_000}),
				watching(probe.Reconcile, down{10_100, 54_000}), watching(probe.Workload), watching(probe.Service)},
			schedulers:  []probe.LeaseView{{At: 100 * ms, Holder: "a"}, {At: 51_000 * ms, Holder: "b"}},
			controllers: []probe.LeaseView{{At: 100 * ms, Holder: "a"}, {At: 40_000 * ms}, {At: 53_000 * ms, Holder: "c"}},
		}, "stop apiserver at 10.0: landed 0.30 detected 0.10\n" +
			"undo of stop apiserver at 30.0: undone 0.10 api-ready 4.00 scheduler-lease 21.00 controller-manager-lease 23.00 pod-bound 22.00 reconciled 24.00"},
		"an outage that does not end": {history{
			steps: stopped, probes: []watched{watching(probe.Write, down{10_100, 99_000})},
		}, "stop apiserver at 10.0: landed 0.30 detected 0.10"},
		"no outage at all": {history{
			steps: stopped, probes: []watched{watching(probe.Write)}, etcd: []probe.EtcdView{{At: 100 * ms, Leader: "n1", Term: 2}},
		}, "stop apiserver at 10.0: landed 0.30"},
		"the members of a bare etcd, of which one stays down": {history{
			steps: []step{killed},
			probes: []watched{watching(probe.Put, down{10_050, 99_000}), watching(probe.Put, down{10_100, 11_500}),
				watching(probe.Put, down{10_000, 11_400})},
		}, "kill etcd on n1 at 10.0: landed 0.20 detected 0.00 api-ready 1.40"},
		"the loss of one member of a bare etcd is no outage of it": {history{
			steps: []step{killed}, probes: []watched{watching(probe.Put, down{10_050, 13_000}), watching(probe.Put)},
		}, "kill etcd on n1 at 10.0: landed 0.20 detected 0.05"},
		"a workload serves when it does everywhere": {history{
			steps:  stopped,
			probes: []watched{watching(probe.Workload, down{10_000, 31_000}), watching(probe.Service, down{30_500, 33_000}), watching(probe.Service)},
		}, "stop apiserver at 10.0: landed 0.30 detected 0.00\nundo of stop apiserver at 30.0: undone 0.10 workload-serving 3.00"},
		"a workload that is down on one node does not serve": {history{
			steps: []step{killed}, probes: []watched{watching(probe.Workload, down{10_000, 31_000}), watching(probe.Service, down{10_000, 99_000})},
		}, "kill etcd on n1 at 10.0: landed 0.20 detected 0.00"},
		"a leader that is lost with the majority": {history{
			steps: stopped,
			etcd: []probe.EtcdView{{Leader: "n1", Term: 2}, {At: 10_100 * ms, Leader: "n2", Term: 3}, {At: 11_000 * ms, Term: 3},
				{At: 32_000 * ms, Leader: "n2", Term: 3}},
		}, "stop apiserver at 10.0: landed 0.30\nundo of stop apiserver at 30.0: undone 0.10 etcd-leader 2.00"},
		"a probe that is down already detects no second fault": {history{
			steps:  []step{killed, faultAt(20_000*ms, 20_100*ms, "kill etcd on n2")},
			probes: []watched{watching(probe.Write, down{10_050, 40_000}), watching(probe.Watch, down{21_000, 40_000})},
		}, "kill etcd on n1 at 10.0: landed 0.20 detected 0.05\nkill etcd on n2 at 20.0: landed 0.10 detected 1.00 api-ready 20.00"},
		"each step has what followed it and no more": {history{
			steps: []step{killed, faultAt(20_000*ms, 20_100*ms, "kill etcd on n2"), faultAt(30_000*ms, 30_100*ms, "pause etcd on n3"),
				undoAt(40_000*ms, 40_100*ms, "pause etcd on n3")},
			probes: []watched{watching(probe.Write, down{20_500, 22_000}, down{30_500, 33_000})},
		}, "kill etcd on n1 at 10.0: landed 0.20\nkill etcd on n2 at 20.0: landed 0.10 detected 0.50 api-ready 2.00\n" +
			"pause etcd on n3 at 30.0: landed 0.10 detected 0.50 api-ready 3.00"},
		"the last of several outages counts": {history{
			steps: []step{killed}, probes: []watched{watching(probe.Write, down{10_050, 12_000}, down{20_000, 25_000})},
		}, "kill etcd on n1 at 10.0: landed 0.20 detected 0.05 api-ready 15.00"},
		"a single request that fails later is no outage": {history{
			steps: []step{killed}, probes: []watched{watching(probe.Write, down{10_050, 12_000}, down{20_000, 20_050})},
		}, "kill etcd on n1 at 10.0: landed 0.20 detected 0.05 api-ready 2.00"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.end = time.Minute
			if got := told(test.recoveries()); got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

func TestStepsThatFollowAtOnceAreOne(t *testing.T) {
	got := told(history{end: time.Minute, steps: merged([]step{
		undoAt(31_000*ms, 31_400*ms, "kill a"), undoAt(30_000*ms, 30_500*ms, "pause b"), undoAt(33_400*ms, 33_500*ms, "stop c"),
		faultAt(10_000*ms, 10_100*ms, "kill a"), faultAt(11_000*ms, 11_100*ms, "pause b"), undoAt(12_000*ms, 12_100*ms, "kill d"),
		faultAt(12_500*ms, 12_600*ms, "stop c"),
	}), etcd: []probe.EtcdView{{}, {At: 12_200 * ms, Leader: "n1"}, {At: 31_800 * ms, Leader: "n2"}, {At: 34_000 * ms, Leader: "n3"}}}.recoveries())
	want := "kill a and pause b at 10.0: landed 1.10\n" +
		"undo of kill d at 12.0: undone 0.10 etcd-leader 0.20\n" +
		"stop c at 12.5: landed 0.10\n" +
		"undo of pause b and kill a at 30.0: undone 1.40 etcd-leader 1.80\n" +
		"undo of stop c at 33.4: undone 0.10 etcd-leader 0.60"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestOutages(t *testing.T) {
	tests := map[string]struct {
		samples []probe.Sample
		want    []outage
	}{
		"none": {sampled(), nil},
		"one that ends, and one that does not": {sampled(down{1000, 2000}, down{30_000, 99_000}),
			[]outage{{1000 * ms, 1001 * ms, 2001 * ms}, {30_000 * ms, 30_001 * ms, never}}},
		"every third request fails": {sampled(down{1000, 1050}, down{1150, 1200}, down{1300, 1350}),
			[]outage{{1000 * ms, 1001 * ms, 1351 * ms}}},
		"starved and blind samples say nothing": {[]probe.Sample{
			{At: 1000 * ms, Way: record.Starved}, {At: 1100 * ms, Way: record.TimedOut, Blind: true}, {At: 1200 * ms, Way: record.Refused},
			{At: 1300 * ms, Way: record.TimedOut, Blind: true}, {At: 1400 * ms, Way: record.Starved}, {At: 1500 * ms, Way: record.Up},
		}, []outage{{1200 * ms, 1200 * ms, 1500 * ms}}},
		"a refusal is known before the time-out of an older request": {[]probe.Sample{
			{At: 1000 * ms, Latency: 1000 * ms, Way: record.TimedOut}, {At: 1050 * ms, Latency: ms, Way: record.Refused},
		}, []outage{{1000 * ms, 1051 * ms, never}}},
		"what was asked before is answered when it is over": {[]probe.Sample{
			{At: 1000 * ms, Latency: 1000 * ms, Way: record.TimedOut}, {At: 1500 * ms, Latency: 800 * ms, Way: record.Up}, {At: 2350 * ms, Way: record.Up},
		}, []outage{{1000 * ms, 2000 * ms, 2300 * ms}}},
	}
	for name, test := range tests {
		if got := outagesOf(test.samples, leastResume); fmt.Sprint(got) != fmt.Sprint(test.want) {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}
