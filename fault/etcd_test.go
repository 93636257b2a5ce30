package fault

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"faultline/clusters"
)

// memberModel is a machine with an etcd that answers as it is told, by what it is asked.
type memberModel struct {
	answers map[string]string
	run     []string
}

// The flags of members, as the kernel keeps them.
const (
	serverFlags = "etcd\x00--name=n1\x00--data-dir=/var/lib/etcd\x00--initial-cluster=n1=https://a:2380,n2=https://b:2380,n3=https://c:2380\x00"
	joinedFlags = serverFlags + "--initial-cluster-state=existing\x00"
	firstFlags  = "etcd\x00--data-dir=/var/lib/etcd\x00--initial-cluster=n1=https://a:2380\x00"
	secondFlags = "etcd\x00--data-dir=/var/lib/etcd\x00--initial-cluster=n1=https://a:2380,n2=https://b:2380\x00--initial-cluster-state=existing\x00"

	threeMembers = `{"header":{"cluster_id":1,"member_id":11295605971505833001},"members":[{"ID":5,"clientURLs":["https://b:2379"]},` +
		`{"ID":11295605971505833001,"clientURLs":["https://a:2379"]},{"ID":7,"clientURLs":["https://c:2379"]}]}`
	oneMember = `{"header":{"member_id":5},"members":[{"ID":5,"clientURLs":["https://a:2379"]}]}`
)

func (m *memberModel) shell(_ context.Context, _ string, _ io.Reader, argv ...string) ([]byte, error) {
	question := argv[0]
	switch argv[0] {
	case "etcdctl":
		question = argv[len(etcdctl)+1] // after the endpoint
	case "sh":
		question = map[string]string{newDirectoryScript: "directory", lackingScript: "lacking"}[argv[2]]
		if argv[2] == clusters.ListProcesses {
			question = "processes"
		}
	}
	m.run = append(m.run, question)
	answer, ok := m.answers[question]
	if !ok {
		return nil, errors.New("not to be asked: " + strings.Join(argv, " "))
	}
	if why, failed := strings.CutPrefix(answer, "error: "); failed {
		return nil, errors.New(why)
	}
	return []byte(answer), nil
}

// member is the model as a member, with what is said of it unless the model says otherwise.
func (m *memberModel) member() clusters.Instance {
	for question, answer := range map[string]string{
		"processes": "17 S 99 100.00\n", "cat": serverFlags, "member": threeMembers, "alarm": "", "test": "", "lacking": "",
		"get": "/registry/x\n", "put": "error: etcdserver: key not found",
	} {
		if _, ok := m.answers[question]; !ok {
			m.answers[question] = answer
		}
	}
	n := &clusters.Node{Name: "n1", Role: clusters.EtcdServer, Components: []clusters.Component{clusters.Etcd}}
	(&clusters.Cluster{Nodes: []*clusters.Node{n}}).Reach(m.shell)
	return clusters.Instance{Component: clusters.Etcd, Node: n}
}

func corruptAny(i clusters.Instance) Fault { return CorruptData(i, 1) }

func TestFaultsOfMembersRefuseWhatMakesNoSense(t *testing.T) {
	for _, test := range []struct {
		name    string
		fault   func(clusters.Instance) Fault
		answers map[string]string
		want    string // empty: it can be done
	}{
		{"an alarm", RaiseNoSpace, nil, ""},
		{"a wipe", WipeData, nil, ""},
		{"corruption", corruptAny, nil, ""},
		{"no process", WipeData, map[string]string{"processes": ""}, "down already"},
		{"no data directory", WipeData, map[string]string{"cat": "etcd\x00"}, "was not started with --data-dir"},
		{"no members", RaiseNoSpace, map[string]string{"member": "{}"}, "unexpected answer"},
		{"nonsense", RaiseNoSpace, map[string]string{"member": "no"}, "ask etcd on n1 for the members"},
		{"no answer", corruptAny, map[string]string{"member": "error: deadline exceeded"}, "deadline exceeded"},
		{"an alarm already", RaiseNoSpace, map[string]string{"alarm": "memberID:5 alarm:CORRUPT\n"}, "has an alarm already (memberID:5 alarm:CORRUPT)"},
		{"data elsewhere", WipeData, map[string]string{"test": "error: exit status 1"}, "has no /var/lib/etcd/member"},
		{"a database elsewhere", corruptAny, map[string]string{"test": "error: exit status 1"}, "has no /var/lib/etcd/member/snap/db"},
		{"nothing stored", corruptAny, map[string]string{"get": "\n"}, "stores nothing"},
		{"no perl", corruptAny, map[string]string{"lacking": "perl\n"}, "has no perl"},
		{"no perl for the undo", WipeData, map[string]string{"lacking": "perl\n"}, "has no perl"},
		{"a node that does not tell its programs", WipeData, map[string]string{"lacking": "error: no route"}, "look for perl on node n1"},
		{"a wipe of one that would join again", WipeData, map[string]string{"cat": joinedFlags}, "could give a vote twice"},
		{"a wipe of the first", WipeData, map[string]string{"cat": firstFlags}, "names nobody else"},
		{"a wipe of one that knew two of three", WipeData, map[string]string{"cat": secondFlags}, ""},
		{"a wipe of the only one", WipeData, map[string]string{"cat": firstFlags, "member": oneMember}, ""},
		{"corruption of one that would join again", corruptAny, map[string]string{"cat": joinedFlags}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := &memberModel{answers: map[string]string{}}
			for question, answer := range test.answers {
				m.answers[question] = answer
			}
			err := test.fault(m.member()).Available(t.Context())
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if slices.Contains(m.run, "") || slices.Contains(m.run, "put") {
				t.Errorf("a look changed something: %v", m.run)
			}
		})
	}
	m := &memberModel{answers: map[string]string{"lacking": "perl\n"}}
	if err := corruptAny(m.member()).Available(t.Context()); !errors.Is(err, clusters.ErrUnsupported) {
		t.Errorf("no perl: got %v, want ErrUnsupported", err)
	}
	other := m.member()
	other.Component = clusters.Kubelet
	if err := WipeData(other).Available(t.Context()); err == nil || !strings.Contains(err.Error(), "stores nothing") {
		t.Errorf("a kubelet: got %v", err)
	}
}

func TestFaultsOfMembersProveTheirEffect(t *testing.T) {
	const listed, refused = "memberID:11295605971505833001 alarm:NOSPACE\n", "error: etcdserver: mvcc: database space exceeded"
	for _, test := range []struct {
		name    string
		fault   func(clusters.Instance) Fault
		answers map[string]string
		want    string // in the error; empty: it has landed
	}{
		{"an alarm", RaiseNoSpace, map[string]string{"alarm": listed, "put": refused}, ""},
		{"no alarm", RaiseNoSpace, map[string]string{"put": refused}, "want memberID:11295605971505833001"},
		{"another member's alarm", RaiseNoSpace, map[string]string{"alarm": "memberID:5 alarm:NOSPACE\n", "put": refused}, "want memberID"},
		{"an alarm without effect", RaiseNoSpace, map[string]string{"alarm": listed}, "the alarm has no effect"},
		{"another error", RaiseNoSpace, map[string]string{"alarm": listed, "put": "error: no leader"}, "no leader"},
		{"a wipe", WipeData, map[string]string{"directory": "away\nbegun\n"}, ""},
		{"data in place", WipeData, map[string]string{"directory": "in place\nbegun\n"}, "is in place"},
		{"no new directory", WipeData, map[string]string{"directory": "away\nnot begun\n"}, "a new directory is not begun"},
		{"other bytes", corruptAny, map[string]string{"perl": "flipped aa 4096\nflipped bb 8192\n"}, ""},
		{"a byte as it was", corruptAny, map[string]string{"perl": "flipped aa 4096\nwhole bb 8192\n"}, "whole bb 8192"},
		{"a value that is gone", corruptAny, map[string]string{"perl": "gone aa 0\n"}, "gone aa"},
		{"no bytes", corruptAny, map[string]string{"perl": ""}, "no byte"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := &memberModel{answers: map[string]string{}}
			effects, err := test.fault(m.member()).plan(t.Context(), "x")
			if err != nil {
				t.Fatal(err)
			}
			for question, answer := range test.answers {
				m.answers[question] = answer
			}
			proof, err := effects[0].prove(t.Context())
			if test.want == "" && (err != nil || proof == "") || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %q, %v; want %q", proof, err, test.want)
			}
		})
	}
}

func TestAnAlarmTakesEveryMemberOfItsEtcd(t *testing.T) {
	c := modelCluster(t, newModel().shell)
	members := c.EtcdMembers()
	if taken := RaiseNoSpace(members[1]).parts[0].takes(c); !slices.Equal(taken, members) {
		t.Errorf("it takes %v", taken)
	}
	if taken := CorruptData(members[1], 1).parts[0].takes(c); len(taken) != 1 || taken[0] != members[1] {
		t.Errorf("corruption takes %v", taken)
	}
	stranger := (&memberModel{answers: map[string]string{}}).member()
	if taken := RaiseNoSpace(stranger).parts[0].takes(c); len(taken) != 1 {
		t.Errorf("a stranger's alarm takes %v", taken)
	}
}

// The alarm's scripts with a stand-in for curl, of which the first member does not answer.
func TestScriptsRaiseAndDisarm(t *testing.T) {
	s := newSandbox(t)
	s.write("bin/curl", `#!/bin/sh
for last; do :; done
case "$last" in
  */a/*) echo "no leader" >&2; exit 22 ;;
  *) echo "$last $*" | sed 's/ .*--data / /' >>"$UNITS/asked" ;;
esac
`)
	run := func(script, endpoints string) error {
		_, err := s.shell(t.Context(), "", nil, command(script, "alarm-0", "17", endpoints)...)
		return err
	}
	asked := func() string {
		content, _ := os.ReadFile(s.path("units/asked"))
		return string(content)
	}
	if err := run(raiseScript, "b"); err == nil || !strings.Contains(err.Error(), "not armed") || asked() != "" {
		t.Errorf("unarmed: %v, asked %s", err, asked())
	}
	if _, err := s.shell(t.Context(), "", nil, effect{id: "alarm-0", undo: []string{"true"}}.armCommands(time.Minute)[0]...); err != nil {
		t.Fatal(err)
	}
	if err := run(raiseScript, "x/a y/b"); err != nil || !strings.Contains(asked(), `y/b/v3/maintenance/alarm {"action":"ACTIVATE","memberID":"17","alarm":"NOSPACE"}`) {
		t.Errorf("%v, asked %s", err, asked())
	}
	if err := run(disarmScript, "x/a"); err == nil || !strings.Contains(err.Error(), "no member of x/a could change the alarm: no leader") {
		t.Errorf("nobody answers: %v", err)
	}
	if len(s.leftovers()) == 0 {
		t.Error("an undo that failed has given up its second chance")
	}
	if err := errors.Join(run(disarmScript, "x/a y/b"), run(disarmScript, "x/a y/b")); err != nil || strings.Count(asked(), "DEACTIVATE") != 1 {
		t.Errorf("%v, asked %s", err, asked())
	}
	os.Remove(s.path("units/asked"))
	if left := s.leftovers(); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

func TestScriptsOfStoresSurviveSystemd(t *testing.T) {
	for _, script := range []string{
		takeInodesScript, stallScript, resumeDiskScript, protectScript, unprotectScript, raiseScript, disarmScript,
		wipeScript, unwipeScript, corruptScript, uncorruptScript, corruptProgram,
	} {
		if strings.Contains(script, "${") || strings.Contains(script, "$$") {
			t.Errorf("systemd would rewrite ${ or $$ in %s", script)
		}
	}
}
