package images

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
	"sigs.k8s.io/kind/pkg/cluster"

	"faultline/clusters/engine"
	"faultline/clusters/images/internal/offline"
	"faultline/clusters/progress"
)

// live returns the real engine and images, or skips the test.
func live(t *testing.T) (*engine.Engine, Set) {
	t.Helper()
	if os.Getenv("FAULTLINE_LIVE_TESTS") != "1" {
		t.Skip("needs a container engine: set FAULTLINE_LIVE_TESTS=1")
	}
	e, err := engine.Ensure(t.Context(), engine.Options{Progress: progress.New(os.Stderr)})
	if err != nil {
		t.Fatal(err)
	}
	set, err := Ensure(t.Context(), e, progress.New(os.Stderr))
	if err != nil {
		t.Fatal(err)
	}
	return e, set
}

func TestEnsureAgainDoesNothingQuickly(t *testing.T) {
	e, set := live(t)
	began := time.Now()
	again, err := Ensure(t.Context(), e, nil)
	if err != nil || again != set {
		t.Errorf("second call = %+v, %v; want %+v", again, err, set)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("second call took %v, want less than 2s", took)
	}
}

func TestSetIsComplete(t *testing.T) {
	e, set := live(t)
	for _, image := range []string{set.Node, set.LoadBalancer, set.Workload} {
		if _, err := e.Run(t.Context(), "image", "inspect", image); err != nil {
			t.Error(err)
		}
	}
	if set.KubernetesVersion == "" || set.EtcdVersion == "" || (set.LoadBalancerKind != "envoy" && set.LoadBalancerKind != "haproxy") {
		t.Errorf("set = %+v", set)
	}
}

func TestContainerdDataIsSmall(t *testing.T) {
	e, set := live(t)
	if set.Origin != Offline {
		t.Skip("the node image was pulled, not built")
	}
	out, err := e.Run(t.Context(), "run", "--rm", "--network=none", "--entrypoint=du", set.Node, "-s", "--block-size=1", "/var/lib/containerd")
	if err != nil {
		t.Fatal(err)
	}
	size, err := strconv.ParseInt(strings.Fields(string(out))[0], 10, 64)
	if err != nil || size > offline.MaxData {
		t.Errorf("the containerd data is %d bytes, want at most %d (%v)", size, offline.MaxData, err)
	}
	t.Logf("containerd data: %d MB", size/1e6)
}

func TestWorkloadAnswers(t *testing.T) {
	e, set := live(t)
	name := fmt.Sprintf("faultline-test-workload-%d", os.Getpid())
	t.Cleanup(func() { _, _ = e.Run(context.Background(), "rm", "-f", name) })
	if _, err := e.Run(t.Context(), "run", "-d", "--name", name, "-e", "POD_NAME=lonely", set.Workload, "serve", "-target", "self=http://127.0.0.1:8080/healthz"); err != nil {
		t.Fatal(err)
	}
	out, err := e.Run(t.Context(), "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name)
	if err != nil {
		t.Fatal(err)
	}
	address := net.JoinHostPort(strings.TrimSpace(string(out)), "8080")
	eventually(t, 10*time.Second, func() error {
		body, err := httpGet(t.Context(), "http://"+address+"/")
		if err != nil || !strings.Contains(body, `"pod":"lonely"`) {
			return fmt.Errorf("identity = %q, %w", body, err)
		}
		body, err = httpGet(t.Context(), "http://"+address+"/history")
		if err != nil || !strings.Contains(body, `"status":200`) {
			return fmt.Errorf("history = %q, %w", body, err)
		}
		return nil
	})
}

func TestLoadBalancerFollowsItsFiles(t *testing.T) {
	e, set := live(t)
	if set.LoadBalancerKind != "haproxy" {
		t.Skip("the load balancer is Envoy itself")
	}
	name := fmt.Sprintf("faultline-test-lb-%d", os.Getpid())
	t.Cleanup(func() { _, _ = e.Run(context.Background(), "rm", "-f", name) })
	start := "mkdir -p /home/envoy && cd /home/envoy && echo 'resources: []' | tee cds.yaml > lds.yaml && envoy -c /home/envoy/envoy.yaml"
	if _, err := e.Run(t.Context(), "run", "-d", "--name", name, set.LoadBalancer, "bash", "-c", start); err != nil {
		t.Fatal(err)
	}
	listens := func(port int) error {
		_, err := e.Exec(t.Context(), name, "bash", "-c", fmt.Sprintf("exec 3<>/dev/tcp/127.0.0.1/%d", port))
		return err
	}
	eventually(t, 10*time.Second, func() error { return listens(1) })
	for _, port := range []int{6443, 7443} {
		lds := fmt.Sprintf("resources: [{address: {socket_address: {address: 0.0.0.0, port_value: %d}}}]", port)
		if _, err := e.ExecInput(t.Context(), name, strings.NewReader(lds), "sh", "-c", "cat > /home/envoy/lds.tmp && mv /home/envoy/lds.tmp /home/envoy/lds.yaml"); err != nil {
			t.Fatal(err)
		}
		eventually(t, 10*time.Second, func() error { return listens(port) })
	}
	eventually(t, 10*time.Second, func() error {
		if listens(6443) == nil {
			return fmt.Errorf("still listens on the old port")
		}
		return nil
	})
}

// TestNodesWorkLikeTheOfficialImage boots a control plane and a worker and
// uses every way in which pods reach each other, and a volume.
func TestNodesWorkLikeTheOfficialImage(t *testing.T) {
	e, set := live(t)
	c := boot(t, e, set, 1, 1)
	manifest, err := os.ReadFile("testdata/network.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range c.nodes {
		c.load(t, node, set.Workload)
	}
	text := strings.ReplaceAll(string(manifest), "${WORKLOAD}", "docker.io/"+set.Workload)
	if _, err := e.ExecInput(t.Context(), c.nodes[0], strings.NewReader(text), "kubectl", "apply", "-f", "-"); err != nil {
		t.Fatal(err)
	}
	c.kubectl(t, "rollout", "status", "daemonset/web", "--timeout=90s")
	c.kubectl(t, "-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=90s")

	t.Run("host port", func(t *testing.T) {
		c.reach(t, c.nodes[0], "http://"+c.address(t, c.nodes[1])+":8088/", c.nodes[1])
	})
	t.Run("node port", func(t *testing.T) {
		c.reach(t, c.nodes[0], "http://"+c.address(t, c.nodes[1])+":30080/", "")
	})
	t.Run("pod to pod across nodes keeps the address", func(t *testing.T) { c.acrossNodes(t) })
	t.Run("DNS, service and API server from a pod", func(t *testing.T) { c.fromPod(t) })
	t.Run("volume", func(t *testing.T) {
		c.kubectl(t, "wait", "pod/writer", "--for=condition=Ready", "--timeout=90s")
		if phase := c.kubectl(t, "get", "pvc", "data", "-o", "jsonpath={.status.phase}"); phase != "Bound" {
			t.Errorf("the claim is %s", phase)
		}
	})
}

// booted is a running cluster.
type booted struct {
	engine *engine.Engine
	nodes  []string // control planes first
}

// boot creates a cluster and removes it after the test.
func boot(t *testing.T, e *engine.Engine, set Set, controlPlanes, workers int) *booted {
	t.Helper()
	name := fmt.Sprintf("faultline-images-%d", os.Getpid())
	provider := cluster.NewProvider(e.ProviderOption())
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	config := &v1alpha4.Cluster{
		KubeadmConfigPatches:    []string{"kind: KubeletConfiguration\napiVersion: kubelet.config.k8s.io/v1beta1\nfailCgroupV1: false\n"},
		ContainerdConfigPatches: []string{"[plugins.\"io.containerd.grpc.v1.cri\"]\n  restrict_oom_score_adj = true\n"},
	}
	for range controlPlanes {
		config.Nodes = append(config.Nodes, v1alpha4.Node{Role: v1alpha4.ControlPlaneRole})
	}
	for range workers {
		config.Nodes = append(config.Nodes, v1alpha4.Node{Role: v1alpha4.WorkerRole})
	}
	// A network of its own: kind's would stay.
	t.Setenv("KIND_EXPERIMENTAL_DOCKER_NETWORK", name)
	t.Setenv("KIND_EXPERIMENTAL_PODMAN_NETWORK", name)
	t.Cleanup(func() { _, _ = e.Run(context.Background(), "network", "rm", name) })
	t.Cleanup(func() { _ = provider.Delete(name, kubeconfig) })
	if err := provider.Create(name, cluster.CreateWithV1Alpha4Config(config), cluster.CreateWithNodeImage(set.Node),
		cluster.CreateWithKubeconfigPath(kubeconfig), cluster.CreateWithWaitForReady(3*time.Minute)); err != nil {
		t.Fatal(err)
	}
	return &booted{e, []string{name + "-control-plane", name + "-worker"}}
}

func (c *booted) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := c.engine.Exec(t.Context(), c.nodes[0], append([]string{"kubectl"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// load copies an image of the engine into a node.
func (c *booted) load(t *testing.T, node, image string) {
	t.Helper()
	archive, err := c.engine.Run(t.Context(), "save", image)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.engine.ExecInput(t.Context(), node, bytes.NewReader(archive), "ctr", "-n", "k8s.io", "images", "import", "-"); err != nil {
		t.Fatal(err)
	}
}

func (c *booted) address(t *testing.T, node string) string {
	t.Helper()
	return c.kubectl(t, "get", "node", node, "-o", `jsonpath={.status.addresses[?(@.type=="InternalIP")].address}`)
}

// pod gives the address of the web pod on a node.
func (c *booted) pod(t *testing.T, node string) string {
	t.Helper()
	return c.kubectl(t, "get", "pod", "-l", "app=web", "--field-selector", "spec.nodeName="+node, "-o", "jsonpath={.items[0].status.podIP}")
}

// reach expects that url, fetched on a node, is answered by the web pod of
// another node, or of any node.
func (c *booted) reach(t *testing.T, from, url, by string) {
	t.Helper()
	eventually(t, 30*time.Second, func() error {
		out, err := c.engine.Exec(t.Context(), from, "curl", "-sSm", "2", url)
		if err != nil {
			return err
		}
		var identity struct{ Node string }
		if err := json.Unmarshal(out, &identity); err != nil {
			return fmt.Errorf("%s answered %q: %w", url, out, err)
		}
		if by != "" && identity.Node != by {
			return fmt.Errorf("%s is answered by %q, want %q", url, identity.Node, by)
		}
		return nil
	})
}

// acrossNodes asks the worker's pod from the network of the other pod.
func (c *booted) acrossNodes(t *testing.T) {
	source, destination := c.pod(t, c.nodes[0]), c.pod(t, c.nodes[1])
	script := `pid=$(crictl inspect --output go-template --template '{{.info.pid}}' $(crictl ps -q --name web)); nsenter -t $pid -n curl -sSm 2 http://` + destination + `:8080/`
	eventually(t, 30*time.Second, func() error {
		out, err := c.engine.Exec(t.Context(), c.nodes[0], "bash", "-c", script)
		if err != nil {
			return err
		}
		var identity struct{ Client string }
		if err := json.Unmarshal(out, &identity); err != nil {
			return fmt.Errorf("%s answered %q: %w", destination, out, err)
		}
		if !strings.HasPrefix(identity.Client, source+":") {
			return fmt.Errorf("%s was asked by %s, want %s", destination, identity.Client, source)
		}
		return nil
	})
}

// fromPod reads what the in-cluster clients of both pods saw.
func (c *booted) fromPod(t *testing.T) {
	for _, node := range c.nodes {
		url := "http://" + c.pod(t, node) + ":8080/history"
		eventually(t, 30*time.Second, func() error {
			out, err := c.engine.Exec(t.Context(), node, "curl", "-sSm", "2", url)
			if err != nil {
				return err
			}
			lines := strings.Split(strings.TrimSpace(string(out)), "\n")
			recent := strings.Join(lines[max(0, len(lines)-20):], "\n")
			for _, target := range []string{"service", "api"} {
				if !answered(recent, target) {
					return fmt.Errorf("no answer from %s to the pod on %s:\n%s", target, node, recent)
				}
			}
			return nil
		})
	}
}

func answered(history, target string) bool {
	for line := range strings.Lines(history) {
		if strings.Contains(line, `"target":"`+target+`"`) && strings.Contains(line, `"status":200`) {
			return true
		}
	}
	return false
}
