package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"

	"faultline/reports/record"
)

// nodesEvery is the time between two looks at the nodes: a list of them is large.
const nodesEvery = time.Second

// nodeReader reads what the API says of nodes through all doors in turn: some API server is
// healthy as long as there is anything to see.
type nodeReader struct {
	clock   Clock
	states  *States
	callers []*caller
	list    []request
	turn    atomic.Uint32
}

func newNodeReader(clock Clock, states *States, doors []door, timeout time.Duration) (*nodeReader, error) {
	r := &nodeReader{clock: clock, states: states}
	for _, d := range doors {
		c, err := d.open(timeout)
		if err != nil {
			return nil, err
		}
		r.callers = append(r.callers, c)
		r.list = append(r.list, c.ask(http.MethodGet, "/api/v1/nodes", serverTimeout(timeout), mediaJSON))
	}
	return r, nil
}

func (r *nodeReader) take(ctx context.Context) outcome {
	i := int(r.turn.Add(1)) % len(r.callers)
	a, err := r.callers[i].do(ctx, r.list[i], nil)
	if err != nil {
		return failed(err)
	}
	defer a.free()
	o := a.outcome()
	if o.way != record.Up {
		return o
	}
	if err := r.apply(a.body); err != nil {
		return outcome{way: record.OtherDown, detail: err.Error()}
	}
	return up
}

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
