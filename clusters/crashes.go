package clusters

import (
	"context"
	"fmt"
	"sync/atomic"

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
// are left alone; containers go on in any case. It tells whether a kubelet was restarted; the
// pods of its node may be called not ready for a second.
func (c *Cluster) ForgetCrashes(ctx context.Context) (restarted bool, err error) {
	var some atomic.Bool
	var group errgroup.Group
	for _, i := range c.Instances(Kubelet) {
		group.Go(func() error {
			out, err := i.Node.Exec(ctx, "sh", "-c", forgetScript)
			if err != nil {
				return fmt.Errorf("let %s forget its containers' crashes: %w", i, err)
			}
			if len(out) > 0 {
				some.Store(true)
			}
			return nil
		})
	}
	err = group.Wait()
	return some.Load(), err
}
