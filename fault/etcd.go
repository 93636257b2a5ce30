package fault

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"faultline/clusters"
)

// The faults on what etcd stores.
const (
	KindRaiseNoSpace Kind = "raise-no-space"
	KindWipeData     Kind = "wipe-data"
	KindCorruptData  Kind = "corrupt-data"
)

var etcdEntries = []Entry{
	{KindRaiseNoSpace, "disk", "a member of an etcd", "", "the alarm is disarmed through any member", "the alarm is listed, and a put is refused"},
	{KindWipeData, "disk", "a member of an etcd", "a member that would not vote without its data", "the data is moved back, unless the member has been replaced", "the data is away, and etcd has begun a new directory"},
	{KindCorruptData, "disk", "a member of an etcd that stores something", "perl", "the bytes are given back", "the bytes in the database are others"},
}

// etcdctl is etcd's client as a node runs it, with the API server's certificate. Servers
// keep that where kubeadm does.
var etcdctl = []string{
	"etcdctl", "--dial-timeout=2s", "--command-timeout=5s", "--cacert=" + pki + "etcd/ca.crt",
	"--cert=" + pki + "apiserver-etcd-client.crt", "--key=" + pki + "apiserver-etcd-client.key",
}

// askMember runs etcdctl on the member's node, for the member itself.
func askMember(ctx context.Context, i clusters.Instance, args ...string) ([]byte, error) {
	return i.Node.Exec(ctx, slices.Concat(etcdctl, []string{"--endpoints=" + ownURL(i)}, args)...)
}

// ownURL is where a member listens for clients on its own node.
func ownURL(i clusters.Instance) string { return "https://127.0.0.1:" + strconv.Itoa(i.Port()) }

// onMember is a fault on one member of an etcd.
func onMember(kind Kind, member clusters.Instance, plan func(ctx context.Context, m storeMember, id string) (effect, error)) Fault {
	return onInstances(kind, []clusters.Instance{member}, func(ctx context.Context, i clusters.Instance, id string) (effect, error) {
		if i.Component != clusters.Etcd {
			return effect{}, fmt.Errorf("%s stores nothing: take a member of an etcd", i)
		}
		m, err := lookAtMember(ctx, i)
		if err != nil {
			return effect{}, err
		}
		e, err := plan(ctx, m, id)
		if e.recovered == nil {
			e.recovered = func(ctx context.Context) (time.Time, error) { return servesAgain(ctx, i) }
		}
		return e, err
	})
}

// storeMember is what a member and its process say of it.
type storeMember struct {
	clusters.Instance
	id      uint64
	members int      // of its etcd, itself included
	clients []string // where the others listen for clients
	flags   map[string]string
}

func lookAtMember(ctx context.Context, i clusters.Instance) (storeMember, error) {
	ps, err := running(ctx, i)
	if err != nil {
		return storeMember{}, err
	}
	argv, err := commandLine(ctx, i, ps[0])
	if err != nil {
		return storeMember{}, err
	}
	// Without a majority a member still tells what it knows.
	out, err := askMember(ctx, i, "member", "list", "--consistency=s", "--write-out=json")
	if err != nil {
		return storeMember{}, fmt.Errorf("ask %s for the members: %w", i, err)
	}
	m, err := parseMembers(out)
	if err != nil {
		return m, fmt.Errorf("ask %s for the members: %w", i, err)
	}
	m.Instance, m.flags = i, parseFlags(argv)
	if m.flags["data-dir"] == "" {
		return m, fmt.Errorf("%s was not started with --data-dir, so that it is unknown where its data is", i)
	}
	return m, nil
}

// parseFlags reads --name=value from a command line.
func parseFlags(argv []string) map[string]string {
	flags := map[string]string{}
	for _, arg := range argv {
		if name, value, ok := strings.Cut(arg, "="); ok {
			flags[strings.TrimLeft(name, "-")] = value
		}
	}
	return flags
}

func parseMembers(list []byte) (storeMember, error) {
	var answer struct {
		Header struct {
			Member uint64 `json:"member_id"`
		}
		Members []struct {
			ID         uint64
			ClientURLs []string
		}
	}
	if err := json.Unmarshal(list, &answer); err != nil {
		return storeMember{}, err
	}
	m := storeMember{id: answer.Header.Member, members: len(answer.Members)}
	if m.id == 0 || m.members == 0 {
		return m, fmt.Errorf("unexpected answer %.200q", list)
	}
	for _, other := range answer.Members {
		if other.ID != m.id {
			m.clients = append(m.clients, other.ClientURLs...)
		}
	}
	return m, nil
}

// servesAgain waits until the member runs, stays, and serves what it stores. It asks for no
// majority.
func servesAgain(ctx context.Context, i clusters.Instance) (time.Time, error) {
	since, err := stays(i)(ctx)
	if err != nil {
		return since, err
	}
	return since, clusters.Await(ctx, healingPoll, i.String()+" to serve", func(ctx context.Context) error {
		_, err := askMember(ctx, i, "get", "faultline", "--consistency=s")
		return err
	})
}
