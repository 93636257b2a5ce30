package gameday

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"faultline/clusters"
	"faultline/clusters/existing"
	"faultline/suites/gameday/consent"
	"faultline/suites/gameday/plan"
)

const uid = "8b9a0e0e-3c7e-4d1b-9d0a-0d6d3c7c5a11"

// staging is a cluster that says who it is and what its owner allows.
type staging struct {
	identity existing.Identity
	stored   *corev1.ConfigMap
	cluster  *clusters.Cluster
}

func (s *staging) Identity(context.Context) (existing.Identity, error) { return s.identity, nil }

func (s *staging) ConfigMap(context.Context, string, string) (*corev1.ConfigMap, error) {
	if s.stored == nil {
		return nil, fmt.Errorf("not found")
	}
	return s.stored, nil
}

func (s *staging) Discover(context.Context, string) (*existing.Found, error) {
	return &existing.Found{Cluster: s.cluster}, nil
}

// stacked is a cluster of masters with everything, and workers.
func stacked(masters, workers int) *clusters.Cluster {
	c := &clusters.Cluster{Name: "staging", Balancer: &clusters.Endpoint{Name: clusters.LoadBalancerVantage, Address: "lb:6443"}}
	c.Topology = clusters.Topology{Name: "staging", LoadBalancer: clusters.OneLoadBalancer}
	for n := 1; n <= masters+workers; n++ {
		node := &clusters.Node{Name: fmt.Sprintf("n%d", n), Host: fmt.Sprintf("h%d", n), Role: clusters.Worker, Address: fmt.Sprintf("10.0.0.%d", n)}
		if n <= masters {
			node.Role = clusters.ControlPlane
			node.Components = []clusters.Component{clusters.Etcd, clusters.APIServer, clusters.Scheduler, clusters.ControllerManager}
		}
		c.Nodes = append(c.Nodes, node)
		c.Topology.Hosts = append(c.Topology.Hosts, clusters.Host{Name: node.Host, Members: []clusters.Member{{Role: node.Role, Components: node.Components}}})
	}
	c.Timing = clusters.Timing{Profile: clusters.DocumentedProfile(), Slack: clusters.DefaultSlack}
	return c
}

const allowed = `version: 1
cluster: %s
owner: me@example.org
families: [process, network]
namespaces: [faultline-probe, faultline-probe-ledger]
radius:
  nodes: %d
  losing: [%s]
expires: %s
`

func consenting(nodes int, losing string, now time.Time) *corev1.ConfigMap {
	text := fmt.Sprintf(allowed, uid, nodes, losing, now.Add(4*time.Hour).Format(time.RFC3339))
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: consent.Name, Namespace: consent.Namespace, UID: "7f6f8c1e-0000-4000-8000-000000000001", ResourceVersion: "42"},
		Data:       map[string]string{consent.Key: text},
	}
}

func on(c *clusters.Cluster, stored *corev1.ConfigMap) (*staging, Planning) {
	s := &staging{identity: existing.Identity{Server: "https://lb:6443", CA: "sha256:" + strings.Repeat("ab", 32), UID: uid}, stored: stored, cluster: c}
	return s, Planning{Target: s, Found: &existing.Found{Cluster: c}, Hold: time.Minute}
}

func TestPlanHasWhatIsAllowed(t *testing.T) {
	now := time.Now()
	_, p := on(stacked(3, 1), consenting(1, "", now))
	p.Names = []string{"api-server", "etcd-member:n1", "worker"}
	made, err := p.Plan(t.Context(), now)
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range []struct {
		target   string
		writable bool
	}{{"kube-apiserver on n3", true}, {"etcd on n1", true}, {"", true}} {
		e := made.Experiments[n]
		if want.target != "" && e.Targets[0] != want.target || e.Predicted.Writable != want.writable || len(e.Losing) > 0 {
			t.Errorf("%s: %+v", e.Name, e)
		}
	}
	if nodes := made.Experiments[2].Nodes; len(nodes) != 1 || nodes[0] != "n4" {
		t.Errorf("a separated worker hits %v, want the worker", nodes)
	}
	var file bytes.Buffer
	if err := made.Write(&file); err != nil {
		t.Fatal(err)
	}
	read, err := plan.Read(&file)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Check(t.Context(), read, now); err != nil {
		t.Errorf("its own plan does not fit: %v", err)
	}
}

// Leaders are asked for, so they need a cluster.
func TestEveryChoiceCanBePlanned(t *testing.T) {
	now := time.Now()
	stored := consenting(3, "etcd, kube-apiserver", now)
	stored.Data[consent.Key] = strings.Replace(stored.Data[consent.Key], "[process, network]", "[process, network, resources]", 1)
	_, p := on(stacked(3, 1), stored)
	for name := range choices {
		if !strings.HasSuffix(name, "-leader") {
			p.Names = append(p.Names, name)
		}
	}
	made, err := p.Plan(t.Context(), now)
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := made.Write(&file); err != nil {
		t.Fatal(err)
	}
	read, err := plan.Read(&file)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Check(t.Context(), read, now); err != nil {
		t.Error(err)
	}
	for _, e := range read.Experiments {
		if lost := len(e.Losing) > 0; lost == e.Predicted.Writable {
			t.Errorf("%s loses %v, and is predicted to be %+v", e.Name, e.Losing, e.Predicted)
		}
	}
}

func TestPlanRefusesWhatIsNotAllowed(t *testing.T) {
	now := time.Now()
	for name, test := range map[string]struct {
		cluster  *clusters.Cluster
		stored   *corev1.ConfigMap
		names    []string
		want     string
		allowing *corev1.ConfigMap // with which it is allowed; nil: never
	}{
		"without consent":                  {stacked(3, 1), nil, []string{"api-server"}, "has not consented", consenting(1, "", now)},
		"a quorum":                         {stacked(3, 1), consenting(2, "", now), []string{"etcd-majority"}, "losing", consenting(2, "etcd", now)},
		"more nodes than allowed":          {stacked(3, 1), consenting(1, "etcd", now), []string{"etcd-majority"}, "nodes", consenting(2, "etcd", now)},
		"the last API server":              {stacked(1, 1), consenting(1, "", now), []string{"api-server"}, "losing", consenting(1, "kube-apiserver", now)},
		"an unknown experiment":            {stacked(3, 1), consenting(1, "", now), []string{"apocalypse"}, "unknown experiment", nil},
		"a node that is not there":         {stacked(3, 1), consenting(1, "", now), []string{"worker:n9"}, "n9", nil},
		"a master that is taken as worker": {stacked(3, 1), consenting(1, "", now), []string{"worker:n1"}, "n1", nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, p := on(test.cluster, test.stored)
			p.Names = test.names
			if _, err := p.Plan(t.Context(), now); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if test.allowing == nil {
				return
			}
			_, p = on(test.cluster, test.allowing)
			p.Names = test.names
			if _, err := p.Plan(t.Context(), now); err != nil {
				t.Errorf("with consent: %v", err)
			}
		})
	}
}

func TestCheckRefusesAnotherCluster(t *testing.T) {
	now := time.Now()
	sabotage := map[string]func(*staging, *Planning, *plan.Plan){
		"another authority":   func(s *staging, _ *Planning, _ *plan.Plan) { s.identity.CA = "sha256:" + strings.Repeat("cd", 32) },
		"another UID":         func(s *staging, _ *Planning, _ *plan.Plan) { s.identity.UID = "0" + uid[1:] },
		"another server":      func(s *staging, _ *Planning, _ *plan.Plan) { s.identity.Server = "https://production:6443" },
		"a changed consent":   func(s *staging, _ *Planning, _ *plan.Plan) { s.stored.ResourceVersion = "43" },
		"a withdrawn consent": func(s *staging, _ *Planning, _ *plan.Plan) { s.stored = nil },
		"a node more": func(s *staging, p *Planning, _ *plan.Plan) {
			s.cluster = stacked(3, 2)
			p.Found = &existing.Found{Cluster: s.cluster}
		},
		"a target that was edited": func(_ *staging, _ *Planning, made *plan.Plan) {
			made.Experiments[0].Targets = []string{"kube-apiserver on n1"}
		},
		"a fault that was edited":      func(_ *staging, _ *Planning, made *plan.Plan) { made.Experiments[0].Fault = "destroy" },
		"a prediction that was edited": func(_ *staging, _ *Planning, made *plan.Plan) { made.Experiments[0].Predicted.Writable = false },
		"a hold beyond the consent": func(_ *staging, _ *Planning, made *plan.Plan) {
			made.Experiments[0].Hold = plan.Duration(5 * time.Hour)
		},
	}
	for name, change := range sabotage {
		t.Run(name, func(t *testing.T) {
			s, p := on(stacked(3, 1), consenting(1, "", now))
			p.Names = []string{"api-server"}
			made, err := p.Plan(t.Context(), now)
			if err != nil {
				t.Fatal(err)
			}
			change(s, &p, &made)
			if err := p.Check(t.Context(), made, now); err == nil {
				t.Error("the plan is taken to fit")
			}
		})
	}
	s, p := on(stacked(3, 1), consenting(1, "", now))
	p.Names = []string{"api-server"}
	made, err := p.Plan(t.Context(), now)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Check(t.Context(), made, made.ExpiresAt.Add(time.Second)); err == nil {
		t.Error("an expired plan is taken to fit")
	}
	made.Experiments[0].Hold = plan.Duration(30 * time.Second)
	if err := p.Check(t.Context(), made, now); err != nil {
		t.Errorf("a shorter hold: %v", err)
	}
	_ = s
}

func TestAnExperimentFitsInTheLifeOfThePods(t *testing.T) {
	now := time.Now()
	for _, test := range []struct {
		left time.Duration // zero: the way does not end
		want bool
	}{{0, true}, {time.Minute + margin, true}, {time.Minute + margin - time.Second, false}, {time.Minute, false}} {
		d := &Day{}
		if test.left > 0 {
			d.ReachedUntil = now.Add(test.left)
		}
		r := &run{Day: d, Experiment: plan.Experiment{Name: "worker", Hold: plan.Duration(time.Minute)}}
		if err := r.checkTime(now); (err == nil) != test.want {
			t.Errorf("with %s left: %v", test.left, err)
		}
	}
}

func TestPredictedMargin(t *testing.T) {
	for _, test := range []struct {
		name string
		want int
	}{{"api-server", 1}, {"etcd-member", 0}, {"etcd-majority", -1}, {"master", 0}, {"worker", 1}} {
		c := stacked(3, 1)
		h, err := pick(t.Context(), c, test.name)
		if err != nil {
			t.Fatal(err)
		}
		r := &run{Day: &Day{cluster: c}, hit: h}
		if got := r.predictedMargin(); got != test.want {
			t.Errorf("%s leaves a margin of %d, want %d", test.name, got, test.want)
		}
	}
}
