package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestOSRelease(t *testing.T) {
	debian := parseOSRelease("PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\n# ID=other\n")
	if !debian.debian() || debian.name() != "Debian GNU/Linux 12 (bookworm)" {
		t.Errorf("debian = %v", debian)
	}
	for text, want := range map[string]bool{
		"ID=ubuntu\nID_LIKE=debian\n":           true,
		"ID=linuxmint\nID_LIKE='ubuntu debian'": true,
		"ID=fedora\n":                           false,
		"ID=arch\nID_LIKE=\n":                   false,
		"":                                      false,
	} {
		if got := parseOSRelease(text).debian(); got != want {
			t.Errorf("debian(%q) = %v", text, got)
		}
	}
}

func TestMayNotInstall(t *testing.T) {
	debian := osRelease{"ID": "debian"}
	if reason := mayNotInstall(Auto, 0, debian); reason != "" {
		t.Errorf("root on Debian: %s", reason)
	}
	for reason, got := range map[string]string{
		"FAULTLINE_BOOTSTRAP": mayNotInstall(Never, 0, debian),
		"only root":           mayNotInstall(Auto, 1000, debian),
		"only Debian":         mayNotInstall(Auto, 0, osRelease{"ID": "fedora"}),
	} {
		if !strings.Contains(got, reason) {
			t.Errorf("reason %q, want something with %q", got, reason)
		}
	}
}

func TestBootstrapNeedsTheOwnDocker(t *testing.T) {
	problem := errors.New("nothing answers")
	t.Setenv("KIND_EXPERIMENTAL_PROVIDER", "podman")
	if err := mayBootstrap(t.Context(), Options{}, problem); !errors.Is(err, problem) || !strings.Contains(err.Error(), "podman") {
		t.Errorf("podman was asked for: %v", err)
	}
	t.Setenv("KIND_EXPERIMENTAL_PROVIDER", "docker")
	t.Setenv("DOCKER_HOST", "tcp://192.0.2.1:2375")
	if err := mayBootstrap(t.Context(), Options{}, problem); !errors.Is(err, problem) || !strings.Contains(err.Error(), "DOCKER_HOST") {
		t.Errorf("another machine's Docker: %v", err)
	}
	t.Setenv("DOCKER_HOST", "")
	t.Setenv("FAULTLINE_BOOTSTRAP", "never")
	if err := mayBootstrap(t.Context(), Options{}, problem); err == nil {
		t.Error("FAULTLINE_BOOTSTRAP=never was ignored")
	}
}

func TestPolicyMustBeUnderstood(t *testing.T) {
	for text, want := range map[string]Policy{"": Auto, "auto": Auto, "never": Never} {
		t.Setenv("FAULTLINE_BOOTSTRAP", text)
		if got, err := PolicyFromEnv(); err != nil || got != want || (Options{}).policy() != want {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
	}
	t.Setenv("FAULTLINE_BOOTSTRAP", "nevr")
	if _, err := PolicyFromEnv(); err == nil || !strings.Contains(err.Error(), "never") {
		t.Errorf("a misspelt policy: %v", err)
	}
	if got := (Options{}).policy(); got != Never {
		t.Errorf("a misspelt policy is taken for %q", got)
	}
	if _, err := Ensure(t.Context(), Options{}); err == nil || !strings.Contains(err.Error(), "nevr") {
		t.Errorf("with it an engine is looked for: %v", err)
	}
}

func TestRestricted(t *testing.T) {
	for _, c := range []struct {
		bounding string
		last     string
		want     bool
	}{
		{"000001ffffffffff", "40\n", false},
		{"000001fffeffffff", "40\n", true},
		{"000001ffffffffff", "41\n", true},
	} {
		got, err := restricted("CapEff:\t0\nCapBnd:\t"+c.bounding+"\nCapAmb:\t0\n", c.last)
		if err != nil || got != c.want {
			t.Errorf("restricted(%s, %q) = %v, %v", c.bounding, c.last, got, err)
		}
	}
	if _, err := restricted("Name: x\n", "40"); err == nil {
		t.Error("a status without CapBnd was accepted")
	}
}

func TestRefusedCapabilities(t *testing.T) {
	for stderr, want := range map[string]bool{
		"docker: OCI runtime create failed: unable to apply caps: operation not permitted: unknown.": true,
		"unable to start container process: can't set capabilities: Operation not permitted":         true,
		"mount: operation not permitted": false,
		"no space left on device":        false,
	} {
		err := fmt.Errorf("wrapped: %w", &CommandError{Stderr: stderr, Err: errors.New("exit status 126")})
		if got := refusedCapabilities(err); got != want {
			t.Errorf("refusedCapabilities(%q) = %v", stderr, got)
		}
	}
}

func TestDaemonConfiguration(t *testing.T) {
	before := `{"log-driver":"json-file","runtimes":{"nvidia":{"path":"/usr/bin/nvidia"}},"insecure-registries":["a:5000"]}`
	after, err := withRuntime([]byte(before), "shim", "/opt/shim")
	if err != nil {
		t.Fatal(err)
	}
	want := `{"log-driver":"json-file","insecure-registries":["a:5000"],"default-runtime":"shim",
		"runtimes":{"nvidia":{"path":"/usr/bin/nvidia"},"shim":{"path":"/opt/shim"}}}`
	if !reflect.DeepEqual(parsed(t, string(after)), parsed(t, want)) {
		t.Errorf("after = %s", after)
	}
	if again, err := withRuntime(after, "shim", "/opt/shim"); err != nil || string(again) != string(after) {
		t.Errorf("second time: %s, %v", again, err)
	}
	for _, empty := range []string{"", "  \n", "{}", `{"runtimes":null}`} {
		if after, err := withRuntime([]byte(empty), "shim", "/opt/shim"); err != nil || !strings.Contains(string(after), "/opt/shim") {
			t.Errorf("withRuntime(%q) = %s, %v", empty, after, err)
		}
	}
	for _, bad := range []string{"{", "[]", `{"runtimes":[]}`, `{"default-runtime":"nvidia"}`, `{"default-runtime":7}`} {
		if after, err := withRuntime([]byte(bad), "shim", "/opt/shim"); err == nil {
			t.Errorf("withRuntime(%s) = %s, want an error", bad, after)
		}
	}
}

func parsed(t *testing.T, text string) (value any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatal(err)
	}
	return value
}
