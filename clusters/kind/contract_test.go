package kind_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"faultline/clusters"
	"faultline/clusters/clustertest"
	"faultline/clusters/kind"
)

// left lists what of a run is still on the machine.
func left(t *testing.T, o kind.Options) string {
	t.Helper()
	name := kind.ClusterName(o.Run, o.Sequence)
	containers, err := o.Engine.Run(context.Background(), "ps", "-aq", "--filter", "name="+name)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(o.Dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(containers) + strings.Join(files, " "))
}

func volumes(t *testing.T, o kind.Options) int {
	t.Helper()
	out, err := o.Engine.Run(context.Background(), "volume", "ls", "-q")
	if err != nil {
		t.Fatal(err)
	}
	return len(strings.Fields(string(out)))
}

func TestCreateProvesItsShapeAndDeleteLeavesNothing(t *testing.T) {
	o := clustertest.Options(t, clusters.SingleHostMinimal())
	ambient, _ := os.ReadFile(filepath.Join(os.Getenv("HOME"), ".kube", "config"))
	before := volumes(t, o)
	c, err := kind.Create(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("every endpoint answers", func(t *testing.T) {
		for _, e := range append(c.APIServers(), c.Front()) {
			client, err := c.Client(e)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := client.Discovery().ServerVersion(); err != nil {
				t.Errorf("%s: %v", e.Name, err)
			}
		}
	})
	t.Run("every component has a process, a container and a log", func(t *testing.T) {
		for _, component := range []clusters.Component{clusters.Etcd, clusters.APIServer, clusters.Scheduler, clusters.ControllerManager} {
			i := c.Instances(component)[0]
			p, err := i.Process(t.Context())
			if err != nil || p.PID < 2 {
				t.Errorf("%s: process %+v, %v", i, p, err)
			}
			containers, err := i.Containers(t.Context())
			if err != nil || len(containers) == 0 {
				t.Errorf("%s: containers %v, %v", i, containers, err)
			}
			log, err := i.Log(t.Context(), 5)
			if err != nil || len(log) == 0 {
				t.Errorf("%s: log of %d bytes, %v", i, len(log), err)
			}
		}
	})
	t.Run("a wrong shape is noticed", func(t *testing.T) {
		c.Topology = clusters.ThreeHostStacked()
		defer func() { c.Topology = clusters.SingleHostMinimal() }()
		if err := c.CheckShape(t.Context()); err == nil {
			t.Error("one node passed for five")
		}
	})
	t.Run("what is left behind is noticed", func(t *testing.T) { testAsNew(t, c) })
	t.Run("crashes are forgotten", func(t *testing.T) { testForgetCrashes(t, c) })
	t.Run("a cluster of the same name is left alone", func(t *testing.T) {
		if _, err := kind.Create(t.Context(), o); err == nil || !strings.Contains(err.Error(), "left alone") {
			t.Errorf("got %v", err)
		}
		if err := c.CheckShape(t.Context()); err != nil {
			t.Errorf("the refusal harmed it: %v", err)
		}
	})
	if err := errors.Join(c.Close(), kind.Delete(context.Background(), o.Engine, c.Name, o.Dir)); err != nil {
		t.Fatal(err)
	}
	if rest := left(t, o); rest != "" {
		t.Errorf("left: %s", rest)
	}
	if after := volumes(t, o); after != before {
		t.Errorf("%d volumes before, %d after", before, after)
	}
	if now, _ := os.ReadFile(filepath.Join(os.Getenv("HOME"), ".kube", "config")); string(now) != string(ambient) {
		t.Error("the ambient kubeconfig was touched")
	}
}

func TestInterruptedCreationLeavesNothing(t *testing.T) {
	for _, after := range []time.Duration{time.Second, 8 * time.Second} {
		t.Run(after.String(), func(t *testing.T) {
			o := clustertest.Options(t, clusters.ThreeHostStacked())
			before := volumes(t, o)
			ctx, cancel := context.WithTimeout(t.Context(), after)
			defer cancel()
			if _, err := kind.Create(ctx, o); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("got %v, want the interruption", err)
			}
			if rest := left(t, o); rest != "" {
				t.Errorf("left: %s", rest)
			}
			if now := volumes(t, o); now != before {
				t.Errorf("%d volumes before, %d after", before, now)
			}
		})
	}
}

func TestDeleteRefusesStrangers(t *testing.T) {
	o := clustertest.Options(t, clusters.SingleHostMinimal())
	if err := kind.Delete(t.Context(), o.Engine, "somebody-elses", o.Dir); err == nil {
		t.Fatal("a cluster that is not ours was accepted")
	}
}

// testAsNew leaves something behind, in each way that faults know, and takes it away.
func testAsNew(t *testing.T, c *clusters.Cluster) {
	if err := c.CheckAsNew(t.Context()); err == nil {
		t.Error("a cluster that nobody remembers passed")
	}
	if err := c.Remember(t.Context(), "ignored"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := c.CheckAsNew(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("verified in %s", time.Since(began))
	kubectl := "kubectl --kubeconfig=/etc/kubernetes/admin.conf "
	for reason, scripts := range map[string][2]string{
		"configmaps default/left": {kubectl + "create configmap left", kubectl + "delete configmap left"},
		" left":                   {kubectl + "create namespace left", kubectl + "delete namespace left"},
		"rule in filter":          {"iptables -A INPUT -s 192.0.2.1 -j DROP", "iptables -D INPUT -s 192.0.2.1 -j DROP"},
		"mount: /mnt":             {"mount -t tmpfs none /mnt", "umount /mnt"},
		"armed fault":             {"mkdir -p /var/lib/faultline/left", "rm -r /var/lib/faultline"},
		"queue":                   {"tc qdisc add dev eth0 root tbf rate 100mbit burst 32kbit latency 1s", "tc qdisc del dev eth0 root"},
		"manifest":                {"touch /etc/kubernetes/manifests/left", "rm /etc/kubernetes/manifests/left"},
	} {
		run(t, c.Nodes[0], scripts[0])
		if err := c.CheckAsNew(t.Context()); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("got %v, want %q", err, reason)
		}
		run(t, c.Nodes[0], scripts[1])
	}
	run(t, c.Nodes[0], kubectl+"create namespace ignored")
	if err := c.CheckAsNew(t.Context()); err != nil {
		t.Error(err)
	}
}

// testForgetCrashes lets a container crash until its kubelet waits before it starts it again,
// and once more after the kubelet has forgotten that.
func testForgetCrashes(t *testing.T, c *clusters.Cluster) {
	scheduler := c.Instances(clusters.Scheduler)[0]
	crash := func() time.Duration {
		old, err := scheduler.Process(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		run(t, scheduler.Node, fmt.Sprintf("kill -KILL %d", old.PID))
		began := time.Now()
		err = clusters.Await(t.Context(), 100*time.Millisecond, "another scheduler", func(ctx context.Context) error {
			p, err := scheduler.Process(ctx)
			if err == nil && p.Is(old) {
				err = errors.New("it is still there")
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return time.Since(began)
	}
	forget := func(want bool) {
		if restarted, err := c.ForgetCrashes(t.Context()); err != nil || restarted != want {
			t.Errorf("the kubelet was restarted: %t, %v; want %t", restarted, err, want)
		}
	}
	if _, err := c.ForgetCrashes(t.Context()); err != nil { // of its coming up
		t.Fatal(err)
	}
	crash()
	late := crash()
	forget(true)
	soon := crash()
	t.Logf("the second crash is mended after %s, the next one, which the kubelet takes for the first, after %s", late, soon)
	if period := clusters.FastProfile().MaxRestartPeriod; late < period/2 || soon > period/2 {
		t.Errorf("got %s and %s, want the back-off of %s before it is forgotten and not after", late, soon, period)
	}
	run(t, scheduler.Node, "systemctl stop kubelet")
	forget(false)
	run(t, scheduler.Node, "systemctl start kubelet")
	forget(false)
	crash()
	forget(true)
	forget(false)
	if err := clusters.Await(t.Context(), time.Second, "a cluster as new", c.CheckAsNew); err != nil {
		t.Error(err)
	}
}
