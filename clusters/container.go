package clusters

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
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

// LastExit is the exit status of the instance's container that ended last, of those that its
// runtime still knows: 128 and the signal's number where one killed it.
func (i Instance) LastExit(ctx context.Context) (int, error) {
	containers, err := i.Containers(ctx)
	if err != nil {
		return 0, err
	}
	ended := slices.IndexFunc(containers, func(c Container) bool { return c.State == "CONTAINER_EXITED" })
	if ended < 0 {
		return 0, fmt.Errorf("no container of %s is known to have ended", i)
	}
	out, err := i.Node.Exec(ctx, "crictl", "inspect", "--output", "go-template", "--template", "{{.status.exitCode}}", containers[ended].ID)
	status := 0
	if err == nil {
		status, err = strconv.Atoi(strings.TrimSpace(string(out)))
	}
	if err != nil {
		return 0, fmt.Errorf("ask how %s ended: %w", i, err)
	}
	return status, nil
}
