package probe

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"faultline/clusters"
)

// Media types of the API.
const (
	mediaJSON         = "application/json"
	mediaMergePatch   = "application/merge-patch+json"
	mediaMetadata     = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
	mediaMetadataList = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
)

// maxSilence bounds how long a connection may be silent however long a request
// on it may take.
const maxSilence = 5 * time.Second

// maxAnswer bounds what is read of an answer.
const maxAnswer = 16 << 20

// door is one way to the API: a single API server, or what stands before all.
type door struct {
	vantage string
	address string
	// width is over how many connections requests go in turn. Behind a load
	// balancer one connection would show one API server only.
	width     int
	transport func() (*http.Transport, error)
	dial      func(*net.Dialer) func(ctx context.Context, network, address string) (net.Conn, error)
}

// doorsOf lists the ways to the cluster's API, its front first. A cluster
// without a load balancer has one way to each API server and no other.
func doorsOf(c *clusters.Cluster) []door {
	servers := c.APIServers()
	front := c.Front()
	doors := []door{doorTo(c, front)}
	if c.Balancer != nil {
		doors[0].width = len(servers)
	}
	for _, server := range servers {
		if server.Name != front.Name {
			doors = append(doors, doorTo(c, server))
		}
	}
	return doors
}

func doorTo(c *clusters.Cluster, e clusters.Endpoint) door {
	return door{
		vantage: e.Name, address: e.Address, width: 1,
		transport: func() (*http.Transport, error) { return c.Transport(e) },
		dial:      e.Dial,
	}
}

// caller sends requests through one door on connections of its own.
type caller struct {
	address    string
	transports []*http.Transport
	turn       atomic.Uint32
}

// open makes a caller. Its connections notice within twice the timeout when the other
// end is silent: a probe measures the service, not how long a dead connection
// can be waited on.
func (d door) open(timeout time.Duration) (*caller, error) {
	c := &caller{address: d.address}
	silence := min(timeout, maxSilence)
	for range max(1, d.width) {
		t, err := d.transport()
		if err != nil {
			return nil, fmt.Errorf("open a way to the API at %s: %w", d.vantage, err)
		}
		t.DialContext = d.dial(&net.Dialer{Timeout: silence})
		t.TLSHandshakeTimeout = silence
		t.DisableCompression = true
		t.HTTP2 = &http.HTTP2Config{SendPingTimeout: silence, PingTimeout: silence}
		// Without a limit every sample would dial a frozen server, which would
		// have to shake thousands of dead hands on its return.
		t.MaxConnsPerHost = 2
		c.transports = append(c.transports, t)
	}
	return c, nil
}

func (c *caller) close() {
	for _, t := range c.transports {
		t.CloseIdleConnections()
	}
}

// request is a request that can be sent many times: all its parts are only read.
type request struct {
	method string
	url    *url.URL
	header http.Header
}

// ask prepares a request. The query is given in full.
func (c *caller) ask(method, path, query, accept string) request {
	return request{
		method: method,
		url:    &url.URL{Scheme: "https", Host: c.address, Path: path, RawQuery: query},
		header: http.Header{"Accept": {accept}, "User-Agent": {"faultline-probe"}},
	}
}

// sending sets the type of the request's body.
func (r request) sending(media string) request {
	r.header = r.header.Clone()
	r.header.Set("Content-Type", media)
	return r
}

// at is the request to another path.
func (r request) at(path string) request {
	u := *r.url
	u.Path = path
	r.url = &u
	return r
}

// answer is a complete answer. Its body is valid until free.
type answer struct {
	status int
	body   []byte
	buffer *bytes.Buffer
}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func (a answer) free() {
	if a.buffer != nil && a.buffer.Cap() < 1<<20 {
		buffers.Put(a.buffer)
	}
}

// outcome judges the answer.
func (a answer) outcome() outcome {
	way, detail := Classify(a.status, a.body)
	return outcome{way: way, detail: detail, gone: a.status == http.StatusNotFound}
}

// do sends a request and reads the whole answer.
func (c *caller) do(ctx context.Context, r request, body []byte) (answer, error) {
	response, err := c.send(ctx, r, body)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	buffer := buffers.Get().(*bytes.Buffer)
	buffer.Reset()
	if _, err := buffer.ReadFrom(io.LimitReader(response.Body, maxAnswer)); err != nil {
		buffers.Put(buffer)
		return answer{}, err
	}
	return answer{status: response.StatusCode, body: buffer.Bytes(), buffer: buffer}, nil
}

// send sends a request; the caller closes the answer's body.
func (c *caller) send(ctx context.Context, r request, body []byte) (*http.Response, error) {
	req := (&http.Request{
		Method: r.method, URL: r.url, Host: r.url.Host, Header: r.header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(ctx)
	if body != nil {
		req.ContentLength = int64(len(body))
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		req.Body, _ = req.GetBody()
	}
	t := c.transports[int(c.turn.Add(1))%len(c.transports)]
	return t.RoundTrip(req)
}

// serverTimeout is the query that bounds the server's work on a request.
func serverTimeout(timeout time.Duration) string {
	return "timeout=" + (timeout * 3 / 4).String()
}

// scanString finds the first string value of a JSON key without decoding the
// document. It suits keys whose values need no escapes.
func scanString(body []byte, key string) (string, bool) {
	_, rest, found := bytes.Cut(body, []byte(`"`+key+`":"`))
	if !found {
		return "", false
	}
	value, _, found := bytes.Cut(rest, []byte(`"`))
	return string(value), found
}

// scanNumber finds the first numeric value of a JSON key.
func scanNumber(body []byte, key string) (int64, bool) {
	_, rest, found := bytes.Cut(body, []byte(`"`+key+`":`))
	if !found {
		return 0, false
	}
	end := 0
	for end < len(rest) && rest[end] >= '0' && rest[end] <= '9' {
		end++
	}
	n, err := strconv.ParseInt(string(rest[:end]), 10, 64)
	return n, err == nil
}

// scanVersion finds an object's resource version, which Kubernetes documents to
// be a number that grows.
func scanVersion(body []byte) (uint64, bool) {
	text, found := scanString(body, "resourceVersion")
	if !found {
		return 0, false
	}
	version, err := strconv.ParseUint(text, 10, 64)
	return version, err == nil
}
