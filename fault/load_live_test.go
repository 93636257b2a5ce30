package fault

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"faultline/clusters"
)

// counted is a load with what the API or etcd counts of it, and how many more of these
// there have to be each second.
type counted struct {
	fault  Fault
	count  func(*testing.T, *Injection) float64
	faster float64
}

// contractLoads judges loads by what the API server and etcd count.
func contractLoads(t *testing.T, c *clusters.Cluster, n *clusters.Node) {
	of := func(parts ...string) func(*testing.T, *Injection) float64 {
		return func(t *testing.T, _ *Injection) float64 { return metric(t, c, parts...) }
	}
	below := func(prefix string) func(*testing.T, *Injection) float64 {
		return func(t *testing.T, i *Injection) float64 { return storedKeys(t, c, prefix+namespaceOf(i)+"/") }
	}
	t.Run("many requests", func(t *testing.T) {
		// As the server counts them for the level of clients without privileges.
		contractTogether(t, c,
			counted{FloodAPI(n, 50, 100), of("apiserver_flowcontrol_dispatched_requests_total", `flow_schema="service-accounts"`, `priority_level="workload-low"`), 30},
			counted{EventStorm(n, 50), below("/registry/events/"), 15})
	})
	t.Run("costly requests", func(t *testing.T) {
		contractTogether(t, c,
			counted{BigLists(n, 50, 1), of("apiserver_request_total", `resource="configmaps"`, `verb="LIST"`), 1},
			counted{ChurnPods(n, 1), of("apiserver_request_total", `resource="pods"`, `verb="POST"`), 0.4})
	})
}

// contractTogether lands loads, counts for a while, and waits until all are healed.
func contractTogether(t *testing.T, c *clusters.Cluster, loads ...counted) {
	in := liveInjector(t, c)
	injections := make([]*Injection, len(loads))
	before := make([]float64, len(loads))
	for k, l := range loads {
		injections[k] = landLive(t, in, l.fault)
		before[k] = l.count(t, injections[k])
	}
	start := time.Now()
	time.Sleep(3 * time.Second)
	for k, l := range loads {
		rate := (l.count(t, injections[k]) - before[k]) / time.Since(start).Seconds()
		t.Logf("%s: the cluster counts %.1f a second", l.fault.Kind, rate)
		if rate < l.faster {
			t.Errorf("%s: the cluster counts %.1f a second, want %.1f at least", l.fault.Kind, rate, l.faster)
		}
		if l.fault.Kind == KindBigLists && storedKeys(t, c, "/registry/configmaps/"+namespaceOf(injections[k])+"/") < 50 {
			t.Error("etcd does not have the 50 objects that are listed")
		}
	}
	healNode(t, c, injections...)
	for _, i := range injections {
		if storedKeys(t, c, "/registry/namespaces/"+namespaceOf(i)) != 0 {
			t.Errorf("the namespace of %s is still there", i.Fault)
		}
	}
}

func namespaceOf(i *Injection) string { return "faultline-" + i.effects[0].id }

// metric adds what the API server counts under a name, with all labels that hold the other parts.
func metric(t *testing.T, c *clusters.Cluster, parts ...string) float64 {
	t.Helper()
	client, err := c.Client(c.Front())
	if err != nil {
		t.Fatal(err)
	}
	all, err := client.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for line := range strings.Lines(string(all)) {
		if !strings.HasPrefix(line, parts[0]+"{") {
			continue
		}
		holds := true
		for _, part := range parts[1:] {
			holds = holds && strings.Contains(line, part)
		}
		if fields := strings.Fields(line); holds {
			value, err := strconv.ParseFloat(fields[len(fields)-1], 64)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			sum += value
		}
	}
	return sum
}

// storedKeys counts what etcd has below a prefix.
func storedKeys(t *testing.T, c *clusters.Cluster, prefix string) float64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	client, err := c.EtcdClient(ctx, c.EtcdMembers()[0])
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		t.Fatal(fmt.Errorf("count %s: %w", prefix, err))
	}
	return float64(answer.Count)
}
