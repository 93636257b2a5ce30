package clusters

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// DatabaseApp is the value of AppLabel, and the name of the stateful set and of the
	// service, of the databases of LocalVolumes and ExternalVolume.
	DatabaseApp = "database"
	// databaseData is the name of the claims for the databases' volumes.
	databaseData = "data"
)

// QuorumSize is how many members the database of LocalVolumes has.
const QuorumSize = 3

// checkLocalVolumes proves that the members of the database are on the nodes of their
// volumes and over the hosts as the workers are, and make one healthy etcd (A:L114).
func (t *tenants) checkLocalVolumes(ctx context.Context) error {
	seats, err := t.seats(ctx, LocalVolumes.Namespace(), AppLabel+"="+DatabaseApp, QuorumSize)
	if err != nil {
		return err
	}
	if err := t.checkVolumesAreLocal(ctx, seats); err != nil {
		return err
	}
	if err := apart(seats, byNode); err != nil {
		return err
	}
	want := map[string]int{}
	for _, n := range t.WorkloadNodes() {
		want[n.Host]++
	}
	if have := counts(seats, byHost); !maps.Equal(have, want) {
		return fmt.Errorf("the members are over the hosts as %v, topology %s has %v", have, t.Topology.Name, want)
	}
	return t.checkQuorum(ctx, seats)
}

// checkVolumesAreLocal compares each pod's node with the one that its volume is bound to.
func (t *tenants) checkVolumesAreLocal(ctx context.Context, seats []seat) error {
	claims, err := t.api.CoreV1().PersistentVolumeClaims(LocalVolumes.Namespace()).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list the claims of the database: %w", err)
	}
	volumes, err := t.api.CoreV1().PersistentVolumes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list volumes: %w", err)
	}
	bound := map[string]string{}
	for _, c := range claims.Items {
		bound[c.Name] = c.Spec.VolumeName
	}
	at := map[string]string{}
	for _, v := range volumes.Items {
		at[v.Name] = nodeOf(v)
	}
	for _, s := range seats {
		volume := bound[databaseData+"-"+s.pod.Name]
		if node := at[volume]; node == "" || node != s.pod.Spec.NodeName {
			return fmt.Errorf("pod %s is on node %s, its volume %q on %q", s.pod.Name, s.pod.Spec.NodeName, volume, node)
		}
	}
	return nil
}

// nodeOf is the only node that has a local volume, empty where nothing binds it to one.
func nodeOf(v corev1.PersistentVolume) string {
	if v.Spec.Local == nil || v.Spec.NodeAffinity == nil || v.Spec.NodeAffinity.Required == nil {
		return ""
	}
	for _, term := range v.Spec.NodeAffinity.Required.NodeSelectorTerms {
		for _, e := range term.MatchExpressions {
			if e.Key == corev1.LabelHostname && e.Operator == corev1.NodeSelectorOpIn && len(e.Values) == 1 {
				return e.Values[0]
			}
		}
	}
	return ""
}

// quorumScript asks etcd members, by the addresses that it is given, for their status
// and for all members, through etcd's JSON gateway: kind's own node image has no etcdctl.
const quorumScript = `for address in "$@"; do
  for question in maintenance/status cluster/member/list; do
    curl --silent --show-error --fail --max-time 3 --data '{}' "http://$address:2379/v3/$question" || exit
    echo
  done
done`

// checkQuorum asks every member of the database, from a node, what it knows.
func (t *tenants) checkQuorum(ctx context.Context, seats []seat) error {
	argv := []string{"sh", "-c", quorumScript, "sh"}
	for _, s := range seats {
		argv = append(argv, s.pod.Status.PodIP)
	}
	n := t.WorkloadNodes()[0]
	out, err := n.Exec(ctx, argv...)
	if err != nil {
		return fmt.Errorf("ask the members of the database from %s: %w", n.Name, err)
	}
	return parseQuorum(out, seats)
}

// memberView is what a member's answers to quorumScript have. Numbers of 64 bits are text.
type memberView struct {
	Header struct {
		MemberID string `json:"member_id"`
	}
	Leader  string
	Members []struct{ ID, Name string }
	Errors  []string
}

// parseQuorum proves that the members agree on a leader and on who they are.
func parseQuorum(out []byte, seats []seat) error {
	lines := json.NewDecoder(strings.NewReader(string(out)))
	leader := ""
	for _, s := range seats {
		var status, list memberView
		if err := errors.Join(lines.Decode(&status), lines.Decode(&list)); err != nil {
			return fmt.Errorf("answers of database member %s: %w", s.pod.Name, err)
		}
		if status.Leader == "" || status.Leader == "0" || leader != "" && status.Leader != leader {
			return fmt.Errorf("database member %s has the leader %q, others have %q", s.pod.Name, status.Leader, leader)
		}
		leader = status.Leader
		if len(status.Errors) > 0 {
			return fmt.Errorf("database member %s reports %s", s.pod.Name, strings.Join(status.Errors, "; "))
		}
		if len(list.Members) != len(seats) {
			return fmt.Errorf("database member %s knows %d members, want %d", s.pod.Name, len(list.Members), len(seats))
		}
		for _, m := range list.Members {
			if m.Name == s.pod.Name && m.ID != status.Header.MemberID {
				return fmt.Errorf("pod %s answers as another member than %s", s.pod.Name, m.ID)
			}
		}
	}
	return nil
}

// ExternalFolder is the folder of every node that is one volume outside of them all.
const ExternalFolder = "/faultline/external"

// identifyScript names a file by device and inode: of the database's process, where one
// runs here, as that sees it, and of the node.
const identifyScript = `mountpoint --quiet "$1" || { echo "$1 is no mount"; exit; }
for process in $(pgrep --exact etcd); do
  if tr '\0' '\n' < /proc/$process/cmdline | grep --quiet --line-regexp -e --name=external; then
    stat --dereference --format='process %d:%i' "/proc/$process/root/data/etcd/member/snap/db"
  fi
done
stat --format='node %d:%i' "$1/etcd/member/snap/db"`

// checkExternalVolume proves that the database runs, that its file is on the volume
// outside of the nodes, and that every node sees that very file (A:L112).
func (t *tenants) checkExternalVolume(ctx context.Context) error {
	seats, err := t.seats(ctx, ExternalVolume.Namespace(), AppLabel+"="+DatabaseApp, 1)
	if err != nil {
		return err
	}
	nodes := t.WorkloadNodes()
	views := make([]string, len(nodes))
	var group errgroup.Group
	for i, n := range nodes {
		group.Go(func() error {
			out, err := n.Exec(ctx, "sh", "-c", identifyScript, "sh", ExternalFolder)
			if err != nil {
				return fmt.Errorf("look for the database's file on %s: %w", n.Name, err)
			}
			views[i] = strings.TrimSpace(string(out))
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return sameFile(nodes, views, seats[0].pod.Spec.NodeName)
}

// sameFile compares what nodes printed with identifyScript. The database's process is on
// one of them.
func sameFile(nodes []*Node, views []string, database string) error {
	at := slices.IndexFunc(nodes, func(n *Node) bool { return n.Name == database })
	if at < 0 {
		return fmt.Errorf("the database is on %s, which runs no workloads", database)
	}
	first, file, ok := strings.Cut(views[at], "\nnode ")
	if !ok || first != "process "+file {
		return fmt.Errorf("on %s the database uses another file than the one on the volume: %q", database, views[at])
	}
	for i, n := range nodes {
		if i != at && views[i] != "node "+file {
			return fmt.Errorf("%s sees %q on the volume, %s has the database's file %s", n.Name, views[i], database, file)
		}
	}
	return nil
}

// checkExternalDatabase proves that the database's service leads to the machine outside
// of Kubernetes, and that a client that writes and reads through it is ready (A:L113).
func (t *tenants) checkExternalDatabase(ctx context.Context) error {
	namespace := ExternalDatabase.Namespace()
	found, err := t.api.DiscoveryV1().EndpointSlices(namespace).List(ctx, metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=" + DatabaseApp})
	if err != nil {
		return fmt.Errorf("list the endpoints of the database's service: %w", err)
	}
	var have, want []string
	for _, s := range found.Items {
		for _, e := range s.Endpoints {
			have = append(have, e.Addresses...)
		}
	}
	for _, n := range t.With(Database) {
		want = append(want, n.Address)
	}
	if fmt.Sprint(have) != fmt.Sprint(want) {
		return fmt.Errorf("the database's service leads to %v, its machine is %v", have, want)
	}
	_, err = t.seats(ctx, namespace, AppLabel+"=client", 1)
	return err
}
