package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"faultline/reports/record"
)

// nodesEvery is the time between two looks at the nodes: a list of them is large.
const nodesEvery = time.Second

// nodeReader reads what the API says of nodes.
type nodeReader struct {
	turns
	clock  Clock
	states *States
}

func newNodeReader(clock Clock, states *States, doors []door, timeout time.Duration) (*nodeReader, error) {
	r := &nodeReader{clock: clock, states: states}
	return r, r.through(doors, "/api/v1/nodes", timeout)
}

func (r *nodeReader) take(ctx context.Context) outcome { return r.turns.take(ctx, r.apply) }

// apply takes a list of nodes.
func (r *nodeReader) apply(body []byte) error {
	var list struct {
		Items []struct {
			Metadata struct {
				Name string `json:"name"`
			} `json:"metadata"`
			Status struct {
				Conditions []corev1.NodeCondition `json:"conditions"`
			} `json:"status"`
		} `json:"items"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return fmt.Errorf("read the list of nodes: %w", err)
	}
	now := r.clock.Now()
	for _, n := range list.Items {
		for _, c := range n.Status.Conditions {
			if c.Type == corev1.NodeReady {
				r.states.see(now, "node "+n.Metadata.Name, readiness(c.Status))
			}
		}
	}
	return nil
}

// readiness is a Ready condition in the record's words.
func readiness(s corev1.ConditionStatus) string {
	switch s {
	case corev1.ConditionTrue:
		return record.StateReady
	case corev1.ConditionFalse:
		return record.StateNotReady
	default:
		return record.StateUnknown
	}
}
