package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// account is a client of the Kubernetes API with one identity in one namespace.
type account struct {
	http                     *http.Client
	server, token, namespace string
}

// agent is how loads call themselves.
const agent = "faultline-load"

// requestTimeout is that of the API server for most requests.
const requestTimeout = time.Minute

// newAccount reads ca.crt and token in the folder dir.
func newAccount(server, serverName, dir, namespace string) (*account, error) {
	if server == "" || namespace == "" {
		return nil, errors.New("name the API server with -server and the namespace with -namespace")
	}
	authority, errAuthority := os.ReadFile(filepath.Join(dir, "ca.crt"))
	token, errToken := os.ReadFile(filepath.Join(dir, "token"))
	if err := errors.Join(errAuthority, errToken); err != nil {
		return nil, fmt.Errorf("read the identity: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("%s/ca.crt has no certificate", dir)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	transport.TLSClientConfig = &tls.Config{RootCAs: pool, ServerName: serverName}
	return &account{
		http:   &http.Client{Transport: transport, Timeout: requestTimeout},
		server: server, token: strings.TrimSpace(string(token)), namespace: namespace,
	}, nil
}

// connect makes a first request. Without it as many requests as may wait would open a
// connection each, before one turns out to be enough for all of them (HTTP/2).
func (a *account) connect(ctx context.Context) error {
	if err := a.call(ctx, http.MethodGet, "serviceaccounts/client", nil); err != nil && !refused(err) {
		return fmt.Errorf("the first request: %w", err)
	}
	return nil
}

// call makes one request below the namespace and drops the answer.
func (a *account) call(ctx context.Context, method, path string, object any) error {
	var body io.Reader
	if object != nil {
		content, err := json.Marshal(object)
		if err != nil {
			return err
		}
		body = bytes.NewReader(content)
	}
	url := a.server + "/api/v1/namespaces/" + a.namespace + "/" + path
	request, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+a.token)
	request.Header.Set("User-Agent", agent)
	if object != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := a.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	said, err := io.ReadAll(io.LimitReader(response.Body, 300))
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode >= http.StatusMultipleChoices {
		return &apiError{method + " " + path, response.StatusCode, string(said)}
	}
	return nil
}

// apiError is an answer that is no success.
type apiError struct {
	what   string
	status int
	said   string
}

func (e *apiError) Error() string { return fmt.Sprintf("%s: %d %s", e.what, e.status, e.said) }

// refused tells whether the API does not want more now: because of its load (429) or
// because a quota is used up.
func refused(err error) bool {
	answer, ok := errors.AsType[*apiError](err)
	return ok && (answer.status == http.StatusTooManyRequests ||
		answer.status == http.StatusForbidden && strings.Contains(answer.said, "exceeded quota"))
}

// missing tells whether the object does not exist.
func missing(err error) bool {
	answer, ok := errors.AsType[*apiError](err)
	return ok && answer.status == http.StatusNotFound
}
