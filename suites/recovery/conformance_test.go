package recovery

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"

	"faultline/clusters"
	. "faultline/suites/drill"
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

func TestEveryClientIsChecked(t *testing.T) {
	client := func(node string) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "client-" + node, Namespace: Namespace, Labels: clusters.AppLabels(sampleClient)},
			Spec:       corev1.PodSpec{NodeName: node},
		}
	}
	other := client("n3")
	other.Labels = clusters.AppLabels(sample)
	for complaint, c := range map[string]kubernetes.Interface{
		"":                         fake.NewClientset(client("n1"), client("n2"), other),
		"on n4: nobody answers":    fake.NewClientset(client("n1"), client("n4"), client("n2")),
		"the sample has no client": fake.NewClientset(other),
	} {
		checked := 0
		err := ofClients(func(_ context.Context, _ kubernetes.Interface, pod *corev1.Pod) error {
			checked++
			if pod.Spec.NodeName == "n4" {
				return errors.New("nobody answers")
			}
			return nil
		})(t.Context(), c)
		if (err == nil) != (complaint == "") || err != nil && err.Error() != complaint {
			t.Errorf("got %v, want %q", err, complaint)
		}
		if err == nil && checked != 2 {
			t.Errorf("%d of 2 clients were checked", checked)
		}
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
