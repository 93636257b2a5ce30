package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"faultline/clusters/engine/workspace"
	"faultline/clusters/progress"
)

// Policy says whether this machine may be changed.
type Policy string

const (
	Auto  Policy = "auto"  // install and repair what is missing, where root may
	Never Policy = "never" // change nothing, only say what is missing
)

// Options guide [Ensure]. The zero value is right for most callers.
type Options struct {
	Bootstrap Policy            // empty means Auto; FAULTLINE_BOOTSTRAP=never wins
	Progress  *progress.Printer // nil prints nothing
}

// PolicyFromEnv reads FAULTLINE_BOOTSTRAP; unset means auto.
func PolicyFromEnv() (Policy, error) {
	switch p := Policy(os.Getenv("FAULTLINE_BOOTSTRAP")); p {
	case "":
		return Auto, nil
	case Auto, Never:
		return p, nil
	default:
		return Never, fmt.Errorf("FAULTLINE_BOOTSTRAP=%q: want %s or %s", p, Never, Auto)
	}
}

// policy takes a word that nobody knows for never: it permits nothing.
func (o Options) policy() Policy {
	if wanted, err := PolicyFromEnv(); err != nil || wanted == Never || o.Bootstrap == Never {
		return Never
	}
	return Auto
}

// Ensure returns an engine that answers and can start privileged containers.
//
// On Debian and Ubuntu, as root and unless forbidden, it installs and starts
// Docker where there is no engine, and installs the runtime shim where a
// restricted capability bounding set keeps privileged containers from
// starting. A machine that needs nothing is left alone. In every other case
// the error says what to run.
func Ensure(ctx context.Context, options Options) (*Engine, error) {
	if _, err := PolicyFromEnv(); err != nil {
		return nil, err
	}
	release, err := workspace.Lock(ctx, "engine")
	if err != nil {
		return nil, err
	}
	defer release()
	e, err := reachable(ctx)
	if err != nil {
		if e, err = bootstrap(ctx, options, err); err != nil {
			return nil, err
		}
	}
	if err := ensurePrivileged(ctx, e, options); err != nil {
		return nil, err
	}
	return e, nil
}

// reachable detects an engine and asks whether it answers.
func reachable(ctx context.Context) (*Engine, error) {
	e, err := Detect(ctx)
	if err != nil {
		return nil, err
	}
	if err := e.Ping(ctx); errors.Is(err, exec.ErrNotFound) {
		return nil, fmt.Errorf("%s is not installed: %w", e.Name(), err)
	} else if err != nil {
		return nil, fmt.Errorf("%s is installed but does not answer: %w", e.Name(), err)
	}
	return e, nil
}

// bootstrap gets Docker running where nothing answers; problem is why.
func bootstrap(ctx context.Context, options Options, problem error) (*Engine, error) {
	if ctx.Err() != nil {
		return nil, problem
	}
	if err := mayBootstrap(ctx, options, problem); err != nil {
		return nil, err
	}
	options.Progress.Printf("No container engine answers here: setting up Docker from %s packages (FAULTLINE_BOOTSTRAP=never forbids this).", readOSRelease().name())
	if !onPath("dockerd") {
		if err := aptInstall(ctx, options, "docker.io", "iptables", "kmod", "ca-certificates"); err != nil {
			return nil, err
		}
	}
	if err := startDocker(ctx, options); err != nil {
		return nil, err
	}
	return reachable(ctx)
}

// mayBootstrap says why Docker must not be set up here, or nothing.
func mayBootstrap(ctx context.Context, options Options, problem error) error {
	if wanted := os.Getenv("KIND_EXPERIMENTAL_PROVIDER"); wanted != "" && wanted != "docker" {
		return fmt.Errorf("%w\nKIND_EXPERIMENTAL_PROVIDER=%s: only Docker is set up automatically; install and start %s yourself, or unset the variable", problem, wanted, wanted)
	}
	if e, err := Detect(ctx); err == nil && e.Name() != "docker" {
		return fmt.Errorf("%w\nStart %s, or set KIND_EXPERIMENTAL_PROVIDER=docker to have Docker set up", problem, e.Name())
	}
	if host := dockerHost(ctx); !local(host) {
		return fmt.Errorf("%w\nThe Docker client is told to use %s (DOCKER_HOST or a docker context), which does not answer: start it, or unset DOCKER_HOST and run 'docker context use default'", problem, host)
	}
	if reason := mayNotInstall(options.policy(), os.Geteuid(), readOSRelease()); reason != "" {
		return fmt.Errorf("%w\n%s. Set one up yourself: %s", problem, capitalised(reason), startAdvice(problem))
	}
	return nil
}

// startAdvice is what a person has to run for an engine.
func startAdvice(problem error) string {
	if strings.Contains(problem.Error(), "permission denied") {
		return "sudo usermod -aG docker $USER && newgrp docker"
	}
	if errors.Is(problem, ErrNone) || !onPath("dockerd") {
		return "sudo apt-get install docker.io && sudo systemctl start docker (or see https://docs.docker.com/engine/install)"
	}
	return "sudo systemctl start docker"
}

func capitalised(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

// defaultSockets are the addresses of a Docker on this machine.
var defaultSockets = []string{"unix:///var/run/docker.sock", "unix:///run/docker.sock"}

// dockerHost is the address that the Docker client talks to, or nothing where
// no client is installed.
func dockerHost(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if host := os.Getenv("DOCKER_HOST"); host != "" {
		return host
	}
	out, err := run(command(ctx, "docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// local tells whether host is the Docker of this machine.
func local(host string) bool {
	return host == "" || host == defaultSockets[0] || host == defaultSockets[1]
}
