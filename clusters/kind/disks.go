package kind

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os/exec"
	"strconv"

	"golang.org/x/sync/errgroup"

	"faultline/clusters"
	"faultline/clusters/engine"
)

// diskScript is clusters.DiskTool.
//
//go:embed disk.sh
var diskScript []byte

// installDisk writes the script that it reads and runs it with its arguments.
const installDisk = `set -e
cat > ` + clusters.DiskTool + `
chmod 755 ` + clusters.DiskTool + `
exec ` + clusters.DiskTool + ` "$@"
`

// prepareDisks gives each node that should have one its disk, now and after each boot.
// It has to be done before anything stores data there.
func prepareDisks(ctx context.Context, nodes []*clusters.Node) error {
	var group errgroup.Group
	for _, n := range nodes {
		if n.Disk != nil {
			group.Go(func() error { return prepareDisk(ctx, n) })
		}
	}
	return group.Wait()
}

func prepareDisk(ctx context.Context, n *clusters.Node) error {
	d := n.Disk
	_, err := n.ExecInput(ctx, bytes.NewReader(diskScript), "sh", "-c", installDisk, "sh",
		"install", d.Name, strconv.FormatInt(d.Bytes, 10), strconv.Itoa(d.Devices))
	if err == nil {
		err = startServices(ctx, n, "etcd-disk.service", "etcd-disk.path", "etcd-disk-limit.path")
	}
	if err != nil {
		return fmt.Errorf("host %s, node %s: prepare disk %s: %w", n.DiskHost, n.Name, d.Name, err)
	}
	return nil
}

const (
	// checkedBytes is the size of the disks that are tried out.
	checkedBytes = 256 << 20
	// unsupportedStatus is how a trial ends when the machine lacks something.
	unsupportedStatus = 3
	// trialSeconds ends a trial that we were killed over.
	trialSeconds = "120"
)

// storageSupport tries out, in a container that is thrown away, each kind of disk that
// the layout has: it is made, fails, and is mended. What this machine or the image
// lacks is a clusters.ErrUnsupported with the reason.
func storageSupport(ctx context.Context, e *engine.Engine, image string, t clusters.Topology) error {
	tried := map[int]bool{}
	for _, h := range t.Hosts {
		for _, d := range h.Disks {
			if tried[d.Devices] {
				continue
			}
			tried[d.Devices] = true
			if err := tryDisk(ctx, e, image, d.Devices); err != nil {
				return fmt.Errorf("disk %s of host %s: %w", d.Name, h.Name, err)
			}
		}
	}
	return nil
}

func tryDisk(ctx context.Context, e *engine.Engine, image string, devices int) error {
	_, err := e.RunInput(ctx, bytes.NewReader(diskScript), "run", "--rm", "--interactive", "--privileged",
		"--label", clusters.RunLabel+"=storage", "--network", "none", "--tmpfs", "/faultline/disks",
		"--entrypoint", "timeout", image, "--signal=KILL", trialSeconds,
		"sh", "-c", installDisk, "sh", "check", "trial", strconv.Itoa(checkedBytes), strconv.Itoa(devices))
	var failed *engine.CommandError
	var exit *exec.ExitError
	if errors.As(err, &failed) && errors.As(err, &exit) && exit.ExitCode() == unsupportedStatus {
		return fmt.Errorf("%w: %s", clusters.ErrUnsupported, failed.Stderr)
	}
	if err != nil {
		return fmt.Errorf("find out what this machine supports: %w", err)
	}
	return nil
}
