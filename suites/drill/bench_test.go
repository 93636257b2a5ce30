package drill

import (
	"context"
	"io"
	"strings"
	"testing"

	"faultline/clusters"
)

// used is a bench with a cluster that nobody remembers as new, and whose kubelet answers so
// when it is to forget crashes; asked counts how often it was.
func used(answer string) (b *Bench, asked *int) {
	asked = new(int)
	c := &clusters.Cluster{Name: "used", Nodes: []*clusters.Node{{Name: "n1", Role: clusters.ControlPlane}}}
	c.Reach(func(_ context.Context, _ string, _ io.Reader, argv ...string) ([]byte, error) {
		if strings.Contains(strings.Join(argv, " "), "systemctl restart kubelet") {
			*asked++
		}
		return []byte(answer), nil
	})
	return &Bench{cluster: c, Timing: clusters.Timing{Slack: 0.01}}, asked
}

func TestAUsedClusterForgetsCrashesAndIsLookedAtAgain(t *testing.T) {
	for answer, again := range map[string]bool{"": false, "restarted\n": true} {
		b, asked := used(answer)
		err := b.renew(t.Context())
		if *asked != 1 {
			t.Errorf("answer %q: the kubelet was asked %d times to forget crashes, want once", answer, *asked)
		}
		if looked := err != nil && strings.Contains(err.Error(), "nobody has recorded"); looked != again {
			t.Errorf("answer %q: got %v, want another look only after a restart", answer, err)
		}
	}
}
