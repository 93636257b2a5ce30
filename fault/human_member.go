package fault

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"

	"faultline/clusters"
)

const (
	// memberLanding covers a member that learns of its removal from its peers.
	memberLanding = 30 * time.Second
	// memberTime limits one request to etcd.
	memberTime = 5 * time.Second
)

// RemoveEtcdMember removes a member from etcd, through another one, as when somebody
// mistakes it for a dead one. The member ends at once and refuses to start with its data
// ever after: its ID is never accepted again. etcd refuses a removal that would leave
// too few members that run.
//
// Proof: the others do not list the member, and its process is gone. Undo: the member is
// added again under its old name and address, with a new ID and without its data, which
// it gets from the others (as kubeadm does it, but without the time as a learner). A
// static pod's manifest then says so (initial-cluster-state=existing), which etcd reads
// only when it has no data. A service is told so by the
// environment while it starts; its unit has to name all members. It takes another member
// and etcd's HTTP gateway, not the API: an API server that has only this member for its
// store is killed, because the kubelet starts a pod whose manifest has changed after it
// has deleted the former's mirror, and waits half a minute and more for an answer of a
// server that has lost its store, but goes on at once without a server. Healed: the member
// votes, follows the leader and has caught up.
func RemoveEtcdMember(c *clusters.Cluster, member clusters.Instance) Fault {
	return onInstances(KindRemoveEtcdMember, []clusters.Instance{member}, func(ctx context.Context, i clusters.Instance, id string) (effect, error) {
		if i.Component != clusters.Etcd {
			return effect{}, fmt.Errorf("%s is no member of etcd", i)
		}
		old, err := running(ctx, i)
		if err != nil {
			return effect{}, err
		}
		m, err := membership(ctx, c, i)
		if err != nil {
			return effect{}, err
		}
		manifest, pod, copied, tools := "", "", "", []string{"curl", "jq"}
		if i.Static() {
			manifest, pod = i.Manifest(), i.Name()+"-"+i.Node.Name
			tools = append(tools, "crictl")
		}
		if err := need(ctx, i.Node, tools...); err != nil {
			return effect{}, err
		}
		if i.Copy > 0 {
			copied = strconv.Itoa(i.Copy)
		}
		others := strings.Join(m.others, " ")
		return effect{
			inject: command(removeMemberScript, id, strconv.FormatUint(m.ID, 10), others),
			undo: command(rejoinScript, id, others, m.Name, m.PeerURLs[0],
				path.Join(path.Dir(clusters.EtcdData), i.Name()), manifest, pod, copied),
			prove: func(ctx context.Context) (string, error) {
				now, err := listMembers(ctx, c, m.through)
				if err != nil {
					return "", err
				}
				if slices.ContainsFunc(now, func(other *etcdserverpb.Member) bool { return other.ID == m.ID }) {
					return "", fmt.Errorf("%s is still listed as member %x", i, m.ID)
				}
				gone, err := proveGone(ctx, i, old)
				return fmt.Sprintf("%s does not list member %x, and %s", m.through, m.ID, gone), err
			},
			landing:   memberLanding,
			recovered: func(ctx context.Context) (time.Time, error) { return memberReturns(ctx, c, i, m) },
		}, nil
	})
}

// membered is a member as etcd lists it, and the others.
type membered struct {
	*etcdserverpb.Member
	// through is another member, and others are where all the others listen for clients.
	through clusters.Instance
	others  []string
}

// membership finds out about a member. It refuses the last one.
func membership(ctx context.Context, c *clusters.Cluster, i clusters.Instance) (membered, error) {
	status, err := c.EtcdStatus(ctx, i)
	if err != nil {
		return membered{}, err
	}
	all, err := listMembers(ctx, c, i)
	if err != nil {
		return membered{}, err
	}
	var m membered
	for _, found := range all {
		if found.ID == status.ID {
			m.Member = found
		} else {
			m.others = append(m.others, found.ClientURLs...)
		}
	}
	if m.Member == nil || m.IsLearner || len(m.PeerURLs) == 0 {
		return membered{}, fmt.Errorf("%s is no voting member of its own list", i)
	}
	for _, n := range c.With(i.Node.Role) {
		for _, other := range n.Instances(clusters.Etcd) {
			if other != i && m.through.Node == nil {
				m.through = other
			}
		}
	}
	if len(m.others) == 0 || m.through.Node == nil {
		return membered{}, fmt.Errorf("%s is the only member of its etcd: nobody would be left to remove it, or to take it back", i)
	}
	return m, nil
}

func listMembers(ctx context.Context, c *clusters.Cluster, through clusters.Instance) ([]*etcdserverpb.Member, error) {
	client, err := c.EtcdClient(ctx, through)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, memberTime)
	defer cancel()
	list, err := client.MemberList(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask %s for the members of etcd: %w", through, err)
	}
	return list.Members, nil
}

// memberReturns waits until the member votes again and has what another one has.
func memberReturns(ctx context.Context, c *clusters.Cluster, i clusters.Instance, before membered) (time.Time, error) {
	since, err := stays(i)(ctx)
	if err != nil {
		return since, err
	}
	err = clusters.Await(ctx, healingPoll, i.String()+" to be a member again", func(ctx context.Context) error {
		err := checkMember(ctx, c, i, before)
		if err != nil {
			since = time.Now()
		}
		return err
	})
	return since, err
}

func checkMember(ctx context.Context, c *clusters.Cluster, i clusters.Instance, before membered) error {
	all, err := listMembers(ctx, c, before.through)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(all, func(m *etcdserverpb.Member) bool { return m.Name == before.Name })
	if at < 0 || all[at].IsLearner || len(all[at].ClientURLs) == 0 {
		return fmt.Errorf("%s does not list %s as a started voter", before.through, i)
	}
	ctx, cancel := context.WithTimeout(ctx, memberTime)
	defer cancel()
	other, err := c.EtcdStatus(ctx, before.through)
	if err != nil {
		return err
	}
	now, err := c.EtcdStatus(ctx, i)
	if err != nil {
		return err
	}
	switch {
	case now.ID != all[at].ID:
		return errors.New("it answers with another ID than it is listed with")
	case now.Leader == 0:
		return errors.New("it knows no leader")
	case now.Revision < other.Revision:
		return fmt.Errorf("it is at revision %d, another member at %d", now.Revision, other.Revision)
	}
	return nil
}

// members has a function for requests to etcd's HTTP gateway: it asks the other
// members, $others, in turn for what is at $1, with the body $2.
const members = `members() {
  for url in $others; do
    curl --silent --show-error --fail-with-body --max-time 5 --cacert /etc/kubernetes/pki/etcd/ca.crt \
      --cert /etc/kubernetes/pki/etcd/server.crt --key /etc/kubernetes/pki/etcd/server.key \
      --data "$2" "$url/v3/cluster/member/$1" && return
  done
  return 1
}
`

// removeMemberScript removes the member $2 through the members at $3, for the fault $1. etcd
// takes a member that was started less than 5 s ago for unhealthy, and refuses to change
// anything then (--strict-reconfig-check).
const removeMemberScript = enter + armed + members + `others=$3
for try in 1 2 3 4 5 6 7 8 9 10; do
  if answer=$(members remove '{"ID":"'"$2"'"}'); then exit; fi
  case "$answer" in *"unhealthy cluster"*) sleep 1 ;; *) break ;; esac
done
echo "etcd did not remove the member: $answer" >&2
exit 1
`

// rejoinScript undoes removeMemberScript: $2 is where the others listen, $3 the member's
// name, $4 its peer URL, $5 its data, $6 the manifest and $7 the pod, both empty for a
// service, and $8 the number of a copy. A member that is listed as started was not removed,
// or is back. What was put aside once is the old member's data, and what lies in its place
// since is the new one's, as long as that is listed.
const rejoinScript = enter + members + `others=$2
aside=$5/.faultline-$1
hidden=/etc/kubernetes/manifests/.faultline-$1
look() { list=$(members list '{"linearizable":true}'); }
listed() { echo "$list" | jq --exit-status --raw-output "$@"; }
wait_for() {
  for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39 40; do
    "$@" && return
    sleep 0.5
  done
  return 1
}
copies() {
  for p in $(pgrep -x etcd); do
    [ "$(tr '\0' '\n' < "/proc/$p/environ" 2> /dev/null | sed -n 's/^FAULTLINE_COPY=//p')" = "$1" ] && echo "$p"
  done
  true
}
ended() { pods=$(crictl pods --quiet --state Ready --name "^$1\$") && [ -z "$pods" ] && [ -z "$(copies "$2")" ]; }
added() { look && new=$(listed --arg url "$1" '.members[] | select(.peerURLs[0] == $url) | .ID'); }
started() { look && listed --arg url "$1" '.members[] | select(.peerURLs[0] == $url and .name and .clientURLs) | .name' > /dev/null; }
release() {
  for p in $(pgrep -x kube-apiserver); do
    if tr '\0' '\n' < "/proc/$p/cmdline" 2> /dev/null | grep -q '^--etcd-servers=https://127\.0\.0\.1:'; then kill -s KILL "$p" || true; fi
  done
}
back() {
  started "$1" && return
  [ -z "$2" ] || [ $((try % 10)) -gt 0 ] || release
  return 1
}
add() {
  added "$1" && return
  answer=$(members add '{"peerURLs":["'"$1"'"]}' 2>&1)
  added "$1"
}
wait_for look || { echo "no other member of etcd answers on $others" >&2; exit 1; }
if ! started "$4"; then
  if [ "$6" ]; then
    if [ -e "$6" ]; then
      cp -p "$6" "$d/copy"
      sync "$d/copy"
      mv "$d/copy" "$d/manifest"
      sync "$d"
      rm "$6"
    fi
    wait_for ended "$7" "$8" || { echo "the kubelet does not end $7: the manifest is kept as $d/manifest" >&2; exit 1; }
  else
    systemctl stop etcd
  fi
  if [ ! -e "$aside" ]; then
    mkdir -p "$aside.new"
    [ ! -e "$5/member" ] || mv "$5/member" "$aside.new/member"
    mv "$aside.new" "$aside"
  elif ! added "$4"; then
    rm -rf "$5/member"
  fi
  wait_for add "$4" || { echo "etcd does not take the member back: $answer" >&2; exit 1; }
  if [ "$6" ]; then
    cluster=$(listed --arg id "$new" --arg name "$3" '[.members[] | "\(if .ID == $id then $name else .name // .ID end)=\(.peerURLs[0])"] | join(",")')
    cp -p "$d/manifest" "$hidden"
    sed -e '/^ *- --initial-cluster-state=/d' -e "s|^\( *- --initial-cluster\)=.*|\1=$cluster\n\1-state=existing|" "$d/manifest" > "$hidden"
    sync "$hidden"
    release
    mv "$hidden" "$6"
  else
    systemctl set-environment ETCD_INITIAL_CLUSTER_STATE=existing
    systemctl start etcd
  fi
  wait_for back "$4" "$6" || wait_for back "$4" "$6" || { echo "the member was added and does not start: see its log, and try again" >&2; exit 1; }
fi
[ "$6" ] || systemctl unset-environment ETCD_INITIAL_CLUSTER_STATE
rm -rf "$aside" "$aside.new"
rm -f "$d/copy" "$d/manifest" "$hidden"
` + leave
