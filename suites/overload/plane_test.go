package overload

import (
	"context"
	"io"
	"strings"
	"testing"

	"faultline/clusters"
)

// onNode is a plane of one scheduler with the process 7, on a node that answers with the process
// that is there now and how the last container ended.
func onNode(process, exit string) Plane {
	n := &clusters.Node{Name: "n1", Role: clusters.ControlPlane}
	(&clusters.Cluster{Nodes: []*clusters.Node{n}}).Reach(func(_ context.Context, _ string, _ io.Reader, argv ...string) ([]byte, error) {
		switch command := strings.Join(argv, " "); {
		case strings.HasPrefix(command, "crictl ps"):
			return []byte(`{"containers":[{"id":"new","state":"CONTAINER_RUNNING","createdAt":"2"},{"id":"old","state":"CONTAINER_EXITED","createdAt":"1"}]}`), nil
		case strings.HasPrefix(command, "crictl inspect") && strings.HasSuffix(command, " old"):
			return []byte(exit + "\n"), nil
		}
		return []byte(process + "\n"), nil
	})
	return Plane{processes: map[clusters.Instance]clusters.Process{n.Instances(clusters.Scheduler)[0]: {PID: 7, State: "S", StartTicks: 100}}}
}

func TestWhoWasKilled(t *testing.T) {
	for _, test := range []struct{ name, process, exit, want string }{
		{"the same process, and an older one that was killed", "7 S 100 9.00", "137", ""},
		{"another, because it has lost its lock", "8 S 200 9.00", "1", ""},
		{"another, because it was killed", "8 S 200 9.00", "137", "was killed"},
		{"another, and nobody knows why", "8 S 200 9.00", "?", "invalid syntax"},
	} {
		err := onNode(test.process, test.exit).killed(t.Context())
		if got := err != nil; got != (test.want != "") || got && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", test.name, err, test.want)
		}
	}
}
