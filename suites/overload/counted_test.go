package overload

import (
	"testing"
	"time"
)

const stats = `{"node":{"nodeName":"n","memory":{"time":"2026-01-02T03:04:15Z","availableBytes":1000,"usageBytes":30,"workingSetBytes":20}},"pods":[
{"podRef":{"name":"a","namespace":"faultline-drill","uid":"1"},"memory":{"time":"2026-01-02T03:04:05Z","workingSetBytes":7}},
{"podRef":{"name":"b","namespace":"faultline-drill"},"memory":{"time":"2026-01-02T03:04:06Z","workingSetBytes":9}},
{"podRef":{"name":"c","namespace":"kube-system"},"memory":{"time":"2026-01-02T03:04:07Z","workingSetBytes":9}},
{"podRef":{"name":"d","namespace":"faultline-drill"}}]}`

func TestSummary(t *testing.T) {
	s, err := readSummary([]byte(stats))
	if err != nil {
		t.Fatal(err)
	}
	if s.Node.Memory.AvailableBytes != 1000 || s.Node.Memory.Time.Second() != 15 {
		t.Errorf("of the node it has %+v", s.Node.Memory)
	}
	last, err := s.has(map[string]int64{"a": 7, "b": 8})
	if want := time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC); err != nil || !last.Equal(want) {
		t.Errorf("got %s, %v; want %s", last, err, want)
	}
	for name, pods := range map[string]map[string]int64{
		"less": {"a": 8}, "nobody has counted it": {"d": 1}, "of another namespace": {"c": 1}, "not there": {"a": 7, "e": 1},
	} {
		if _, err := s.has(pods); err == nil {
			t.Errorf("%s, and counts as there", name)
		}
	}
	for _, wrong := range []string{"", "{}", `{"node":{"memory":{"workingSetBytes":20}}}`} {
		if _, err := readSummary([]byte(wrong)); err == nil {
			t.Errorf("%q tells something", wrong)
		}
	}
}
