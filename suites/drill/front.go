package drill

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/onsi/ginkgo/v2"
	"k8s.io/client-go/rest"

	"faultline/clusters"
)

const (
	// dialPause is the time between two new connections to the front.
	dialPause = 100 * time.Millisecond
	// dialProof is how many of them show where new connections lead.
	dialProof = 10
)

// Front is what stands before the API servers, as new connections see it: each server shows a
// certificate of its own, so that its number tells who has answered. What goes through a
// connection that is kept says nothing about where the next one leads.
type Front struct {
	drill *Drill
	// servers are the names of API servers by the number of their certificate.
	servers map[string]string

	mu    sync.Mutex
	dials []dial
}

// dial is a new connection.
type dial struct {
	at     time.Duration
	server string // who answered; empty where nobody did
	err    error
}

// WatchFront makes new connections to the front of the API from now on, until the spec ends.
func (d *Drill) WatchFront() *Front {
	ginkgo.GinkgoHelper()
	f := &Front{drill: d, servers: map[string]string{}}
	for _, e := range d.APIServers() {
		serial, err := d.dial(d.ctx, e)
		if other, known := f.servers[serial]; err == nil && known {
			err = fmt.Errorf("%s and %s show the same certificate", other, e.Name)
		}
		d.require(err, "nobody knows which API server answers")
		f.servers[serial] = e.Name
	}
	go f.watch()
	return f
}

// dial connects to an endpoint, and returns the number of the certificate that it is shown.
func (d *Drill) dial(ctx context.Context, e clusters.Endpoint) (serial string, err error) {
	config, err := rest.TLSConfigFor(d.RESTConfig(e))
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(d.Timing.Slack*float64(time.Second)))
	defer cancel()
	plain, err := e.Dial(&net.Dialer{})(ctx, "tcp", e.Address)
	if err != nil {
		return "", err
	}
	defer plain.Close()
	conn := tls.Client(plain, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return "", err
	}
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.String(), nil
}

func (f *Front) watch() {
	tick := time.NewTicker(dialPause)
	defer tick.Stop()
	for {
		made := f.dial()
		if f.drill.ctx.Err() != nil {
			return
		}
		f.mu.Lock()
		f.dials = append(f.dials, made)
		f.mu.Unlock()
		select {
		case <-f.drill.ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (f *Front) dial() dial {
	made := dial{at: f.drill.now()}
	serial, err := f.drill.dial(f.drill.ctx, f.drill.Front())
	server, known := f.servers[serial]
	if err == nil && !known {
		err = fmt.Errorf("a stranger with the certificate %s answers", serial)
	}
	made.server, made.err = server, err
	return made
}

// between copies the connections that were begun after an instant and until another.
func (f *Front) between(after, until time.Duration) []dial {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(f.dials), func(d dial) bool { return d.at <= after || d.at > until })
}

// LeavesOut waits until new connections neither fail nor lead to a server any more, and bounds
// when the last one did, from the fault on. Then none may until the next fault or undo.
func (f *Front) LeavesOut(server clusters.Endpoint, within clusters.Bounds) error {
	d := f.drill
	reference := d.injected()
	what := fmt.Sprintf("new connections neither fail nor lead to %s any more", server.Name)
	d.expects(what)
	last, proven := reference, false
	await(d.ctx, func() bool {
		last = lastMiss(f.between(reference, d.now()), server.Name, reference)
		proven = d.now()-last >= lossProof && len(f.between(last, d.now())) >= dialProof
		return proven || d.now() > reference+within.Upper+patience
	})
	if !proven {
		return d.Told(what, fmt.Errorf("one still did %s after the fault", seconds(last-reference)))
	}
	d.promise(what, func(until time.Duration) error {
		if at := lastMiss(f.between(last, until), server.Name, last); at > last {
			return fmt.Errorf("one did %s after the fault", seconds(at-reference))
		}
		return nil
	})
	return d.Took(what, last-reference, within)
}

// lastMiss is when the last connection began that failed or led to a server, or, where none did,
// an instant before them.
func lastMiss(dials []dial, server string, before time.Duration) time.Duration {
	for _, made := range slices.Backward(dials) {
		if made.err != nil || made.server == server {
			return made.at
		}
	}
	return before
}

// TakesBack waits until a new connection leads to a server again, and bounds when, from the latest
// undo on.
func (f *Front) TakesBack(server clusters.Endpoint, within clusters.Bounds) error {
	d := f.drill
	reference := d.changed()
	what := fmt.Sprintf("new connections lead to %s again", server.Name)
	d.expects(what)
	var first dial
	await(d.ctx, func() bool {
		first = firstTo(f.between(reference, d.now()), server.Name)
		return first.server != "" || d.now() > reference+within.Upper+patience
	})
	if first.server == "" {
		return d.Told(what, fmt.Errorf("none did within %s", seconds(d.now()-reference)))
	}
	return d.TookToRecover(what, first.at-reference, within)
}

// firstTo is the first connection that a server has answered.
func firstTo(dials []dial, server string) dial {
	i := slices.IndexFunc(dials, func(made dial) bool { return made.server == server })
	if i < 0 {
		return dial{}
	}
	return dials[i]
}
