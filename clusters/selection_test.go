package clusters

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// spread is two instances on the first host and one on each of two others.
func spread() Instances {
	var all Instances
	for _, place := range [][2]string{{"n1", "h1"}, {"n2", "h1"}, {"n3", "h2"}, {"n4", "h3"}} {
		all = append(all, Instance{Component: Etcd, Node: &Node{Name: place[0], Host: place[1], Role: ControlPlane}})
	}
	return all
}

func names(is Instances) string {
	var all []string
	for _, i := range is {
		all = append(all, i.Node.Name)
	}
	return strings.Join(all, " ")
}

func TestChoicesByRole(t *testing.T) {
	all := spread()
	for what, c := range map[string]struct {
		got  Instances
		want string
	}{
		"a majority of four":    {all.Majority(), "n1 n2"},
		"a minority of four":    {all.Minority(), "n1"},
		"a majority of three":   {all[:3].Majority(), "n1 n2"},
		"one for each host":     {all.OnePerHost(), "n1 n3 n4"},
		"those of one host":     {all.OnHost("h1"), "n1 n2"},
		"those of no host":      {all.OnHost("h9"), ""},
		"those of a node":       {all.On("n3"), "n3"},
		"all but one":           {all.Except(all[1]), "n1 n3 n4"},
		"what two choices name": {all.OnePerHost().Both(all.OnHost("h1")), "n1"},
	} {
		if got := names(c.got); got != c.want {
			t.Errorf("%s: got %q, want %q", what, got, c.want)
		}
	}
}

func TestShuffledIsRepeatableAndComplete(t *testing.T) {
	all := spread()
	firsts := map[string]int{}
	for seed := range uint64(200) {
		a := all.Shuffled(rand.New(rand.NewPCG(seed, 1)))
		if b := all.Shuffled(rand.New(rand.NewPCG(seed, 1))); names(a) != names(b) {
			t.Fatalf("seed %d gives %s and %s", seed, names(a), names(b))
		}
		if len(a.Both(all)) != len(all) || len(a) != len(all) {
			t.Fatalf("seed %d gives %s", seed, names(a))
		}
		firsts[a[0].Node.Name]++
	}
	if names(all) != "n1 n2 n3 n4" {
		t.Errorf("the original was shuffled: %s", names(all))
	}
	for _, n := range []string{"n1", "n2", "n3", "n4"} {
		if firsts[n] < 20 {
			t.Errorf("%s came first %d times of 200", n, firsts[n])
		}
	}
}

// podCluster has two pods of the DNS on its first node, one on the second, a third node
// that cannot be asked, and a load balancer on no host.
func podCluster() *Cluster {
	pods := map[string]string{"n1": "coredns-a\ncoredns-b\n", "n2": "coredns-c\n"}
	c := &Cluster{Name: "pods", Forwarder: &Node{Name: "lb", Role: Balancer, Components: []Component{Envoy}}}
	for _, name := range []string{"n1", "n2", "n3"} {
		c.Nodes = append(c.Nodes, &Node{Name: name, Role: ControlPlane})
	}
	c.Reach(func(_ context.Context, node string, _ io.Reader, argv ...string) ([]byte, error) {
		out, ok := pods[node]
		if !ok || argv[len(argv)-1] != "coredns" {
			return nil, errors.New("nobody answers")
		}
		return []byte(out), nil
	})
	return c
}

func TestRunningFindsPodsOnTheirNodes(t *testing.T) {
	c := podCluster()
	found, err := c.Running(t.Context(), CoreDNS)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, i := range found {
		got = append(got, i.String())
	}
	if want := []string{"coredns-a on n1", "coredns-b on n1", "coredns-c on n2"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if etcd, err := c.Running(t.Context(), Etcd); err != nil || len(etcd) != 3 {
		t.Errorf("what the topology places: %v, %v", etcd, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Running(ctx, CoreDNS); err == nil {
		t.Error("an ended context is no error")
	}
}

func TestTheBalancerIsNoNodeButCanBeNamed(t *testing.T) {
	c := podCluster()
	n, err := c.Node("lb")
	if err != nil || n != c.Forwarder || slices.Contains(c.Nodes, n) {
		t.Fatalf("got %v, %v", n, err)
	}
	if len(c.With(Balancer)) != 0 {
		t.Error("it is taken for a member of the topology")
	}
	front := c.Instances(Envoy)
	if len(front) != 1 || front[0].Node != n || n.Vital() != front[0] || front[0].Unit() != "" {
		t.Errorf("its instances are %v, what it is for is %v", front, n.Vital())
	}
}

func TestUnitsAndProcesses(t *testing.T) {
	master, server := &Node{Name: "n1", Role: ControlPlane}, &Node{Name: "s1", Role: EtcdServer}
	for what, c := range map[string]struct {
		i         Instance
		unit      string
		arguments []string
	}{
		"a static pod":        {Instance{Component: ControllerManager, Node: master}, "", []string{"kube-controller", "0", "n1"}},
		"a copy of one":       {Instance{Component: APIServer, Node: master, Copy: 2}, "", []string{"kube-apiserver", "2", "n1"}},
		"a server's etcd":     {Instance{Component: Etcd, Node: server}, "etcd.service", []string{"etcd", "0", ""}},
		"a service of a node": {Instance{Component: Kubelet, Node: master}, "kubelet.service", []string{"kubelet", "0", ""}},
		"a daemon set's pod":  {Instance{Component: KubeProxy, Node: master}, "", []string{"kube-proxy", "0", ""}},
		"a pod of several":    {Instance{Component: CoreDNS, Node: master, Pod: "coredns-a"}, "", []string{"coredns", "0", "coredns-a"}},
		"kind's balancer":     {Instance{Component: Envoy, Node: master}, "", []string{"envoy|haproxy", "0", ""}},
	} {
		if unit, arguments := c.i.Unit(), c.i.ProcessArguments(); unit != c.unit || !slices.Equal(arguments, c.arguments) {
			t.Errorf("%s: unit %q, arguments %q; want %q, %q", what, unit, arguments, c.unit, c.arguments)
		}
	}
}
