package recovery

import (
	"fmt"
	"strings"
	"testing"
)

// answersOf is a pod's history in which every target was answered as it should be.
func answersOf(t *testing.T, wrong map[string]string) []byte {
	t.Helper()
	var lines []string
	for _, target := range sampleTargets {
		// What was answered before does not count any more.
		lines = append(lines, fmt.Sprintf(`{"target":%q,"status":0,"error":"refused"}`, target.name))
	}
	for _, target := range sampleTargets {
		line, bad := wrong[target.name]
		if !bad {
			line = fmt.Sprintf(`{"target":%q,"start_ns":1,"status":%d}`, target.name, target.status)
		}
		lines = append(lines, line)
	}
	return []byte(strings.Join(lines, "\n") + "\n")
}

func TestEveryTargetHasToBeAnsweredRightly(t *testing.T) {
	for name, wrong := range map[string]map[string]string{
		"":            nil,
		"service":     {"service": `{"target":"service","status":0,"error":"connection refused"}`},
		"name":        {"name": `{"target":"name","status":0,"error":"no such host"}`},
		"granted":     {"granted": `{"target":"granted","status":403}`},
		"not granted": {"not granted": `{"target":"not granted","status":200}`},
	} {
		err := judgeAnswers(answersOf(t, wrong))
		if (err == nil) != (name == "") || err != nil && (!strings.HasPrefix(err.Error(), name+": ") || strings.Contains(err.Error(), "\n")) {
			t.Errorf("with %q wrong: %v", name, err)
		}
	}
	if err := judgeAnswers(nil); err == nil {
		t.Error("a pod that has asked nobody passes")
	}
	if err := judgeAnswers([]byte("<html>")); err == nil {
		t.Error("what is no history passes")
	}
}

func TestEveryVolumeHasToHoldWhatItShould(t *testing.T) {
	const good = "config/value: " + sampleConfig + "\nsecret/value: " + sampleSecret + "\nscratch/beat: heartbeat 7 2026-01-01T00:00:00Z\n"
	for listing, bad := range map[string]string{
		good: "",
		strings.Replace(good, sampleConfig, sampleSecret, 1):                                    "config/value",
		strings.Replace(good, sampleSecret, "cat: secret/value: No such file or directory", 1):  "secret/value",
		strings.Replace(good, "heartbeat 7", "cat: scratch/beat: No such file or directory", 1): "scratch/beat",
		strings.Replace(good, "heartbeat 7 2026-01-01T00:00:00Z", "", 1):                        "scratch/beat",
		"": "config/value",
	} {
		if err := judgeVolumes(listing); (err == nil) != (bad == "") || err != nil && !strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v, want %q", listing, err, bad)
		}
	}
}
