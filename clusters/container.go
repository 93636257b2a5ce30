package clusters

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
)

// listed is a container in the runtime's list.
type listed struct {
	ID       string
	State    string
	Created  int64 `json:"createdAt,string"`
	Metadata struct{ Attempt int }
}

// parseContainers reads `crictl ps -a -o json`.
func parseContainers(out []byte) ([]Container, error) {
	var list struct{ Containers []listed }
	if err := json.Unmarshal(out, &list); err != nil {
		return nil, fmt.Errorf("read the runtime's list of containers: %w", err)
	}
	var all []Container
	// A changed manifest is another pod, whose attempts count from 0 again.
	slices.SortStableFunc(list.Containers, func(a, b listed) int {
		return cmp.Or(cmp.Compare(b.Created, a.Created), cmp.Compare(b.Metadata.Attempt, a.Metadata.Attempt))
	})
	for _, c := range list.Containers {
		all = append(all, Container{ID: c.ID, State: c.State, Attempt: c.Metadata.Attempt})
	}
	return all, nil
}
