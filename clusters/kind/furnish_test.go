package kind

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes/scheme"

	"faultline/clusters"
)

// laidOut is a cluster as the topology says, whose nodes only say what they are told.
func laidOut(t *testing.T, topology clusters.Topology, shell clusters.Shell) *clusters.Cluster {
	t.Helper()
	c := &clusters.Cluster{Name: "c", Topology: topology, Etcd: "v3.7.0"}
	for _, h := range topology.Hosts {
		for i, m := range h.Members {
			n := len(c.Nodes)
			c.Nodes = append(c.Nodes, &clusters.Node{Name: fmt.Sprintf("c-%s-%d", h.Name, i), Host: h.Name, Role: m.Role, Address: fmt.Sprintf("172.18.0.%d", n+2)})
		}
	}
	c.Reach(shell)
	return c
}

// decode reads manifests as strictly as the API does: unknown or repeated fields are errors.
func decode(t *testing.T, stream []byte) []runtime.Object {
	t.Helper()
	decoder := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	var objects []runtime.Object
	for _, document := range strings.Split(string(stream), "\n---\n") {
		lines := slices.DeleteFunc(strings.Split(document, "\n"), func(l string) bool { return strings.HasPrefix(l, "#") || l == "" })
		if len(lines) == 0 {
			continue
		}
		object, _, err := decoder.Decode([]byte(document), nil, nil)
		if err != nil {
			t.Fatalf("%v in:\n%s", err, document)
		}
		objects = append(objects, object)
	}
	return objects
}

// find picks the object of a type and name.
func find[T metav1.Object](t *testing.T, objects []runtime.Object, name string) T {
	t.Helper()
	for _, o := range objects {
		if found, ok := o.(T); ok && found.GetName() == name {
			return found
		}
	}
	t.Fatalf("no %T named %q", *new(T), name)
	return *new(T)
}

func filled(t *testing.T, topology clusters.Topology, names ...string) []runtime.Object {
	t.Helper()
	v := newValues(laidOut(t, topology, nil), "faultline/workload:1")
	v.Database = databaseAccess{Address: "172.18.0.9", Authority: []byte("ca"), Certificate: []byte("crt"), Key: []byte("key")}
	v.FromRegistry = clusters.RegistryName + "/faultline/workload:1"
	stream, err := render(v, names...)
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, stream)
}

func TestManifestsAreWhatTheAPIKnows(t *testing.T) {
	for _, topology := range clusters.Documented() {
		var names []string
		for _, w := range topology.Workloads {
			names = append(names, string(w))
		}
		if topology.AirGapped {
			names = append(names, airGapped)
		}
		if len(names) == 0 {
			continue
		}
		for _, o := range filled(t, topology, names...) {
			object := o.(metav1.Object)
			space := object.GetNamespace()
			if space == "" {
				continue
			}
			allowed := append(clusters.QuotaNamespaces(), clusters.AirGapNamespace)
			for _, w := range topology.Workloads {
				allowed = append(allowed, w.Namespace())
			}
			if !slices.Contains(allowed, space) {
				t.Errorf("%s: %T %s is in namespace %s, where nobody looks for it", topology.Name, o, object.GetName(), space)
			}
		}
	}
}

func TestUnknownFieldsAreRefused(t *testing.T) {
	decoder := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	if _, _, err := decoder.Decode([]byte("apiVersion: v1\nkind: Namespace\nmetadata: {nam: x}\n"), nil, nil); err == nil {
		t.Error("a misspelt field was accepted, so that the other tests prove nothing")
	}
}

// repelled is by what a template's pods repel each other.
func repelled(t *testing.T, spec corev1.PodTemplateSpec) string {
	t.Helper()
	terms := spec.Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	if len(terms) != 1 {
		t.Fatalf("%d terms", len(terms))
	}
	for key, value := range terms[0].LabelSelector.MatchLabels {
		if spec.Labels != nil && spec.Labels[key] != value {
			t.Errorf("pods with %v repel pods with %s=%s", spec.Labels, key, value)
		}
	}
	return terms[0].TopologyKey
}

func TestReplicasRepelEachOther(t *testing.T) {
	objects := filled(t, clusters.AntiAffinity(), string(clusters.SpreadReplicas))
	if key := repelled(t, find[*appsv1.Deployment](t, objects, clusters.ByHost).Spec.Template); key != clusters.HostLabel {
		t.Errorf("by-host repels by %s", key)
	}
	byNode := find[*appsv1.Deployment](t, objects, clusters.ByNode)
	if key := repelled(t, byNode.Spec.Template); key != corev1.LabelHostname {
		t.Errorf("by-node repels by %s", key)
	}
	hosts := byNode.Spec.Template.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms[0].MatchExpressions[0]
	if hosts.Key != clusters.HostLabel || strings.Join(hosts.Values, " ") != "h2 h3" || int(*byNode.Spec.Replicas) <= len(hosts.Values) {
		t.Errorf("%d replicas on %v: they need not share a host", *byNode.Spec.Replicas, hosts)
	}
	dns := find[*appsv1.Deployment](t, filled(t, clusters.DNSOnHosts(), string(clusters.DNSPerHost)), "coredns")
	if key := repelled(t, dns.Spec.Template); key != clusters.HostLabel || dns.Spec.Strategy.RollingUpdate.MaxSurge.IntValue() != 0 {
		t.Errorf("DNS servers repel by %s, with a surge of %s", key, dns.Spec.Strategy.RollingUpdate.MaxSurge)
	}
}

func TestEachWorkerHasALocalVolume(t *testing.T) {
	for _, hosts := range []int{3, 2} {
		objects := filled(t, clusters.StatefulLocal(hosts), string(clusters.LocalVolumes))
		for _, n := range laidOut(t, clusters.StatefulLocal(hosts), nil).WorkloadNodes() {
			v := find[*corev1.PersistentVolume](t, objects, "faultline-local-"+n.Name)
			if at := v.Spec.NodeAffinity.Required.NodeSelectorTerms[0].MatchExpressions[0].Values; len(at) != 1 || at[0] != n.Name {
				t.Errorf("the volume of %s is on %v", n.Name, at)
			}
		}
		set := find[*appsv1.StatefulSet](t, objects, clusters.DatabaseApp)
		const want = "--initial-cluster=database-0=http://database-0.database.faultline-local-volumes.svc.cluster.local:2380,database-1=http://"
		if command := strings.Join(set.Spec.Template.Spec.Containers[0].Command, " "); !strings.Contains(command, want) {
			t.Errorf("command: %s", command)
		}
		if image := set.Spec.Template.Spec.Containers[0].Image; image != "registry.k8s.io/etcd:3.7.0-0" {
			t.Errorf("image: %s", image)
		}
		if int(*set.Spec.Replicas) != clusters.QuorumSize {
			t.Errorf("%d members", *set.Spec.Replicas)
		}
	}
}

func TestExternalVolumeIsBoundToNoNode(t *testing.T) {
	objects := filled(t, clusters.ExternalVolumes(), string(clusters.ExternalVolume))
	v := find[*corev1.PersistentVolume](t, objects, "faultline-external")
	if v.Spec.NodeAffinity != nil || v.Spec.HostPath.Path != clusters.ExternalFolder {
		t.Errorf("volume: %+v", v.Spec)
	}
}

func TestExternalDatabaseLeadsToTheMachine(t *testing.T) {
	objects := filled(t, clusters.ExternalDB(), string(clusters.ExternalDatabase))
	service, slice := find[*corev1.Service](t, objects, clusters.DatabaseApp), find[*discoveryv1.EndpointSlice](t, objects, clusters.DatabaseApp)
	if service.Spec.Selector != nil || *slice.Ports[0].Name != service.Spec.Ports[0].Name || slice.Endpoints[0].Addresses[0] != "172.18.0.9" {
		t.Errorf("service %+v, endpoints %+v", service.Spec, slice)
	}
	secret := find[*corev1.Secret](t, objects, "database-client")
	if string(secret.Data["ca.crt"]) != "ca" || string(secret.Data["tls.crt"]) != "crt" || string(secret.Data["tls.key"]) != "key" {
		t.Errorf("secret: %v", secret.Data)
	}
}

func TestImagesFromTheRegistryAreAskedForEachTime(t *testing.T) {
	container := find[*appsv1.Deployment](t, filled(t, clusters.AirGap(), airGapped), clusters.AppLabel).Spec.Template.Spec.Containers[0]
	if container.ImagePullPolicy != corev1.PullAlways || !strings.HasPrefix(container.Image, clusters.RegistryName+"/") {
		t.Errorf("%s, %s", container.Image, container.ImagePullPolicy)
	}
}

// calls notes what nodes are told to do.
type calls struct {
	mu  sync.Mutex
	all []string
}

func (c *calls) shell(_ context.Context, node string, stdin io.Reader, argv ...string) ([]byte, error) {
	var input bytes.Buffer
	if stdin != nil {
		if _, err := io.Copy(&input, stdin); err != nil {
			return nil, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, node+": "+strings.Join(argv, " ")+"\n"+input.String())
	return []byte("said by " + argv[len(argv)-1]), nil
}

func TestFurnishDoesNothingWhereNothingIsAsked(t *testing.T) {
	var told calls
	if err := furnish(t.Context(), laidOut(t, clusters.ThreeHostStacked(), told.shell), Options{}); err != nil || len(told.all) > 0 {
		t.Errorf("%v, told %q", err, told.all)
	}
}

func TestFurnishMakesFoldersBeforeItApplies(t *testing.T) {
	var told calls
	o := Options{Timing: clusters.Timing{Profile: clusters.FastProfile(), Slack: 1}}
	if err := furnish(t.Context(), laidOut(t, clusters.StatefulLocal(3), told.shell), o); err != nil {
		t.Fatal(err)
	}
	if len(told.all) != 4 || !strings.HasPrefix(told.all[3], "c-m1-0: kubectl ") || !strings.Contains(told.all[3], "kind: StatefulSet") {
		t.Fatalf("told %q", told.all)
	}
	for _, call := range told.all[:3] {
		if !strings.Contains(call, "mkdir -p -m 700 "+localFolder) {
			t.Errorf("told %q", call)
		}
	}
}

func TestFurnishTakesTheDatabasesCertificates(t *testing.T) {
	var told calls
	c := laidOut(t, clusters.ExternalDB(), told.shell)
	access, err := accessDatabase(t.Context(), c.With(clusters.Database)[0])
	if err != nil || access.Address != "172.18.0.4" || string(access.Key) != "said by "+etcdClientKey || string(access.Authority) != "said by "+etcdCA {
		t.Errorf("%+v, %v", access, err)
	}
}

func TestFurnishGivesUpWithTheAPIsWords(t *testing.T) {
	refuse := func(context.Context, string, io.Reader, ...string) ([]byte, error) {
		return nil, fmt.Errorf("conflict")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := furnish(ctx, laidOut(t, clusters.DNSOnHosts(), refuse), Options{Timing: clusters.Timing{Slack: 1}})
	if err == nil || !strings.Contains(err.Error(), "conflict") || !strings.Contains(err.Error(), "c-m1-0") {
		t.Errorf("got %v", err)
	}
}
