package clusters

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// AuditLog is the path of an API server's audit log on its node.
const AuditLog = "/var/log/faultline-audit/audit.log"

// Action is one request that changed something, as an API server saw it.
type Action struct {
	At        time.Time
	User      string
	UserAgent string
	SourceIP  string
	Verb      string
	Resource  string
	// Subresource is what of the object it was about: status, binding, scale ...
	Subresource string
	Name        string
	// UID is the object's, as far as the request names it: that of a binding is its pod's.
	UID  string
	Code int
}

// OnLease tells whether the action is about a leader lock or a node's heartbeat.
func (a Action) OnLease() bool { return a.Resource == "leases" }

// Actions reads from the audit log of the API server on this node what elected
// components and controllers did since an instant, and which nodes' heartbeats
// it took. A line that is being written at this moment is left out.
func (n *Node) Actions(ctx context.Context, since time.Time) ([]Action, error) {
	out, err := n.Exec(ctx, "sh", "-c", "cat "+AuditLog+" 2>/dev/null; true")
	if err != nil {
		return nil, fmt.Errorf("read the audit log on %s: %w", n.Name, err)
	}
	return parseActions(out, since)
}

func parseActions(out []byte, since time.Time) ([]Action, error) {
	var actions []Action
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e struct {
			StageTimestamp time.Time
			User           struct{ Username string }
			UserAgent      string
			SourceIPs      []string
			Verb           string
			ObjectRef      struct{ Resource, Subresource, Name, UID string }
			ResponseStatus struct{ Code int }
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			if !bytes.HasSuffix(bytes.TrimSpace(lines.Bytes()), []byte("}")) {
				continue
			}
			return nil, fmt.Errorf("audit log line %.100q: %w", lines.Text(), err)
		}
		if e.StageTimestamp.Before(since) {
			continue
		}
		actions = append(actions, Action{
			At: e.StageTimestamp, User: e.User.Username, UserAgent: e.UserAgent, SourceIP: strings.Join(e.SourceIPs, ","),
			Verb: e.Verb, Resource: e.ObjectRef.Resource, Subresource: e.ObjectRef.Subresource, Name: e.ObjectRef.Name, UID: e.ObjectRef.UID, Code: e.ResponseStatus.Code,
		})
	}
	return actions, lines.Err()
}
