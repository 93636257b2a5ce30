package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// socketTimeout limits a question to the engine's socket, which it answers in
// milliseconds.
const socketTimeout = 5 * time.Second

// Status is the engine's word for a container: running, paused, exited ... Docker is asked
// on its socket, which takes a few milliseconds; its client, which takes 50 and more, is
// only asked when the socket does not know the container.
func (e *Engine) Status(ctx context.Context, container string) (string, error) {
	if e.binary == "docker" {
		if status, err := socketStatus(ctx, dockerSocket(), container); err == nil {
			return status, nil
		}
	}
	out, err := e.Run(ctx, "inspect", "--format", "{{.State.Status}}", container)
	return strings.TrimSpace(string(out)), err
}

// dockerSocket is where the daemon listens, unless a docker context says otherwise.
func dockerSocket() string {
	host := os.Getenv("DOCKER_HOST")
	if host == "" {
		host = defaultSockets[0]
	}
	return strings.TrimPrefix(host, "unix://")
}

// socketStatus asks the Docker Engine API (GET /containers/{id}/json).
func socketStatus(ctx context.Context, socket, container string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, socketTimeout)
	defer cancel()
	client := http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
		DisableKeepAlives: true,
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine/containers/"+url.PathEscape(container)+"/json", nil)
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", socket, response.Status)
	}
	var answer struct{ State struct{ Status string } }
	err = json.NewDecoder(response.Body).Decode(&answer)
	if err == nil && answer.State.Status == "" {
		err = fmt.Errorf("%s: no status of %s", socket, container)
	}
	return answer.State.Status, err
}
