package engine

import (
	"context"
	"errors"
	"os"
	"strings"
)

// ErrNone says that no container engine's client is installed.
var ErrNone = errors.New("no container engine: none of docker, nerdctl, finch and podman is installed")

// Detect finds the engine's client by kind's own rules: the one that
// KIND_EXPERIMENTAL_PROVIDER names, otherwise the first that is installed of
// docker, nerdctl, finch and podman. It does not ask whether the engine
// answers; [Engine.Ping] does.
func Detect(ctx context.Context) (*Engine, error) {
	return detect(os.Getenv("KIND_EXPERIMENTAL_PROVIDER"), func(binary string) string {
		out, _ := run(command(ctx, binary, "-v"))
		return string(out)
	})
}

// candidates are the clients in kind's order, with how their version begins.
var candidates = []struct{ binary, banner string }{
	{"docker", "Docker version"},
	{"nerdctl", "nerdctl version"},
	{"finch", "finch version"},
	{"podman", "podman version"},
}

// detect applies the rules; version is what a client prints for -v.
func detect(wanted string, version func(binary string) string) (*Engine, error) {
	switch wanted {
	case "docker", "podman", "nerdctl", "finch", "nerdctl.lima":
		return newEngine(wanted), nil
	}
	for _, c := range candidates {
		if strings.HasPrefix(version(c.binary), c.banner) {
			return newEngine(c.binary), nil
		}
	}
	return nil, ErrNone
}
