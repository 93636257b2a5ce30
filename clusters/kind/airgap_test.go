package kind

import (
	"bytes"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"faultline/clusters"
)

func TestEgressRulesRefuseWhatTheyDoNotAllow(t *testing.T) {
	last := strings.Index(egressScript, "--comment "+clusters.EgressOthers+" -j REJECT")
	for _, pass := range []string{"-o lo -j RETURN", "-d $network -j RETURN", "-d " + podSubnet + " -j RETURN", "-d " + serviceSubnet + " -j RETURN"} {
		if at := strings.Index(egressScript, pass); at < 0 || at > last {
			t.Errorf("%q is at %d, the rule for all others at %d", pass, at, last)
		}
	}
	for _, comment := range []string{clusters.EgressAttempts, clusters.EgressNames} {
		if at := strings.Index(egressScript, "--comment "+comment+" -j REJECT"); at < 0 || at > last {
			t.Errorf("%q is refused at %d, all others at %d", comment, at, last)
		}
	}
	if strings.Contains(egressScript, "CHAIN") || strings.Contains(egressScript, "OUTSIDE") {
		t.Errorf("something is not filled in:\n%s", egressScript)
	}
}

func TestOnlyAirGappedNodesOfKubernetesAreClosed(t *testing.T) {
	var told calls
	if err := airGap(t.Context(), laidOut(t, clusters.StatefulLocal(3), told.shell)); err != nil || len(told.all) > 0 {
		t.Errorf("%v, told %q", err, told.all)
	}
	c := laidOut(t, clusters.AirGap(), told.shell)
	if err := airGap(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	all := strings.Join(told.all, "\n")
	for _, n := range c.Nodes {
		if closed := strings.Contains(all, n.Name+": install"); closed != n.Role.Kubernetes() {
			t.Errorf("%s (%s): closed %t", n.Name, n.Role, closed)
		}
	}
}

func TestPushMakesAnotherImageOfTheSameContent(t *testing.T) {
	image, err := random.Image(512, 1)
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag("faultline/workload:1")
	if err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	if err := tarball.Write(tag, image, &archive); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(ggcr.New())
	defer server.Close()
	reference := strings.TrimPrefix(server.URL, "http://") + "/faultline/workload:1"
	if err := push(t.Context(), archive.Bytes(), reference); err != nil {
		t.Fatal(err)
	}
	there, err := name.NewTag(reference, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	pulled, err := remote.Image(there)
	if err != nil {
		t.Fatal(err)
	}
	before, _ := image.ConfigName()
	after, _ := pulled.ConfigName()
	if before == after {
		t.Error("the image has the same ID, so that a node need not pull it")
	}
	own, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	layers, err := pulled.Layers()
	if err != nil || len(layers) != len(own)+1 {
		t.Fatalf("%d layers, %v, want one more than %d", len(layers), err, len(own))
	}
}

func TestPushOfNonsenseFails(t *testing.T) {
	if err := push(t.Context(), []byte("no archive"), "127.0.0.1:1/x:1"); err == nil {
		t.Error("nonsense was pushed")
	}
}

func TestAnAirGapNeedsARegistry(t *testing.T) {
	topology := clusters.StatefulLocal(3)
	topology.AirGapped = true
	if _, err := startRegistry(t.Context(), laidOut(t, topology, nil), Options{}); err == nil || !strings.Contains(err.Error(), "registry") {
		t.Errorf("got %v", err)
	}
}
