package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// sample is one request to a target. Times are nanoseconds; the start is
// CLOCK_MONOTONIC, which all containers of a machine share.
type sample struct {
	Target  string `json:"target"`
	Start   int64  `json:"start_ns"`
	Latency int64  `json:"latency_ns"`
	Status  int    `json:"status"` // of HTTP; 0 without an answer
	Error   string `json:"error,omitempty"`
}

const clockMonotonic = 1

// monotonic reads the kernel's monotonic clock.
func monotonic() int64 {
	var now syscall.Timespec
	_, _, _ = syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockMonotonic, uintptr(unsafe.Pointer(&now)), 0)
	return now.Nano()
}

const accountDir = "/var/run/secrets/kubernetes.io/serviceaccount"

// client samples targets. To https targets it shows the pod's ServiceAccount
// and trusts the cluster's authority.
type client struct {
	http *http.Client
}

func newClient(timeout time.Duration) (*client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	transport.TLSClientConfig = &tls.Config{}
	authority, err := os.ReadFile(accountDir + "/ca.crt")
	switch {
	case err == nil:
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(authority) {
			return nil, fmt.Errorf("%s/ca.crt has no certificate", accountDir)
		}
		transport.TLSClientConfig.RootCAs = pool
	case !errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("read the cluster's authority: %w", err)
	}
	return &client{http: &http.Client{Transport: transport, Timeout: timeout}}, nil
}

// sampleForever samples one target each interval. A slow sample does not
// delay the next, but at most eight are under way; a tick beyond those is a
// sample that failed at once.
func (c *client) sampleForever(ctx context.Context, t target, interval time.Duration, into *history) {
	slots := make(chan struct{}, 8)
	tick := time.NewTicker(interval)
	defer tick.Stop()
	var running sync.WaitGroup
	defer running.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		select {
		case slots <- struct{}{}:
			running.Go(func() {
				into.add(c.sampleOnce(ctx, t))
				<-slots
			})
		default:
			into.add(sample{Target: t.name, Start: monotonic(), Error: "too many samples are waiting already"})
		}
	}
}

// sampleOnce makes one request and reads its answer to the end.
func (c *client) sampleOnce(ctx context.Context, t target) sample {
	s := sample{Target: t.name, Start: monotonic()}
	sampled := c.get
	if strings.HasPrefix(t.url, lookupScheme) {
		sampled = c.lookup
	}
	status, err := sampled(ctx, t.url)
	s.Status, s.Latency = status, monotonic()-s.Start
	if err != nil {
		s.Error = err.Error()
	}
	return s
}

// lookupScheme is before the name of a host that is only looked up.
const lookupScheme = "dns:"

// lookup asks the pod's DNS server for a host, in the client's time and with nothing
// remembered. Success counts as the status 200.
func (c *client) lookup(ctx context.Context, url string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, c.http.Timeout)
	defer cancel()
	if _, err := (&net.Resolver{PreferGo: true}).LookupHost(ctx, strings.TrimPrefix(url, lookupScheme)); err != nil {
		return 0, err
	}
	return http.StatusOK, nil
}

func (c *client) get(ctx context.Context, url string) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	// A kept connection would stay with the pod that it once got. To the API a new
	// one would cost a handshake each time.
	request.Close = strings.HasPrefix(url, "http:")
	if strings.HasPrefix(url, "https:") {
		// Read each time: the kubelet renews the token.
		if token, err := os.ReadFile(accountDir + "/token"); err == nil {
			request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
		}
	}
	response, err := c.http.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, err
}
