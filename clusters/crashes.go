package clusters

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"
)

// forgetScript restarts the kubelet, and says so, when a container has ended since it started.
// One that is down stays so: that is for a check of the shape to find.
const forgetScript = `systemctl is-active --quiet kubelet || exit 0
nanoseconds() { date +%s%N --date="$1"; }
ends() {
  for id in $(crictl ps --all --quiet --state exited); do
    nanoseconds "$(crictl inspect --output go-template --template '{{.status.finishedAt}}' "$id")"
  done
}
began=$(nanoseconds "$(systemctl show --timestamp=us --property=ActiveEnterTimestamp --value kubelet)")
for end in $(ends); do
  [ "$end" -gt "$began" ] || continue
  systemctl restart kubelet
  echo restarted
  exit
done`

// ForgetCrashes lets every kubelet begin anew with its crash-loop back-off, as in a new
// cluster. A kubelet remembers how often each container has crashed, and waits the longer,
// up to Profile.MaxRestartPeriod, before it starts it again: what an experiment measures
// would depend on the experiments before it. Kubelets below which no container has ended
// are left alone; containers go on in any case. It returns the nodes whose kubelet was
// restarted; their pods may be called not ready for a second.
func (c *Cluster) ForgetCrashes(ctx context.Context) ([]*Node, error) {
	kubelets := c.Instances(Kubelet)
	said := make([]string, len(kubelets))
	var group errgroup.Group
	for k, i := range kubelets {
		group.Go(func() error {
			out, err := i.Node.Exec(ctx, "sh", "-c", forgetScript)
			if err != nil {
				return fmt.Errorf("let %s forget its containers' crashes: %w", i, err)
			}
			said[k] = strings.TrimSpace(string(out))
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var restarted []*Node
	for k, i := range kubelets {
		if said[k] != "" {
			restarted = append(restarted, i.Node)
		}
	}
	return restarted, nil
}
