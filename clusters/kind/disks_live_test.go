package kind

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"faultline/clusters"
	"faultline/clusters/engine"
	"faultline/clusters/images"
	"faultline/clusters/progress"
)

// The contract of disks, on machines of a host that run a real etcd each, by themselves.

// diskHost is a host with a disk and machines on it.
type diskHost struct {
	t      *testing.T
	engine *engine.Engine
	image  string
	disk   clusters.Disk
	dir    string // of the disk's images
	nodes  []*clusters.Node
}

const loneEtcd = `[Unit]
StartLimitIntervalSec=0
[Service]
ExecStart=/usr/local/bin/etcd --data-dir=/var/lib/etcd --listen-client-urls=http://0.0.0.0:2379 --advertise-client-urls=http://127.0.0.1:2379
Restart=always
RestartSec=200ms
[Install]
WantedBy=multi-user.target
`

func liveImage(t *testing.T) (*engine.Engine, string) {
	t.Helper()
	if os.Getenv("FAULTLINE_LIVE_TESTS") == "" {
		t.Skip("needs a container engine; run it with FAULTLINE_LIVE_TESTS=1")
	}
	p := progress.New(os.Stdout)
	e, err := engine.Ensure(t.Context(), engine.Options{Progress: p})
	if err != nil {
		t.Fatal(err)
	}
	set, err := images.Ensure(t.Context(), e, p)
	if err != nil {
		t.Fatal(err)
	}
	return e, set.Node
}

// newDiskHost starts machines that share a disk. With the test, everything of it ends,
// and nothing of it may be left.
func newDiskHost(t *testing.T, machines int, devices int) *diskHost {
	t.Helper()
	e, image := liveImage(t)
	name := "t" + strings.ToLower(rand.Text()[:8])
	h := &diskHost{
		t: t, engine: e, image: image, dir: filepath.Join(t.TempDir(), "disks", "h1"),
		disk: clusters.Disk{Name: name, Bytes: 512 << 20, Devices: devices, Mirrored: devices > 1},
	}
	if err := os.MkdirAll(h.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.checkNothingLeft) // after the containers are removed
	for n := range machines {
		h.start(fmt.Sprintf("%s%s-%d", prefix, name, n+1))
	}
	if err := prepareDisks(t.Context(), h.nodes); err != nil {
		t.Fatal(err)
	}
	for _, n := range h.nodes {
		unit := file{path: "/etc/systemd/system/etcd.service", content: []byte(loneEtcd), public: true}
		if err := errors.Join(writeFiles(t.Context(), n, unit), startServices(t.Context(), n, "etcd.service")); err != nil {
			t.Fatal(err)
		}
		h.well(n)
	}
	return h
}

func (h *diskHost) start(name string) {
	h.t.Helper()
	h.t.Cleanup(func() { h.engine.Run(context.Background(), "rm", "-f", "-v", name) })
	h.run("run", "--detach", "--name", name, "--hostname", name, "--label", clusters.RunLabel+"=test", "--privileged", "--cgroupns=private",
		"--tmpfs", "/tmp", "--tmpfs", "/run", "--volume", clusters.EtcdData, "--volume", h.dir+":/faultline/disks",
		h.image, "systemd.mask=kubelet.service", "systemd.mask=containerd.service")
	n := &clusters.Node{Name: name, Host: "h1", Role: clusters.EtcdServer, Components: []clusters.Component{clusters.Etcd}, Disk: &h.disk, DiskHost: "h1"}
	(&clusters.Cluster{Nodes: []*clusters.Node{n}}).Reach(Shell(h.engine))
	n.Address = h.address(n)
	h.nodes = append(h.nodes, n)
}

func (h *diskHost) address(n *clusters.Node) string {
	h.t.Helper()
	return h.run("inspect", "--format", "{{.NetworkSettings.IPAddress}}", n.Name)
}

func (h *diskHost) run(args ...string) string {
	h.t.Helper()
	out, err := h.engine.Run(h.t.Context(), args...)
	if err != nil {
		h.t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// exec runs a command on a machine that has to succeed.
func (h *diskHost) exec(n *clusters.Node, argv ...string) string {
	h.t.Helper()
	out, err := n.Exec(h.t.Context(), argv...)
	if err != nil {
		h.t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func (h *diskHost) await(what string, within time.Duration, check func(context.Context) error) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	var last error // that is not the end of the time
	err := clusters.Await(ctx, 100*time.Millisecond, what, func(ctx context.Context) error {
		err := check(ctx)
		if ctx.Err() == nil {
			last = err
		}
		return err
	})
	if err != nil {
		h.t.Errorf("waited %s for %s: %v", within, what, last)
	}
}

// well waits until the machine's etcd answers and its disk is whole.
func (h *diskHost) well(n *clusters.Node) {
	h.t.Helper()
	client := h.client(n)
	h.await("etcd on "+n.Name, 30*time.Second, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, err := client.Get(ctx, "k")
		return err
	})
	h.await("a whole disk of "+n.Name, 10*time.Second, n.CheckDisk)
}

func (h *diskHost) client(n *clusters.Node) *clientv3.Client {
	h.t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{"http://" + n.Address + ":2379"}, Logger: zap.NewNop()})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { client.Close() })
	return client
}

func (h *diskHost) put(n *clusters.Node, key, value string) error {
	ctx, cancel := context.WithTimeout(h.t.Context(), 5*time.Second)
	defer cancel()
	_, err := h.client(n).Put(ctx, key, value)
	return err
}

// expect reads the key k.
func (h *diskHost) expect(n *clusters.Node, value string) {
	h.t.Helper()
	response, err := h.client(n).Get(h.t.Context(), "k")
	if err != nil || len(response.Kvs) != 1 || string(response.Kvs[0].Value) != value {
		h.t.Errorf("on %s: got %v, %v; want %s", n.Name, response, err, value)
	}
}

// sub is a part of the test.
func (h *diskHost) sub(name string, part func(t *testing.T)) {
	whole := h.t
	whole.Run(name, func(t *testing.T) {
		h.t = t
		defer func() { h.t = whole }()
		part(t)
	})
}

// checkNothingLeft looks for loop devices and mounts of the disk on this machine.
func (h *diskHost) checkNothingLeft() {
	h.await("the end of all loop devices and mounts", 10*time.Second, func(context.Context) error {
		files, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
		if err != nil {
			return err
		}
		for _, f := range append(files, "/proc/self/mounts") {
			content, _ := os.ReadFile(f) // a device may go meanwhile
			if strings.Contains(string(content), h.disk.Name) {
				return fmt.Errorf("left in %s: %s", f, content)
			}
		}
		return nil
	})
}

// eio expects that a file cannot be written because of an I/O error. A node that boots has
// the folder locked until its disk is there.
func (h *diskHost) eio(n *clusters.Node, path string) {
	h.t.Helper()
	h.await("EIO from "+path, 20*time.Second, func(ctx context.Context) error {
		_, err := n.Exec(ctx, "sh", "-c", `echo x > "$1"`, "sh", path)
		if err == nil {
			return errors.New("it could be written")
		}
		if !strings.Contains(err.Error(), "Input/output error") {
			return err
		}
		return nil
	})
}

func (h *diskHost) reboot(n *clusters.Node) {
	h.t.Helper()
	h.run("kill", n.Name)
	h.run("start", n.Name)
	n.Address = h.address(n)
}

func TestThisMachineSupportsDisks(t *testing.T) {
	e, image := liveImage(t)
	layout := clusters.Topology{Hosts: []clusters.Host{{Name: "h1", Disks: []clusters.Disk{{Name: "plain", Devices: 1}, {Name: "mirror", Devices: 2}}}}}
	if err := storageSupport(t.Context(), e, image, layout); err != nil {
		t.Error(err)
	}
	script := diskScript
	defer func() { diskScript = script }()
	diskScript = []byte("#!/bin/sh\necho there are no loop devices >&2\nexit 3\n")
	err := storageSupport(t.Context(), e, image, layout)
	if !errors.Is(err, clusters.ErrUnsupported) || !strings.Contains(err.Error(), "no loop devices") {
		t.Errorf("got %v, want the reason", err)
	}
	diskScript = []byte("#!/bin/sh\nexit 1\n")
	if err := storageSupport(t.Context(), e, image, layout); err == nil || errors.Is(err, clusters.ErrUnsupported) {
		t.Errorf("got %v, want an error that is no lack of support", err)
	}
	if err := storageSupport(t.Context(), e, "no-such-image", clusters.SingleHostMinimal()); err != nil {
		t.Errorf("a layout without disks: %v", err)
	}
}

func TestPlainDiskOfTwoMachines(t *testing.T) {
	h := newDiskHost(t, 2, 1)
	first, second := h.nodes[0], h.nodes[1]
	for _, n := range h.nodes {
		if err := h.put(n, "k", n.Name); err != nil {
			t.Fatal(err)
		}
	}
	h.sub("the size is capped", func(t *testing.T) {
		out := h.exec(first, "sh", "-c", `LC_ALL=C dd if=/dev/zero of=/var/lib/etcd/big bs=1M count=512 conv=fsync 2>&1; rm /var/lib/etcd/big; sync /var/lib/etcd`)
		if !strings.Contains(out, "No space left on device") {
			t.Errorf("512 MiB fit beside etcd: %s", out)
		}
		h.well(first)
	})
	h.sub("a failure hits both, and both come back with their data", func(t *testing.T) {
		h.exec(first, clusters.DiskTool, "fail", "0")
		for _, n := range h.nodes {
			h.eio(n, "/var/lib/etcd/x")
			if err := h.put(n, "lost", "x"); err == nil {
				t.Errorf("etcd on %s stored something on a dead disk", n.Name)
			}
			if err := n.CheckDisk(t.Context()); err == nil || !strings.Contains(err.Error(), "device 0 has failed") {
				t.Errorf("got %v, want the failed device", err)
			}
		}
		h.reboot(second)
		h.await("the disk after the reboot", 20*time.Second, func(ctx context.Context) error { _, err := second.DiskStatus(ctx); return err })
		h.eio(second, "/var/lib/etcd/x")
		start := time.Now()
		h.exec(first, clusters.DiskTool, "restore", "0")
		t.Logf("brought back in %s", time.Since(start))
		for _, n := range h.nodes {
			h.well(n)
			h.expect(n, n.Name)
		}
		t.Logf("both are well after %s", time.Since(start))
		h.exec(first, clusters.DiskTool, "restore", "0") // nothing to do
	})
	h.sub("everything is back after a reboot", func(t *testing.T) {
		for _, n := range h.nodes {
			h.reboot(n)
			h.well(n)
			h.expect(n, n.Name)
		}
	})
	h.sub("a full disk stops etcd until there is space", func(t *testing.T) {
		h.exec(first, clusters.DiskTool, "fill", "1048576")
		var err error
		for n := 0; n < 500 && err == nil; n++ {
			err = h.put(first, fmt.Sprintf("fill-%d", n), strings.Repeat("x", 1<<20))
		}
		if err == nil {
			t.Error("etcd stored 500 MiB on a full disk")
		}
		if log := h.exec(first, "journalctl", "-u", "etcd", "-o", "cat", "--no-pager", "--since", "-1min"); !strings.Contains(log, "no space left on device") {
			t.Errorf("etcd did not run out of space: %v", err)
		}
		if err := first.CheckDisk(t.Context()); err == nil || !strings.Contains(err.Error(), "filled") {
			t.Errorf("got %v, want the filling", err)
		}
		h.exec(first, clusters.DiskTool, "free")
		h.well(first)
		h.expect(first, first.Name)
	})
	h.sub("a throttle slows every etcd of the host", func(t *testing.T) {
		const rate, sample = "102400", "204800"
		write := func(n *clusters.Node) time.Duration {
			took, err := time.ParseDuration(h.exec(n, clusters.DiskTool, "time_write", sample) + "ms")
			if err != nil {
				t.Fatal(err)
			}
			return took
		}
		h.exec(first, clusters.DiskTool, "throttle", rate)
		limited := func(n *clusters.Node, want string) func(context.Context) error {
			return func(ctx context.Context) error {
				out, err := n.Exec(ctx, clusters.DiskTool, "limits")
				if err == nil && strings.TrimSpace(string(out)) != want {
					err = fmt.Errorf("%s: limits %s, want %s", n.Name, out, want)
				}
				return err
			}
		}
		for _, n := range h.nodes {
			h.await("the limit", 10*time.Second, limited(n, rate))
			if took := write(n); took < time.Second {
				t.Errorf("%s wrote %s bytes in %s at %s a second", n.Name, sample, took, rate)
			}
		}
		h.exec(second, "pkill", "-KILL", "-x", "etcd")
		h.await("the limit of a new etcd", 10*time.Second, limited(second, rate))
		h.exec(first, clusters.DiskTool, "unthrottle")
		for _, n := range h.nodes {
			h.await("no limit", 10*time.Second, limited(n, "0"))
			if took := write(n); took > time.Second {
				t.Errorf("%s wrote %s bytes in %s without a limit", n.Name, sample, took)
			}
			h.well(n)
		}
	})
	h.sub("another directory is noticed", func(t *testing.T) {
		h.exec(first, "umount", "-l", clusters.EtcdData)
		if err := first.CheckDisk(t.Context()); err == nil || !strings.Contains(err.Error(), "want the directory") {
			t.Errorf("got %v, want the wrong mount", err)
		}
		if _, err := first.Exec(t.Context(), "touch", clusters.EtcdData+"/x"); err == nil {
			t.Error("etcd could start anew beside its disk")
		}
		h.exec(first, clusters.DiskTool, "up")
		if err := first.CheckDisk(t.Context()); err != nil {
			t.Error(err)
		}
		first.DiskHost = "h2"
		if err := first.CheckDisk(t.Context()); err == nil || !strings.Contains(err.Error(), "not of the host") {
			t.Errorf("got %v, want the wrong host", err)
		}
		first.DiskHost = "h1"
		larger := *first.Disk
		larger.Bytes *= 2
		first.Disk = &larger
		if err := first.CheckDisk(t.Context()); err == nil || !strings.Contains(err.Error(), "bytes, want") {
			t.Errorf("got %v, want the wrong size", err)
		}
		first.Disk = &h.disk
		if err := first.ReplaceDevice(t.Context(), 0); err == nil || !strings.Contains(err.Error(), "no mirror") {
			t.Errorf("got %v, want a refusal", err)
		}
	})
}

// writer puts numbered keys until it is stopped, and tells how many etcd acknowledged.
func (h *diskHost) writer(n *clusters.Node) (stop func() (acknowledged int, slowest time.Duration, err error)) {
	ctx, cancel := context.WithCancel(h.t.Context())
	client := h.client(n)
	acknowledged, slowest, failed := 0, time.Duration(0), make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			start := time.Now()
			if _, err := client.Put(h.t.Context(), fmt.Sprintf("w%d", acknowledged), "x"); err != nil {
				failed <- err
				return
			}
			acknowledged++
			slowest = max(slowest, time.Since(start))
		}
		failed <- nil
	}()
	return func() (int, time.Duration, error) {
		cancel()
		err := <-failed
		return acknowledged, slowest, err
	}
}

func TestMirrorSurvivesEitherDevice(t *testing.T) {
	h := newDiskHost(t, 1, 2)
	n := h.nodes[0]
	etcd := n.Instances(clusters.Etcd)[0]
	before, err := etcd.Process(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stop := h.writer(n)
	for _, device := range []int{0, 1, 0} {
		h.exec(n, clusters.DiskTool, "fail", fmt.Sprint(device))
		h.eio(n, fmt.Sprintf("%s/%s-%d/x", clusters.DevicesDir, h.disk.Name, device))
		if err := h.put(n, fmt.Sprintf("without-%d", device), "x"); err != nil {
			t.Errorf("without device %d: %v", device, err)
		}
		if err := n.CheckDisk(t.Context()); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("device %d has failed", device)) {
			t.Errorf("got %v, want the failed device", err)
		}
		if _, err := n.Exec(t.Context(), clusters.DiskTool, "fail", fmt.Sprint(1-device)); err == nil || !strings.Contains(err.Error(), "has failed already") {
			t.Errorf("the last device: got %v, want a refusal", err)
		}
		start := time.Now()
		if err := n.ReplaceDevice(t.Context(), device); err != nil {
			t.Fatal(err)
		}
		t.Logf("device %d replaced in %s", device, time.Since(start))
	}
	acknowledged, slowest, err := stop()
	if err != nil {
		t.Error(err)
	}
	t.Logf("%d writes, the slowest %s", acknowledged, slowest)
	if after, err := etcd.Process(t.Context()); err != nil || !after.Is(before) {
		t.Errorf("etcd was process %+v and is %+v, %v", before, after, err)
	}
	h.well(n)

	// Without a device across a reboot: nothing may be lost, also with an old copy in reach.
	h.exec(n, clusters.DiskTool, "fail", "1")
	if err := h.put(n, "k", "late"); err != nil {
		t.Error(err)
	}
	h.reboot(n)
	h.await("etcd after the reboot", 30*time.Second, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, err := h.client(n).Get(ctx, "k")
		return err
	})
	mark := fmt.Sprintf("/faultline/disks/%s-1.failed", h.disk.Name)
	h.exec(n, "mv", mark, mark+".away")
	if err := n.CheckDisk(t.Context()); err == nil || !strings.Contains(err.Error(), "Input/output error") {
		t.Errorf("a failure that nobody knows of: got %v, want it noticed", err)
	}
	h.exec(n, "mv", mark+".away", mark)
	if err := n.ReplaceDevice(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	h.exec(n, clusters.DiskTool, "fail", "0") // whatever is read now is from the new device
	h.expect(n, "late")
	response, err := h.client(n).Get(t.Context(), "w", clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil || int(response.Count) < acknowledged {
		t.Errorf("%v of %d acknowledged writes are there, %v", response, acknowledged, err)
	}
	if err := n.ReplaceDevice(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	h.reboot(n)
	h.well(n)
	h.expect(n, "late")
	if err := n.ReplaceDevice(t.Context(), 2); err == nil || !strings.Contains(err.Error(), "no device 2") {
		t.Errorf("got %v, want a refusal", err)
	}
}

// TestMirrorOfThreeMachines breaks a mirror below several members at one of them: the others
// have the devices mounted, too, and have to follow. With the data of three there is no
// free chunk, so that a rebuild takes the room that is kept for it.
func TestMirrorOfThreeMachines(t *testing.T) {
	h := newDiskHost(t, 3, 2)
	for _, at := range []struct{ device, node int }{{0, 0}, {1, 0}, {0, 1}} {
		n := h.nodes[at.node]
		h.exec(n, clusters.DiskTool, "fail", fmt.Sprint(at.device))
		for _, other := range h.nodes {
			if err := h.put(other, "k", other.Name); err != nil {
				t.Errorf("without device %d: %v", at.device, err)
			}
			if err := other.CheckDisk(t.Context()); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("device %d has failed", at.device)) {
				t.Errorf("got %v, want the failed device", err)
			}
		}
		start := time.Now()
		h.exec(n, clusters.DiskTool, "restore", fmt.Sprint(at.device))
		for _, other := range h.nodes {
			h.well(other)
			h.expect(other, other.Name)
		}
		t.Logf("device %d is whole for all after %s", at.device, time.Since(start))
	}
}
