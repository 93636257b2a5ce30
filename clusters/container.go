package clusters

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
)

// parseContainers reads `crictl ps -a -o json`.
func parseContainers(out []byte) ([]Container, error) {
	var list struct {
		Containers []struct {
			ID       string
			State    string
			Metadata struct{ Attempt int }
		}
	}
	if err := json.Unmarshal(out, &list); err != nil {
		return nil, fmt.Errorf("read the runtime's list of containers: %w", err)
	}
	var all []Container
	for _, c := range list.Containers {
		all = append(all, Container{ID: c.ID, State: c.State, Attempt: c.Metadata.Attempt})
	}
	slices.SortFunc(all, func(a, b Container) int { return cmp.Compare(b.Attempt, a.Attempt) })
	return all, nil
}
