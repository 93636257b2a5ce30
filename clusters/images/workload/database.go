package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

// database is a client of an etcd: each round writes a value and reads it back.
type database struct {
	http *http.Client
	url  string
	key  string
	// failure is why the newest round failed; empty: it did not.
	failure atomic.Value
}

// useDatabase writes and reads until ctx ends, and serves the newest round's outcome at
// /healthz, for a readiness probe.
func useDatabase(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("database", flag.ContinueOnError)
	url := flags.String("url", "", "the etcd, such as https://database:2379")
	name := flags.String("server-name", "", "what the server's certificate is for, when that is not the host of -url")
	certs := flags.String("certs", "/certs", "folder with ca.crt, tls.crt and tls.key")
	listen := flags.String("listen", ":8080", "address to listen on")
	interval := flags.Duration("interval", time.Second, "time between two rounds")
	timeout := flags.Duration("timeout", 3*time.Second, "longest that one request may take")
	if err := flags.Parse(args); err != nil {
		return err
	}
	config, err := clientTLS(*certs)
	if err != nil {
		return err
	}
	config.ServerName = *name
	d := newDatabase(*url, &http.Client{Transport: &http.Transport{TLSClientConfig: config}, Timeout: *timeout})
	go d.roundsForever(ctx, *interval)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", d.tell)
	return listenAndServe(ctx, *listen, mux)
}

func newDatabase(url string, client *http.Client) *database {
	pod, _ := os.Hostname()
	d := &database{http: client, url: url, key: "faultline/" + pod}
	d.failure.Store("no round has ended yet")
	return d
}

// clientTLS reads a certificate and whom to trust, by the names that Secrets have.
func clientTLS(dir string) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
	if err != nil {
		return nil, fmt.Errorf("the client's certificate: %w", err)
	}
	authority, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		return nil, fmt.Errorf("whom to trust: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("%s/ca.crt has no certificate", dir)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool}, nil
}

// roundsForever prints the outcome whenever it changes.
func (d *database) roundsForever(ctx context.Context, interval time.Duration) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		failure := ""
		if err := d.round(ctx); err != nil {
			failure = err.Error()
		}
		if d.failure.Swap(failure) != failure {
			fmt.Printf("%s database: %q\n", time.Now().UTC().Format(time.RFC3339Nano), failure)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (d *database) tell(w http.ResponseWriter, _ *http.Request) {
	if failure := d.failure.Load(); failure != "" {
		http.Error(w, fmt.Sprint(failure), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

// keyValue is what etcd's JSON gateway takes and gives. Its byte strings are base64, as
// Go's are.
type keyValue struct {
	Key   []byte `json:"key"`
	Value []byte `json:"value,omitempty"`
}

// round writes a fresh value and reads it back, both by way of the quorum.
func (d *database) round(ctx context.Context) error {
	value := []byte(rand.Text())
	if _, err := d.call(ctx, "put", keyValue{[]byte(d.key), value}); err != nil {
		return err
	}
	answer, err := d.call(ctx, "range", keyValue{Key: []byte(d.key)})
	if err != nil {
		return err
	}
	var found struct{ KVs []keyValue }
	if err := json.Unmarshal(answer, &found); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if len(found.KVs) != 1 || !bytes.Equal(found.KVs[0].Value, value) {
		return fmt.Errorf("%s has not the value that was written", d.key)
	}
	return nil
}

// call asks etcd's JSON gateway.
func (d *database) call(ctx context.Context, what string, argument keyValue) ([]byte, error) {
	body, err := json.Marshal(argument)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url+"/v3/kv/"+what, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	response, err := d.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s: %.200s", what, response.Status, answer)
	}
	return answer, nil
}
