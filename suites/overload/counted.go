package overload

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	. "faultline/suites/drill"
)

// summary is the part about memory of what a kubelet counts, by which it decides who has to go
// (its /stats/summary).
type summary struct {
	Node struct{ Memory memory }
	Pods []struct {
		PodRef struct{ Name, Namespace string }
		Memory memory
	}
}

// memory is in bytes. What is available counts for nodes, the working set for pods.
type memory struct {
	Time                            time.Time
	AvailableBytes, WorkingSetBytes int64
}

func summaryOf(ctx context.Context, c kubernetes.Interface, n *clusters.Node) (summary, error) {
	text, err := c.CoreV1().RESTClient().Get().AbsPath("/api/v1/nodes/" + n.Name + "/proxy/stats/summary").DoRaw(ctx)
	if err != nil {
		return summary{}, err
	}
	return readSummary(text)
}

func readSummary(text []byte) (summary, error) {
	var s summary
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("what the kubelet counts: %w", err)
	}
	if s.Node.Memory.AvailableBytes == 0 || s.Node.Memory.Time.IsZero() {
		return s, fmt.Errorf("the kubelet does not count what is available: %+v", s.Node)
	}
	return s, nil
}

// counted fails until the kubelet has seen that each of the drills' pods has so many bytes, and
// what is available after that, which it tells.
func counted(n *clusters.Node, pods map[string]int64, available *int64) Request {
	var since time.Time
	return func(ctx context.Context, c kubernetes.Interface) error {
		s, err := summaryOf(ctx, c, n)
		if err != nil {
			return err
		}
		seen, err := s.has(pods)
		if err != nil {
			return err
		}
		if since.IsZero() {
			since = seen
		}
		if !s.Node.Memory.Time.After(since) {
			return fmt.Errorf("its count of the node, of %s, is older than those of the pods", s.Node.Memory.Time)
		}
		*available = s.Node.Memory.AvailableBytes
		return nil
	}
}

// has fails unless each of the drills' pods has so many bytes, and tells when the last was counted.
func (s summary) has(pods map[string]int64) (last time.Time, err error) {
	found := 0
	for _, p := range s.Pods {
		want, wanted := pods[p.PodRef.Name]
		if !wanted || p.PodRef.Namespace != Namespace {
			continue
		}
		if p.Memory.WorkingSetBytes < want {
			return last, fmt.Errorf("pod %s has %d MiB", p.PodRef.Name, p.Memory.WorkingSetBytes>>20)
		}
		found++
		if p.Memory.Time.After(last) {
			last = p.Memory.Time
		}
	}
	return last, Unless(found == len(pods), fmt.Errorf("it has counted %d of %d pods", found, len(pods)))
}

// fewer fails until the kubelet counts less memory available than so many bytes.
func fewer(n *clusters.Node, than int64) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		s, err := summaryOf(ctx, c, n)
		if err != nil {
			return err
		}
		return Unless(s.Node.Memory.AvailableBytes < than, fmt.Errorf("%d MiB are available", s.Node.Memory.AvailableBytes>>20))
	}
}
