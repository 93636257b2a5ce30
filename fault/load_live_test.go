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

// contractLoads judges loads by what the API server and etcd count.
func contractLoads(t *testing.T, c *clusters.Cluster, n *clusters.Node) {
	lists := []string{"apiserver_request_total", `resource="configmaps"`, `verb="LIST"`}
	for _, test := range []struct {
		fault Fault
		// counted is what grows at least so fast, a second.
		counted func(*testing.T, *Injection) float64
		faster  float64
	}{
		{FloodAPI(n, 50, 100), func(t *testing.T, _ *Injection) float64 { return metric(t, c, lists...) }, 20},
		{FloodAPI(n, 50, 100), func(t *testing.T, _ *Injection) float64 {
			return metric(t, c, "apiserver_flowcontrol_dispatched_requests_total", `flow_schema="service-accounts"`, `priority_level="workload-low"`)
		}, 40},
		{EventStorm(n, 50), func(t *testing.T, i *Injection) float64 {
			return float64(storedKeys(t, c, "/registry/events/faultline-"+i.effects[0].id+"/"))
		}, 20},
		{BigLists(n, 50, 2), func(t *testing.T, _ *Injection) float64 { return metric(t, c, lists...) }, 1},
		{ChurnPods(n, 2), func(t *testing.T, _ *Injection) float64 {
			return metric(t, c, "apiserver_request_total", `resource="pods"`, `verb="POST"`)
		}, 0.8},
	} {
		t.Run(string(test.fault.Kind), func(t *testing.T) {
			i := landLive(t, liveInjector(t, c), test.fault)
			before, start := test.counted(t, i), time.Now()
			time.Sleep(2 * time.Second)
			rate := (test.counted(t, i) - before) / time.Since(start).Seconds()
			t.Logf("the API counts %.1f a second", rate)
			if rate < test.faster {
				t.Errorf("the API counts %.1f a second, want %.1f at least", rate, test.faster)
			}
			if test.fault.Kind == KindBigLists {
				if got := storedKeys(t, c, "/registry/configmaps/faultline-"+i.effects[0].id+"/"); got < 50 {
					t.Errorf("etcd has %d of 50 objects", got)
				}
			}
			healNode(t, c, i)
			if got := storedKeys(t, c, "/registry/namespaces/faultline-"+i.effects[0].id); got != 0 {
				t.Error("the namespace is still there")
			}
		})
	}
}

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
func storedKeys(t *testing.T, c *clusters.Cluster, prefix string) int64 {
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
	return answer.Count
}
