package overload

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

func TestHadWhenKilled(t *testing.T) {
	ended := func(reason, said string) *corev1.ContainerStateTerminated {
		return &corev1.ContainerStateTerminated{Reason: reason, Message: said}
	}
	for name, test := range map[string]struct {
		last, now *corev1.ContainerStateTerminated
		want      int // 0: an error
	}{
		"killed now":            {now: ended("OOMKilled", "has 1 MiB\nhas 2 MiB\n"), want: 2},
		"killed and restarted":  {last: ended("OOMKilled", "has 41 MiB\nhas 42 MiB"), want: 42},
		"killed again":          {last: ended("OOMKilled", "has 7 MiB\n"), now: ended("Error", ""), want: 7},
		"cut in the last line":  {now: ended("OOMKilled", "has 8 MiB\nhas 9"), want: 8},
		"ended in another way":  {now: ended("Error", "has 3 MiB\n")},
		"killed without a word": {now: ended("OOMKilled", "")},
		"still there":           {},
	} {
		status := corev1.ContainerStatus{LastTerminationState: corev1.ContainerState{Terminated: test.last}, State: corev1.ContainerState{Terminated: test.now}}
		had, err := hadWhenKilled([]corev1.ContainerStatus{status})
		if had != test.want || (err == nil) != (test.want > 0) {
			t.Errorf("%s: %d, %v; want %d", name, had, err, test.want)
		}
	}
}

func TestUse(t *testing.T) {
	const most = 0.1
	limited, unlimited := use{50, 90, 10 * time.Second}, use{1200, 0, 10 * time.Second}
	if limited.throttledTo(most) != nil || unlimited.unthrottledAbove(most) != nil {
		t.Errorf("%s, %s", limited, unlimited)
	}
	for _, u := range []use{unlimited, {1200, 90, 10 * time.Second}, {50, 0, 10 * time.Second}, {0, 90, 10 * time.Second}} {
		if u.throttledTo(most) == nil {
			t.Errorf("%s, and counts as throttled", u)
		}
	}
	for _, u := range []use{limited, {1200, 1, 10 * time.Second}, {50, 0, 10 * time.Second}} {
		if u.unthrottledAbove(most) == nil {
			t.Errorf("%s, and counts as not throttled", u)
		}
	}
}
