package fault

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"faultline/clusters"
)

// alarmLanding covers an election.
const alarmLanding = 20 * time.Second

// RaiseNoSpace raises the alarm NOSPACE for a member, as the member does itself when its
// database has outgrown the quota (--quota-backend-bytes, 2 GiB by default). From then on
// every member refuses every put ("mvcc: database space exceeded") and every new lease,
// while reads, deletions and compactions work. The alarm is in the store: it outlives
// restarts, and someone has to disarm it. The quota itself is not exceeded here, so that
// nothing has to be compacted or defragmented after the undo.
//
// Kubernetes can be read then and not written: the leases of leaders and nodes run out. Yet
// every API server calls itself ready, since its own look at etcd is a read, and so do
// etcd's /livez and /readyz; only its /health tells of the alarm.
//
// Proof: the alarm is listed, and the member refuses a put, which would change nothing
// otherwise. Undo: the alarm is disarmed through any member that has a majority. Healed:
// the member runs and stays, and accepts puts.
func RaiseNoSpace(member clusters.Instance) Fault {
	f := onMember(KindRaiseNoSpace, member, planNoSpace)
	f.parts[0].takes = func(c *clusters.Cluster) clusters.Instances { return fellows(c, member) }
	return f
}

// fellows are the members of the etcd that a member is of, itself included.
func fellows(c *clusters.Cluster, member clusters.Instance) clusters.Instances {
	for _, members := range []clusters.Instances{c.EtcdMembers(), c.EventsMembers()} {
		if slices.Contains(members, member) {
			return members
		}
	}
	return clusters.Instances{member}
}

// alarmTool defines alarm, which does $1 to the alarm NOSPACE of the member $2 by the first
// of the endpoints $3 that has a majority.
const alarmTool = `alarm() {
  for try in 1 2 3; do
    for endpoint in $3; do
      if why=$(curl --silent --show-error --fail --max-time 4 --cacert ` + pki + `etcd/ca.crt \
        --cert ` + pki + `apiserver-etcd-client.crt --key ` + pki + `apiserver-etcd-client.key \
        --data '{"action":"'"$1"'","memberID":"'"$2"'","alarm":"NOSPACE"}' "$endpoint/v3/maintenance/alarm" 2>&1); then return; fi
    done
    sleep 1
  done
  echo "no member of $3 could change the alarm: $why" >&2
  exit 1
}
`

// The alarm of the member $2, by the endpoints $3, for the fault $1. A second undo asks
// nobody: an alarm that was raised since is not ours.
const (
	raiseScript  = enter + armed + alarmTool + `alarm ACTIVATE "$2" "$3"`
	disarmScript = enter + alarmTool + `if [ -d "$d" ]; then alarm DEACTIVATE "$2" "$3"; fi
` + leave
)

func planNoSpace(ctx context.Context, m storeMember, id string) (effect, error) {
	alarms, err := askMember(ctx, m.Instance, "alarm", "list")
	if err != nil {
		return effect{}, fmt.Errorf("ask %s for alarms: %w", m, err)
	}
	if raised := strings.TrimSpace(string(alarms)); raised != "" {
		return effect{}, fmt.Errorf("the etcd of %s has an alarm already (%s): find out why, and disarm it first", m, raised)
	}
	args := []string{id, strconv.FormatUint(m.id, 10), strings.Join(append([]string{ownURL(m.Instance)}, m.clients...), " ")}
	return effect{
		inject:    command(raiseScript, args...),
		undo:      command(disarmScript, args...),
		prove:     func(ctx context.Context) (string, error) { return proveNoSpace(ctx, m) },
		landing:   alarmLanding,
		recovered: func(ctx context.Context) (time.Time, error) { return writable(ctx, m.Instance) },
	}, nil
}

func proveNoSpace(ctx context.Context, m storeMember) (string, error) {
	alarms, err := askMember(ctx, m.Instance, "alarm", "list")
	if err != nil {
		return "", err
	}
	if want := fmt.Sprintf("memberID:%d alarm:NOSPACE", m.id); !strings.Contains(string(alarms), want) {
		return "", fmt.Errorf("the alarms are %q, want %s", alarms, want)
	}
	if err := tryPut(ctx, m.Instance); err == nil || !strings.Contains(err.Error(), "database space exceeded") {
		return "", fmt.Errorf("%s does not refuse a put for lack of space: %w", m, errors.Join(err, errors.New("the alarm has no effect")))
	}
	return fmt.Sprintf("the alarm NOSPACE of member %d is listed, and %s refuses a put", m.id, m), nil
}

// tryPut asks for a put that changes nothing: the value of a key that does not exist is to
// stay as it is. etcd looks for alarms first.
func tryPut(ctx context.Context, i clusters.Instance) error {
	_, err := askMember(ctx, i, "put", "--ignore-value", "faultline-does-not-exist")
	if err != nil && strings.Contains(err.Error(), "key not found") {
		return nil
	}
	return err
}

// writable waits until the member runs, stays, and accepts puts.
func writable(ctx context.Context, i clusters.Instance) (time.Time, error) {
	var since time.Time
	err := clusters.Await(ctx, healingPoll, i.String()+" to accept puts", func(ctx context.Context) error {
		err := tryPut(ctx, i)
		since = time.Now()
		return err
	})
	if err != nil {
		return since, err
	}
	_, err = stays(i)(ctx)
	return since, err
}
