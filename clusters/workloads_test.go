package clusters

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

// furnished is a cluster of the topology whose API has the objects. Its nodes are called
// by their host and their number there.
func furnished(topology Topology, shell Shell, objects ...runtime.Object) *tenants {
	c := &Cluster{Topology: topology}
	for _, h := range topology.Hosts {
		for i, m := range h.Members {
			c.Nodes = append(c.Nodes, &Node{Name: fmt.Sprintf("%s-%d", h.Name, i), Host: h.Name, Role: m.Role, Address: "172.18.0.9", shell: shell})
		}
	}
	return &tenants{c, fake.NewClientset(objects...)}
}

// podOn is a ready pod.
func podOn(namespace, label, name, node string) *corev1.Pod {
	key, value, _ := strings.Cut(label, "=")
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{key: value}},
		Spec:       corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "c"}}},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: "10.244.0.7",
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		},
	}
}

func unready(p *corev1.Pod) *corev1.Pod {
	p.Status.Conditions[0] = corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionFalse, Message: "probe failed"}
	return p
}

func deleted(p *corev1.Pod) *corev1.Pod {
	p.DeletionTimestamp = &metav1.Time{}
	return p
}

func deployment(namespace, name string, replicas int32) *appsv1.Deployment {
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: appsv1.DeploymentSpec{Replicas: &replicas}}
}

// judge runs a check that has to fail with a text, or to pass where the text is empty.
func judge(t *testing.T, name string, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("%s: %v", name, err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("%s: got %v, want an error with %q", name, err, want)
	}
}

func TestCheckDNS(t *testing.T) {
	dns := func(name, node string) *corev1.Pod { return podOn("kube-system", "k8s-app=kube-dns", name, node) }
	for name, c := range map[string]struct {
		replicas int32
		pods     []runtime.Object
		want     string
	}{
		"on two hosts":          {2, []runtime.Object{dns("a", "m1-0"), dns("b", "h1-0")}, ""},
		"on one host":           {2, []runtime.Object{dns("a", "m1-0"), dns("b", "m1-0")}, "a and b are both on m1"},
		"one is not ready":      {2, []runtime.Object{dns("a", "m1-0"), unready(dns("b", "h1-0"))}, "kube-system/b on node \"h1-0\" is not ready (Running): probe failed"},
		"an old one is leaving": {2, []runtime.Object{dns("a", "m1-0"), dns("b", "h1-0"), deleted(dns("c", "m1-0"))}, "being deleted"},
		"one lacks":             {2, []runtime.Object{dns("a", "m1-0")}, "1 pods"},
		"there is only one":     {1, []runtime.Object{dns("a", "m1-0")}, "want 2 at least"},
		"a stranger's node":     {2, []runtime.Object{dns("a", "m1-0"), dns("b", "elsewhere")}, "elsewhere"},
	} {
		objects := append(c.pods, deployment("kube-system", "coredns", c.replicas))
		judge(t, name, furnished(DNSOnHosts(), nil, objects...).check(t.Context()), c.want)
	}
}

func TestCheckSpread(t *testing.T) {
	pods := func(kind string, nodes ...string) (all []runtime.Object) {
		for i, n := range nodes {
			all = append(all, podOn(SpreadReplicas.Namespace(), AppLabel+"="+kind, fmt.Sprintf("%s-%d", kind, i), n))
		}
		return all
	}
	good := pods(ByHost, "h1-1", "h2-0", "h3-0")
	for name, c := range map[string]struct {
		pods []runtime.Object
		want string
	}{
		"as asked for":             {append(pods(ByNode, "h2-0", "h2-1", "h3-0"), good...), ""},
		"two on a host":            {append(pods(ByNode, "h2-0", "h2-1", "h3-0"), pods(ByHost, "h1-1", "h2-0", "h2-1")...), "by host: pods by-host-1 and by-host-2 are both on h2"},
		"two on a node":            {append(pods(ByNode, "h2-0", "h2-0", "h3-0"), good...), "by node: pods by-node-0 and by-node-1 are both on h2-0"},
		"a control without effect": {append(pods(ByNode, "h1-1", "h2-0", "h3-0"), good...), "cannot show the difference"},
		"a replica waits":          {append(pods(ByNode, "h2-0", "h2-1", "h3-0"), pods(ByHost, "h1-1", "h2-0")...), "2 pods with app=by-host"},
	} {
		judge(t, name, furnished(AntiAffinity(), nil, c.pods...).check(t.Context()), c.want)
	}
}

// quota is a namespace with a quota, of which its two pods use what is said.
func quota(namespace, pods, cpu string) []runtime.Object {
	list := func(pods, cpu, memory string) corev1.ResourceList {
		return corev1.ResourceList{
			corev1.ResourcePods:           resource.MustParse(pods),
			corev1.ResourceRequestsCPU:    resource.MustParse(cpu),
			corev1.ResourceRequestsMemory: resource.MustParse(memory),
		}
	}
	objects := []runtime.Object{
		deployment(namespace, AppLabel, 2),
		&corev1.ResourceQuota{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: quotaName},
			Spec:       corev1.ResourceQuotaSpec{Hard: list("4", "200m", "128Mi")},
			Status:     corev1.ResourceQuotaStatus{Used: list(pods, cpu, "32Mi")},
		},
	}
	for _, name := range []string{"a", "b"} {
		p := podOn(namespace, AppLabel+"="+AppLabel, name, "h1-0")
		p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("20m"), corev1.ResourceMemory: resource.MustParse("16Mi"),
		}
		objects = append(objects, p)
	}
	return objects
}

func TestCheckQuotas(t *testing.T) {
	for name, c := range map[string]struct {
		pods, cpu string
		enforced  bool
		want      string
	}{
		"counted and enforced": {"2", "40m", true, ""},
		"not enforced":         {"2", "40m", false, "was accepted"},
		"pods are not counted": {"1", "40m", true, "counts 1 of pods, the pods have 2"},
		"cores are not":        {"2", "0", true, "counts 0 of requests.cpu, the pods have 40m"},
	} {
		var objects []runtime.Object
		for _, namespace := range QuotaNamespaces() {
			objects = append(objects, quota(namespace, c.pods, c.cpu)...)
		}
		tenants := furnished(Namespaces(), nil, objects...)
		if c.enforced {
			tenants.api.(*fake.Clientset).PrependReactor("create", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
				return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "x", errors.New("exceeded quota"))
			})
		}
		judge(t, name, tenants.check(t.Context()), c.want)
	}
}

func TestExceedingAsksForAllAtOnce(t *testing.T) {
	q := quota("n", "2", "40m")[1].(*corev1.ResourceQuota)
	asked := exceeding(q).Spec.Containers[0].Resources
	if asked.Requests.Cpu().String() != "200m" || asked.Limits.Memory().String() != "128Mi" {
		t.Errorf("asks for %+v", asked)
	}
}

// localDatabase has a member on each of the nodes, and its volume on each of the others.
func localDatabase(nodes, volumes []string) (objects []runtime.Object) {
	for i := range nodes {
		pod := podOn(LocalVolumes.Namespace(), AppLabel+"="+DatabaseApp, fmt.Sprintf("database-%d", i), nodes[i])
		objects = append(objects, pod,
			&corev1.PersistentVolumeClaim{
				ObjectMeta: metav1.ObjectMeta{Namespace: LocalVolumes.Namespace(), Name: "data-" + pod.Name},
				Spec:       corev1.PersistentVolumeClaimSpec{VolumeName: "v-" + pod.Name},
			}, localVolume("v-"+pod.Name, volumes[i]))
	}
	return objects
}

func localVolume(name, node string) *corev1.PersistentVolume {
	v := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name}}
	v.Spec.Local = &corev1.LocalVolumeSource{Path: "/x"}
	v.Spec.NodeAffinity = &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
		MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{node}}},
	}}}}
	return v
}

// answers are what three members say to quorumScript.
func answers(leaders ...string) string {
	var out strings.Builder
	for i, leader := range leaders {
		fmt.Fprintf(&out, `{"header":{"member_id":"%d"},"version":"3.7.0","leader":%q}`+"\n", i+1, leader)
		out.WriteString(`{"header":{},"members":[{"ID":"1","name":"database-0"},{"ID":"2","name":"database-1"},{"ID":"3","name":"database-2"}]}` + "\n")
	}
	return out.String()
}

func saying(text string, err error) Shell {
	return func(context.Context, string, io.Reader, ...string) ([]byte, error) { return []byte(text), err }
}

func TestCheckLocalVolumes(t *testing.T) {
	spread := []string{"h1-0", "h2-0", "h3-0"}
	for name, c := range map[string]struct {
		topology Topology
		objects  []runtime.Object
		says     string
		err      error
		want     string
	}{
		"over three hosts":      {StatefulLocal(3), localDatabase(spread, spread), answers("2", "2", "2"), nil, ""},
		"over two hosts":        {StatefulLocal(2), localDatabase([]string{"h1-0", "h1-1", "h2-0"}, []string{"h1-0", "h1-1", "h2-0"}), answers("2", "2", "2"), nil, ""},
		"two on a node":         {StatefulLocal(3), localDatabase([]string{"h1-0", "h1-0", "h3-0"}, []string{"h1-0", "h1-0", "h3-0"}), answers("2", "2", "2"), nil, "both on h1-0"},
		"not on a worker":       {StatefulLocal(3), localDatabase([]string{"m1-0", "h2-0", "h3-0"}, []string{"m1-0", "h2-0", "h3-0"}), answers("2", "2", "2"), nil, "over the hosts as map[h2:1 h3:1 m1:1]"},
		"away from its volume":  {StatefulLocal(3), localDatabase(spread, []string{"h1-0", "h3-0", "h2-0"}), answers("2", "2", "2"), nil, "database-1 is on node h2-0, its volume \"v-database-1\" on \"h3-0\""},
		"no leader":             {StatefulLocal(3), localDatabase(spread, spread), answers("0", "0", "0"), nil, "leader \"0\""},
		"two leaders":           {StatefulLocal(3), localDatabase(spread, spread), answers("1", "2", "2"), nil, "others have \"1\""},
		"a member is silent":    {StatefulLocal(3), localDatabase(spread, spread), answers("1", "1"), nil, "answers of database member database-2"},
		"nobody can be asked":   {StatefulLocal(3), localDatabase(spread, spread), "", errors.New("refused"), "from h1-0: refused"},
		"a member knows itself": {StatefulLocal(3), localDatabase(spread, spread), strings.ReplaceAll(answers("1", "1", "1"), `{"ID":"2","name":"database-1"},`, ""), nil, "knows 2 members"},
		"it is another member":  {StatefulLocal(3), localDatabase(spread, spread), strings.ReplaceAll(answers("1", "1", "1"), `"member_id":"3"`, `"member_id":"9"`), nil, "answers as another member"},
		"a member complains":    {StatefulLocal(3), localDatabase(spread, spread), strings.ReplaceAll(answers("1", "1", "1"), `"version"`, `"errors":["NOSPACE"],"version"`), nil, "reports NOSPACE"},
	} {
		judge(t, name, furnished(c.topology, saying(c.says, c.err), c.objects...).check(t.Context()), c.want)
	}
}

func TestCheckExternalVolume(t *testing.T) {
	pod := podOn(ExternalVolume.Namespace(), AppLabel+"="+DatabaseApp, "database-0", "h2-0")
	for name, c := range map[string]struct{ h1, h2, want string }{
		"one file":                 {"node 5:7", "process 5:7\nnode 5:7", ""},
		"two files":                {"node 5:8", "process 5:7\nnode 5:7", "h1-0 sees \"node 5:8\""},
		"the process has another":  {"node 5:7", "process 6:1\nnode 5:7", "another file"},
		"no process":               {"node 5:7", "node 5:7", "another file"},
		"no mount":                 {"/faultline/external is no mount", "process 5:7\nnode 5:7", "is no mount"},
		"two processes":            {"process 5:7\nnode 5:7", "process 5:7\nnode 5:7", "h1-0 sees"},
		"no mount at the database": {"node 5:7", "/faultline/external is no mount", "another file"},
	} {
		shell := func(_ context.Context, node string, _ io.Reader, _ ...string) ([]byte, error) {
			return []byte(map[string]string{"h1-0": c.h1, "h2-0": c.h2}[node] + "\n"), nil
		}
		judge(t, name, furnished(ExternalVolumes(), shell, pod).check(t.Context()), c.want)
	}
	judge(t, "cannot look", furnished(ExternalVolumes(), saying("", errors.New("no such file")), pod).check(t.Context()), "no such file")
}

func TestCheckExternalDatabase(t *testing.T) {
	client := podOn(ExternalDatabase.Namespace(), AppLabel+"=client", "client", "h1-0")
	endpoints := func(address string) *discoveryv1.EndpointSlice {
		return &discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{Namespace: ExternalDatabase.Namespace(), Name: DatabaseApp, Labels: map[string]string{discoveryv1.LabelServiceName: DatabaseApp}},
			Endpoints:  []discoveryv1.Endpoint{{Addresses: []string{address}}},
		}
	}
	for name, c := range map[string]struct {
		objects []runtime.Object
		want    string
	}{
		"as asked for":       {[]runtime.Object{endpoints("172.18.0.9"), client}, ""},
		"another machine":    {[]runtime.Object{endpoints("172.18.0.8"), client}, "leads to [172.18.0.8], its machine is [172.18.0.9]"},
		"nowhere":            {[]runtime.Object{client}, "leads to []"},
		"client is not able": {[]runtime.Object{endpoints("172.18.0.9"), unready(client.DeepCopy())}, "probe failed"},
	} {
		judge(t, name, furnished(ExternalDB(), nil, c.objects...).check(t.Context()), c.want)
	}
}

// rules is iptables' list with counters.
func rules(attempts, udp, others int) string {
	return fmt.Sprintf(`-N FAULTLINE-EGRESS
-A FAULTLINE-EGRESS -d 172.18.0.0/16 -c 812 99000 -j RETURN
-A FAULTLINE-EGRESS -d 192.0.2.1/32 -m comment --comment attempts -c %d 60 -j REJECT --reject-with icmp-port-unreachable
-A FAULTLINE-EGRESS -p udp -m udp --dport 53 -m comment --comment names -c %d 60 -j REJECT --reject-with icmp-port-unreachable
-A FAULTLINE-EGRESS -p tcp -m tcp --dport 53 -m comment --comment names -c 1 60 -j REJECT --reject-with icmp-port-unreachable
-A FAULTLINE-EGRESS -m comment --comment others -c %d 60 -j REJECT --reject-with icmp-port-unreachable
`, attempts, udp, others)
}

func TestEgress(t *testing.T) {
	n := &Node{Name: "n", shell: saying(rules(3, 4, 5), nil)}
	if e, err := n.Egress(t.Context()); err != nil || e != (Egress{3, 5, 5}) {
		t.Errorf("%+v, %v", e, err)
	}
	n.shell = saying("-N FAULTLINE-EGRESS\n", nil)
	if _, err := n.Egress(t.Context()); err == nil || !strings.Contains(err.Error(), "lacks rules") {
		t.Errorf("an empty chain: %v", err)
	}
	n.shell = saying("", errors.New("no chain"))
	if _, err := n.Egress(t.Context()); err == nil || !strings.Contains(err.Error(), "to let out: no chain") {
		t.Errorf("no chain: %v", err)
	}
}

func TestCheckAirGap(t *testing.T) {
	pod := func(image string) *corev1.Pod {
		p := podOn(AirGapNamespace, AppLabel+"="+AppLabel, "app", "h1-0")
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{ImageID: image}}
		return p
	}
	pulled := RegistryName + "/faultline/workload@sha256:1"
	for name, c := range map[string]struct{ image, says, want string }{
		"closed":              {pulled, rules(1, 0, 0) + "status 7\n" + rules(2, 0, 0), ""},
		"open":                {pulled, rules(1, 0, 0) + "status 0\n" + rules(1, 0, 0), "status \"0\""},
		"dropped":             {pulled, rules(1, 0, 0) + "status 28\n" + rules(2, 0, 0), "refused at once"},
		"not counted":         {pulled, rules(1, 0, 0) + "status 7\n" + rules(1, 0, 0), "not counted"},
		"something else left": {pulled, rules(1, 0, 0) + "status 7\n" + rules(2, 0, 3), "3 packets were refused"},
		"says nothing":        {pulled, "", "status \"\""},
		"from another":        {"docker.io/faultline/workload@sha256:1", rules(1, 0, 0) + "status 7\n" + rules(2, 0, 0), "not of the registry"},
		"no rules any more":   {pulled, "status 7\n" + rules(2, 0, 0), "lacks rules"},
	} {
		judge(t, name, furnished(AirGap(), saying(c.says, nil), pod(c.image)).check(t.Context()), c.want)
	}
	judge(t, "no chain", furnished(AirGap(), saying("", errors.New("no chain")), pod(pulled)).check(t.Context()), "no chain")
}

func TestUnknownWorkloadsAreNoPass(t *testing.T) {
	topology := DNSOnHosts()
	topology.Workloads = []Workload{"magic"}
	judge(t, "magic", furnished(topology, nil).check(t.Context()), "magic")
}
