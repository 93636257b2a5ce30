package offline

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"faultline/clusters/progress"
)

const recipesDir = "clusters/images/recipes"

// component is a program family built from one recipe.
type component struct {
	name     string
	module   string        // whose version is the component's
	tags     string        // of the Go build
	stamps   []string      // -X flags; {version}, {major} and {minor} are filled in
	renames  [2]string     // a tool whose executable gets another name
	estimate time.Duration // cold, on two cores
}

// components in the order of their builds: the longest first.
var components = []component{
	{
		name: "kubernetes", module: "k8s.io/kubernetes", tags: "selinux,notest,grpcnotrace", estimate: 460 * time.Second,
		stamps: []string{
			"k8s.io/component-base/version.gitVersion={version}", "k8s.io/component-base/version.gitMajor={major}",
			"k8s.io/component-base/version.gitMinor={minor}", "k8s.io/component-base/version.gitTreeState=clean",
			"k8s.io/client-go/pkg/version.gitVersion={version}", "k8s.io/client-go/pkg/version.gitMajor={major}",
			"k8s.io/client-go/pkg/version.gitMinor={minor}", "k8s.io/client-go/pkg/version.gitTreeState=clean",
		},
	},
	{name: "etcd", module: "go.etcd.io/etcd/server/v3", renames: [2]string{"server", "etcd"}, estimate: 30 * time.Second,
		stamps: []string{"go.etcd.io/etcd/api/v3/version.GitSHA={version}"}},
	{name: "containerd", module: "github.com/containerd/containerd/v2", tags: "no_aufs,no_zfs,no_btrfs,no_devmapper", estimate: 63 * time.Second,
		stamps: []string{"github.com/containerd/containerd/v2/version.Version={version}"}},
	{name: "crictl", module: "sigs.k8s.io/cri-tools", estimate: 30 * time.Second,
		stamps: []string{"sigs.k8s.io/cri-tools/pkg/version.Version={version}"}},
	{name: "cni", module: "github.com/containernetworking/plugins", estimate: 10 * time.Second,
		stamps: []string{"github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion={version}"}},
	{name: "coredns", module: "github.com/coredns/coredns", estimate: 120 * time.Second,
		stamps: []string{"github.com/coredns/coredns/coremain.GitCommit={version}"}},
	{name: "local-path-provisioner", module: "github.com/rancher/local-path-provisioner", estimate: 66 * time.Second,
		stamps: []string{"main.VERSION={version}"}},
}

// arguments of "go build" that decide what comes out.
func (c component) arguments(version string) []string {
	ldflags := []string{"-s", "-w"}
	major, rest, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	minor, _, _ := strings.Cut(rest, ".")
	fill := strings.NewReplacer("{version}", version, "{major}", major, "{minor}", minor)
	for _, stamp := range c.stamps {
		ldflags = append(ldflags, "-X", fill.Replace(stamp))
	}
	args := []string{"-trimpath", "-ldflags", strings.Join(ldflags, " ")}
	if c.tags != "" {
		args = append(args, "-tags", c.tags)
	}
	return args
}

// hash is of all that decides what comes out, but for the Go release.
func (c component) hash(root, version string) (string, error) {
	dir := filepath.Join(root, recipesDir, c.name)
	files, err := hashFiles(filepath.Join(dir, "go.mod"), filepath.Join(dir, "go.sum"))
	if err != nil {
		return "", fmt.Errorf("recipe of %s: %w", c.name, err)
	}
	return hash(files, strings.Join(c.arguments(version), " "), strings.Join(c.renames[:], " "), runtime.GOARCH), nil
}

// build makes the component's executables, unless they are in the cache, and
// returns their folder.
func (b *Builder) build(ctx context.Context, c component) (string, error) {
	family := filepath.Join(b.cache, "components")
	dir := filepath.Join(family, c.name+"-"+b.recipes[c.name])
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	step := b.progress.Step(fmt.Sprintf("build %s %s", c.name, b.versions[c.name]), c.estimate)
	err := b.compile(ctx, c, dir, step)
	step.Done(err)
	if err != nil {
		return "", err
	}
	return dir, forgetOthers(family, c.name, dir)
}

// compile builds into a fresh folder and renames it when it is complete.
func (b *Builder) compile(ctx context.Context, c component, dir string, step *progress.Step) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	fresh, err := os.MkdirTemp(filepath.Dir(dir), ".building-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(fresh)
	recipe := filepath.Join(b.root, recipesDir, c.name)
	args := append([]string{"build", "-v", "-o", fresh + "/"}, c.arguments(b.versions[c.name])...)
	if err := goBuild(ctx, recipe, append(args, "tool"), countPackages(ctx, recipe, step)); err != nil {
		return fmt.Errorf("build %s: %w", c.name, err)
	}
	if c.renames[0] != "" {
		if err := os.Rename(filepath.Join(fresh, c.renames[0]), filepath.Join(fresh, c.renames[1])); err != nil {
			return err
		}
	}
	if err := os.Chmod(fresh, 0o755); err != nil {
		return err
	}
	return os.Rename(fresh, dir)
}

// goBuild runs the go command in a recipe's folder and shows each line that
// it prints. Only the lines that are not names of packages are an error.
func goBuild(ctx context.Context, dir string, args []string, each func()) error {
	cmd := goCommand(ctx, dir, args...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	said := readPackages(stderr, each)
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("cd %s && CGO_ENABLED=0 go %s: %w\n%s", dir, strings.Join(args, " "), err, said)
	}
	return nil
}

func goCommand(ctx context.Context, dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GO111MODULE=on")
	return cmd
}

var packageLine = regexp.MustCompile(`^[\w.\-/~]+$`)

// readPackages calls each for every line that is the name of a package that
// was compiled, and returns the rest but for news of downloads.
func readPackages(from io.Reader, each func()) string {
	var rest bytes.Buffer
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		switch line := lines.Text(); {
		case packageLine.MatchString(line):
			each()
		case !strings.HasPrefix(line, "go: downloading "):
			fmt.Fprintln(&rest, line)
		}
	}
	return strings.TrimSpace(rest.String())
}

// countPackages returns a function that counts compiled packages on the step.
func countPackages(ctx context.Context, recipe string, step *progress.Step) func() {
	out, _ := goCommand(ctx, recipe, "list", "-deps", "tool").Output()
	total, done := bytes.Count(out, []byte("\n")), 0
	return func() {
		done++
		step.Update(fmt.Sprintf("package %d of %d", done, total))
	}
}

// forgetOthers removes what earlier recipes of a component left in the cache.
func forgetOthers(family, name, keep string) error {
	old, err := filepath.Glob(filepath.Join(family, name+"-*"))
	if err != nil {
		return err
	}
	for _, dir := range old {
		if dir != keep {
			if err := os.RemoveAll(dir); err != nil {
				return err
			}
		}
	}
	return nil
}
