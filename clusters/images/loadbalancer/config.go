package main

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// listener is where clients connect; without a port there is none yet.
type listener struct {
	address string
	port    int
}

// upstream is what is behind the listener, in Envoy's terms.
type upstream struct {
	connect   time.Duration
	check     healthCheck
	endpoints []string // host:port
}

type healthCheck struct {
	path              string
	interval, timeout time.Duration
	rise, fall        int
}

// socket is an address as Envoy's configuration writes it.
type socket struct {
	Address struct {
		SocketAddress struct {
			Address   string `json:"address"`
			PortValue int    `json:"port_value"`
		} `json:"socket_address"`
	} `json:"address"`
}

func parseListener(lds []byte) (listener, error) {
	var file struct {
		Resources []socket `json:"resources"`
	}
	if err := yaml.Unmarshal(lds, &file); err != nil {
		return listener{}, fmt.Errorf("lds.yaml: %w", err)
	}
	if len(file.Resources) == 0 {
		return listener{}, nil
	}
	a := file.Resources[0].Address.SocketAddress
	if a.PortValue == 0 {
		return listener{}, fmt.Errorf("lds.yaml: the listener has no port")
	}
	return listener{a.Address, a.PortValue}, nil
}

// clusterFile is as much of cds.yaml as matters.
type clusterFile struct {
	Resources []struct {
		ConnectTimeout string `json:"connect_timeout"`
		HealthChecks   []struct {
			Timeout            string `json:"timeout"`
			Interval           string `json:"interval"`
			UnhealthyThreshold int    `json:"unhealthy_threshold"`
			HealthyThreshold   int    `json:"healthy_threshold"`
			HTTPHealthCheck    struct {
				Path string `json:"path"`
			} `json:"http_health_check"`
		} `json:"health_checks"`
		LoadAssignment struct {
			Endpoints []struct {
				LBEndpoints []struct {
					Endpoint socket `json:"endpoint"`
				} `json:"lb_endpoints"`
			} `json:"endpoints"`
		} `json:"load_assignment"`
	} `json:"resources"`
}

func parseCluster(cds []byte) (upstream, error) {
	var file clusterFile
	if err := yaml.Unmarshal(cds, &file); err != nil {
		return upstream{}, fmt.Errorf("cds.yaml: %w", err)
	}
	up := upstream{connect: 250 * time.Millisecond, check: healthCheck{"/healthz", 2 * time.Second, 3 * time.Second, 1, 2}}
	if len(file.Resources) == 0 {
		return up, nil
	}
	cluster := file.Resources[0]
	var err error
	if up.connect, err = duration(cluster.ConnectTimeout, up.connect); err != nil {
		return upstream{}, err
	}
	if len(cluster.HealthChecks) > 0 {
		c := cluster.HealthChecks[0]
		up.check.path, up.check.rise, up.check.fall = c.HTTPHealthCheck.Path, c.HealthyThreshold, c.UnhealthyThreshold
		if up.check.interval, err = duration(c.Interval, up.check.interval); err != nil {
			return upstream{}, err
		}
		if up.check.timeout, err = duration(c.Timeout, up.check.timeout); err != nil {
			return upstream{}, err
		}
	}
	for _, group := range cluster.LoadAssignment.Endpoints {
		for _, e := range group.LBEndpoints {
			a := e.Endpoint.Address.SocketAddress
			up.endpoints = append(up.endpoints, net.JoinHostPort(a.Address, strconv.Itoa(a.PortValue)))
		}
	}
	return up, nil
}

func duration(text string, otherwise time.Duration) (time.Duration, error) {
	if text == "" {
		return otherwise, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("cds.yaml: %w", err)
	}
	return d, nil
}

// maxConnections fits HAProxy into a limit of open files: two a connection,
// and some for itself.
func maxConnections(openFiles uint64) int {
	const most, least, own = 8000, 100, 400
	return int(max(least, (int64(min(openFiles, 2*most+own))-own)/2))
}

// render writes HAProxy's configuration.
func render(front listener, back upstream, maxConnections int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `global
  log stdout format raw local0
  maxconn %d

resolvers engine
  parse-resolv-conf
  hold valid 2s
  resolve_retries 3

defaults
  mode tcp
  log global
  option tcplog
  option dontlognull
  timeout connect %dms
  timeout client 1h
  timeout server 1h
  timeout check %dms
  # Envoy tries a server once.
  retries 0
  default-server init-addr last,libc,none
`, maxConnections, back.connect.Milliseconds(), back.check.timeout.Milliseconds())
	if front.port == 0 {
		// HAProxy wants at least one listener; nobody reaches this one.
		b.WriteString("\nfrontend none\n  bind 127.0.0.1:1\n")
		return b.String()
	}
	fmt.Fprintf(&b, "\nfrontend apiservers\n  bind %s\n  use_backend panic if { nbsrv(apiservers) lt %d }\n  default_backend apiservers\n",
		bind(front), panicThreshold(len(back.endpoints)))
	fmt.Fprintf(&b, "\nbackend apiservers\n  balance roundrobin\n  option httpchk GET %s\n  http-check expect status 200\n", back.check.path)
	check := fmt.Sprintf(" check check-ssl verify none inter %dms rise %d fall %d", back.check.interval.Milliseconds(), back.check.rise, back.check.fall)
	servers(&b, back.endpoints, check)
	b.WriteString("\nbackend panic\n  balance roundrobin\n")
	servers(&b, back.endpoints, "")
	return b.String()
}

func servers(b *strings.Builder, endpoints []string, check string) {
	for i, endpoint := range endpoints {
		fmt.Fprintf(b, "  server apiserver-%d %s%s resolvers engine resolve-prefer ipv4\n", i, endpoint, check)
	}
}

// panicThreshold is the number of healthy servers below which health is ignored.
// Envoy calls it the panic threshold, half of all by default, and kind relies on
// it: the first API server has to be reached before a health check saw it.
func panicThreshold(all int) int { return (all + 1) / 2 }

func bind(l listener) string {
	if l.address == "::" {
		return fmt.Sprintf(":::%d v4v6", l.port)
	}
	return fmt.Sprintf("%s:%d", l.address, l.port)
}
