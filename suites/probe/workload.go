package probe

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"faultline/clusters"
)

const (
	workloadNamespace = "faultline-workload"
	workloadAccount   = "workload"
	workloadPort      = 8080
	// HostPort is where a node's workload pod answers on the node's address.
	HostPort = 18080
)

// Names of the in-cluster client's targets.
const (
	targetAPI  = "api"
	targetWeb  = "web"
	targetName = "name"
)

// WorkloadOptions say what to deploy.
type WorkloadOptions struct {
	// Image is the workload image, which every node has: it is never pulled.
	Image string
	// Timeout is how long a sample of the in-cluster client may take; a second if zero.
	Timeout time.Duration
	// Interval is the time between its samples; 100 ms if zero. There is a client on
	// each node, and its samples load the same few cores as the cluster.
	Interval time.Duration
}

// WorkloadNode is a node that runs the workload.
type WorkloadNode struct{ Name, Address string }

// Deployed is what stands for the applications of a cluster: a web server on
// every workload node, with a client of its own that looks at the API and the
// web service from inside, and a web service with two replicas.
type Deployed struct {
	Nodes    []WorkloadNode
	NodePort int
	// ClusterIP is the web service's address inside the cluster.
	ClusterIP string
	// Interval is the time between two samples of an in-cluster client.
	Interval time.Duration
}

// Deploy creates the workload and waits until all of it answers: the service first,
// so that its in-cluster clients never ask an address that no node translates yet
// and that leads out of the cluster. What exists already is kept.
func Deploy(ctx context.Context, c *clusters.Cluster, opts WorkloadOptions) (*Deployed, error) {
	if opts.Timeout == 0 {
		opts.Timeout = DefaultTimeout
	}
	if opts.Interval == 0 {
		opts.Interval = 2 * defaultInterval
	}
	client, err := c.Client(c.Front())
	if err != nil {
		return nil, err
	}
	w := &Deployed{Interval: opts.Interval}
	for _, n := range c.WorkloadNodes() {
		w.Nodes = append(w.Nodes, WorkloadNode{n.Name, n.Address})
	}
	for _, part := range []struct {
		name string
		// create asks for the part, answers tells whether it is there.
		create, answers func(context.Context) error
	}{
		{"the web service", func(ctx context.Context) error { return w.createService(ctx, client, c.Run, opts) },
			func(ctx context.Context) error { return w.checkService(ctx, client) }},
		{"the web servers of the nodes", func(ctx context.Context) error { return w.createServers(ctx, client, opts) },
			func(ctx context.Context) error { return w.checkPort(ctx, HostPort) }},
	} {
		err := clusters.Await(ctx, setupPause, "the creation of "+part.name, part.create)
		if err == nil {
			err = clusters.Await(ctx, setupPause, part.name+" to answer", part.answers)
		}
		if err != nil {
			return nil, fmt.Errorf("deploy the workload: %w", err)
		}
	}
	return w, nil
}

// RemoveWorkload deletes the workload and waits until it is gone.
func RemoveWorkload(ctx context.Context, c *clusters.Cluster) error {
	client, err := c.Client(c.Front())
	if err != nil {
		return err
	}
	return clusters.RemoveNamespaces(ctx, client, workloadNamespace)
}

func (w *Deployed) createService(ctx context.Context, client kubernetes.Interface, run string, opts WorkloadOptions) error {
	core := client.CoreV1()
	if err := createNamespace(client, run, workloadNamespace)(ctx); ignoreExisting(err) != nil {
		return err
	}
	// The account needs no role: everybody may ask for the API's version.
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: workloadAccount}}
	if _, err := core.ServiceAccounts(workloadNamespace).Create(ctx, account, metav1.CreateOptions{}); ignoreExisting(err) != nil {
		return err
	}
	if _, err := core.Services(workloadNamespace).Create(ctx, webService(), metav1.CreateOptions{}); ignoreExisting(err) != nil {
		return err
	}
	service, err := core.Services(workloadNamespace).Get(ctx, webName, metav1.GetOptions{})
	if err != nil {
		return err
	}
	w.ClusterIP, w.NodePort = service.Spec.ClusterIP, int(service.Spec.Ports[0].NodePort)
	_, err = client.AppsV1().Deployments(workloadNamespace).Create(ctx, webDeployment(opts), metav1.CreateOptions{})
	return ignoreExisting(err)
}

func (w *Deployed) createServers(ctx context.Context, client kubernetes.Interface, opts WorkloadOptions) error {
	_, err := client.AppsV1().DaemonSets(workloadNamespace).Create(ctx, nodeDaemonSet(opts, w.ClusterIP), metav1.CreateOptions{})
	return ignoreExisting(err)
}

func ignoreExisting(err error) error {
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// WebPods selects the pods of the web service.
func WebPods(client kubernetes.Interface) (corev1client.PodInterface, metav1.ListOptions) {
	return client.CoreV1().Pods(workloadNamespace), clusters.OfApp(webName)
}

const (
	webName  = "web"
	nodeName = "node"
)

func webService() *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: webName},
		Spec: corev1.ServiceSpec{
			Type:     corev1.ServiceTypeNodePort,
			Selector: clusters.AppLabels(webName),
			Ports:    []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(workloadPort)}},
		},
	}
}

func webDeployment(opts WorkloadOptions) *appsv1.Deployment {
	labels := clusters.AppLabels(webName)
	replicas := int32(2)
	pod := podSpec(opts.Image, "serve")
	// One node's loss leaves a replica, where there is a second node.
	pod.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
		MaxSkew: 1, TopologyKey: corev1.LabelHostname, WhenUnsatisfiable: corev1.ScheduleAnyway,
		LabelSelector: &metav1.LabelSelector{MatchLabels: labels},
	}}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: webName},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: pod},
		},
	}
}

func nodeDaemonSet(opts WorkloadOptions, clusterIP string) *appsv1.DaemonSet {
	labels := clusters.AppLabels(nodeName)
	pod := podSpec(opts.Image, "serve",
		"-interval", opts.Interval.String(), "-timeout", opts.Timeout.String(),
		"-target", targetAPI+"=https://kubernetes.default.svc/version",
		"-target", targetWeb+"=http://"+net.JoinHostPort(clusterIP, "80")+"/",
		"-target", targetName+"=dns:kubernetes.default.svc.cluster.local.")
	pod.Containers[0].Ports[0].HostPort = HostPort
	return &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: nodeName},
		Spec: appsv1.DaemonSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: pod},
		},
	}
}

func podSpec(image string, args ...string) corev1.PodSpec {
	grace := int64(1)
	field := func(name, path string) corev1.EnvVar {
		return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}}}
	}
	return corev1.PodSpec{
		ServiceAccountName:            workloadAccount,
		TerminationGracePeriodSeconds: &grace,
		Containers: []corev1.Container{{
			Name: "workload", Image: image, ImagePullPolicy: corev1.PullNever, Args: args,
			Ports: []corev1.ContainerPort{{ContainerPort: workloadPort}},
			Env: []corev1.EnvVar{
				field("POD_NAME", "metadata.name"), field("POD_NAMESPACE", "metadata.namespace"),
				field("NODE_NAME", "spec.nodeName"), field("POD_IP", "status.podIP"),
			},
			ReadinessProbe: &corev1.Probe{
				PeriodSeconds: 2,
				ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Port: intstr.FromInt32(workloadPort)}},
			},
		}},
	}
}

// checkService tells what of the web service does not answer yet.
func (w *Deployed) checkService(ctx context.Context, client kubernetes.Interface) error {
	web, err := client.AppsV1().Deployments(workloadNamespace).Get(ctx, webName, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if web.Status.AvailableReplicas < *web.Spec.Replicas {
		return fmt.Errorf("%d of %d web pods are available", web.Status.AvailableReplicas, *web.Spec.Replicas)
	}
	return w.checkPort(ctx, w.NodePort)
}

// checkPort tells which node does not answer on a port.
func (w *Deployed) checkPort(ctx context.Context, port int) error {
	for _, n := range w.Nodes {
		if err := get(ctx, n.url(port)); err != nil {
			return fmt.Errorf("node %s: %w", n.Name, err)
		}
	}
	return nil
}

func (n WorkloadNode) url(port int) string {
	return "http://" + net.JoinHostPort(n.Address, strconv.Itoa(port)) + "/"
}

// get asks once, by a connection of its own.
func get(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	a := newWebReader(url, false)
	if o := a.take(ctx); o.detail != "" {
		return fmt.Errorf("%s: %s", url, o.detail)
	}
	return nil
}

// webReader asks a web server for its first page.
type webReader struct {
	transport *http.Transport
	url       string
}

// newWebReader keeps its connections where that is asked for. Without, every
// sample goes through kube-proxy's choice of a pod anew.
func newWebReader(url string, keep bool) *webReader {
	return &webReader{url: url, transport: &http.Transport{
		DialContext:       (&net.Dialer{Timeout: DefaultTimeout}).DialContext,
		DisableKeepAlives: !keep, DisableCompression: true, MaxIdleConnsPerHost: 2,
	}}
}

func (r *webReader) take(ctx context.Context) outcome {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url, nil)
	if err != nil {
		return failed(err)
	}
	response, err := r.transport.RoundTrip(request)
	if err != nil {
		return failed(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return failed(err)
	}
	way, detail := Classify(response.StatusCode, body)
	return outcome{way: way, detail: detail}
}
