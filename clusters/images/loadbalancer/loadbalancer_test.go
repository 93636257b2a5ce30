package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What kind writes, as of v0.33.
const (
	empty = "resources: []"
	lds   = `
resources:
- "@type": type.googleapis.com/envoy.config.listener.v3.Listener
  name: listener_apiserver
  address:
    socket_address:
      address: "0.0.0.0"
      port_value: 6443
`
	cds = `
resources:
- "@type": type.googleapis.com/envoy.config.cluster.v3.Cluster
  name: kube_apiservers
  connect_timeout: 0.25s
  health_checks:
  - timeout: 3s
    interval: 2s
    unhealthy_threshold: 2
    healthy_threshold: 1
    http_health_check:
      path: /healthz
  load_assignment:
    cluster_name: kube_apiservers
    endpoints:
    - lb_endpoints:
      - endpoint:
          address:
            socket_address:
              address: chaos-control-plane
              port_value: 6443
      - endpoint:
          address:
            socket_address:
              address: chaos-control-plane2
              port_value: 6443
`
)

func rendered(t *testing.T, lds, cds string) string {
	t.Helper()
	front, err := parseListener([]byte(lds))
	if err != nil {
		t.Fatal(err)
	}
	back, err := parseCluster([]byte(cds))
	if err != nil {
		t.Fatal(err)
	}
	return render(front, back, 4000)
}

func TestRender(t *testing.T) {
	got := rendered(t, lds, cds)
	for _, want := range []string{
		"maxconn 4000\n",
		"bind 0.0.0.0:6443\n",
		"timeout connect 250ms\n",
		"timeout check 3000ms\n",
		"option httpchk GET /healthz\n",
		"server apiserver-0 chaos-control-plane:6443 check check-ssl verify none inter 2000ms rise 1 fall 2",
		"server apiserver-1 chaos-control-plane2:6443 check",
		"use_backend panic if { nbsrv(apiservers) lt 1 }\n",
		"server apiserver-1 chaos-control-plane2:6443 resolvers",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("missing %q in\n%s", want, got)
		}
	}
}

// TestAConfigurationThatIsNotTakenIsTriedAgain lets HAProxy refuse one at first, and wants each
// trouble to be logged once.
func TestAConfigurationThatIsNotTakenIsTriedAgain(t *testing.T) {
	var said strings.Builder
	log.SetOutput(&said)
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	dir := t.TempDir()
	write := func(lds, cds string) {
		t.Helper()
		for name, text := range map[string]string{"lds.yaml": lds, "cds.yaml": cds} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	tried, refuses := 0, true
	f := follower{dir: dir, use: func(string) error {
		tried++
		if refuses {
			return fmt.Errorf("attempt %d is refused", tried)
		}
		return nil
	}}
	now := time.Now()
	expect := func(when string, tries, lines int) {
		t.Helper()
		if logged := strings.Count(said.String(), "\n"); tried != tries || logged != lines {
			t.Errorf("%s: tried %d times, want %d; logged %d lines, want %d: %s", when, tried, tries, logged, lines, &said)
		}
	}
	f.look(now)
	f.look(now)
	expect("without files", 0, 1)
	write(lds, cds)
	f.look(now)
	f.look(now.Add(retry / 2))
	expect("refused", 1, 2)
	f.look(now.Add(retry))
	expect("refused again", 2, 2)
	write(empty, empty)
	f.look(now.Add(retry))
	expect("another one, at once", 3, 3)
	refuses = false
	f.look(now.Add(2 * retry))
	f.look(now.Add(3 * retry))
	expect("taken", 4, 3)
	write(":", cds)
	f.look(now.Add(3 * retry))
	write(empty, empty)
	f.look(now.Add(3 * retry))
	write(":", cds)
	f.look(now.Add(3 * retry))
	expect("bad files twice", 4, 5)
}

func TestNothingBehindItYet(t *testing.T) {
	got := rendered(t, empty, empty)
	if strings.Contains(got, "6443") || strings.Contains(got, "  server ") {
		t.Errorf("rendered\n%s", got)
	}
}

func TestBadFiles(t *testing.T) {
	if _, err := parseListener([]byte("resources: [{}]")); err == nil {
		t.Error("a listener without a port was accepted")
	}
	if _, err := parseCluster([]byte("resources: [{connect_timeout: soon}]")); err == nil {
		t.Error("a bad duration was accepted")
	}
	if _, err := parseCluster([]byte(":")); err == nil {
		t.Error("bad YAML was accepted")
	}
}

func TestMaxConnections(t *testing.T) {
	for openFiles, want := range map[uint64]int{20_000: 8000, 10_000: 4800, 1024: 312, 100: 100, 1 << 40: 8000, 1<<64 - 1: 8000} {
		if got := maxConnections(openFiles); got != want {
			t.Errorf("maxConnections(%d) = %d, want %d", openFiles, got, want)
		}
	}
}
