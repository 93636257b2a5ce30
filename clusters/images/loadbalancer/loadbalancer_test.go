package main

import (
	"strings"
	"testing"
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
