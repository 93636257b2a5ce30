package kind

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"faultline/clusters"
)

// copy adds another instance beside the first, on ports of its own. Schedulers and
// controller managers talk to the API server of the same number.
func (b *boot) copy(ctx context.Context, i clusters.Instance) error {
	pod, err := b.firstManifest(ctx, i)
	if err != nil {
		return err
	}
	first := clusters.Instance{Component: i.Component, Node: i.Node}
	rename(pod, i)
	setFlag(pod, "secure-port", strconv.Itoa(i.Port()))
	movePorts(pod, first.Port(), i.Port())
	if i.Component == clusters.APIServer {
		setFlag(pod, "etcd-servers", strings.Join(localEtcd(i.Node), ","))
		return writeManifest(ctx, i, pod)
	}
	for _, flag := range []string{"kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"} {
		setFlag(pod, flag, i.Kubeconfig())
	}
	for n, v := range pod.Spec.Volumes {
		if v.HostPath != nil && v.HostPath.Path == first.Kubeconfig() {
			pod.Spec.Volumes[n].HostPath.Path = i.Kubeconfig()
		}
	}
	for n, m := range pod.Spec.Containers[0].VolumeMounts {
		if m.MountPath == first.Kubeconfig() {
			pod.Spec.Containers[0].VolumeMounts[n].MountPath = i.Kubeconfig()
		}
	}
	server := clusters.Instance{Component: clusters.APIServer, Node: i.Node, Copy: i.Copy}
	script := `sed 's#server: .*#server: https://'"$3"'#' "$1" > "$2" && chmod 600 "$2"`
	address := i.Node.Address + ":" + strconv.Itoa(server.Port())
	if _, err := i.Node.Exec(ctx, "sh", "-c", script, "sh", first.Kubeconfig(), i.Kubeconfig(), address); err != nil {
		return err
	}
	return writeManifest(ctx, i, pod)
}

// addMember adds a member to the etcd of the same node and waits until it votes.
func (b *boot) addMember(ctx context.Context, i clusters.Instance) error {
	first := clusters.Instance{Component: clusters.Etcd, Node: i.Node}
	client, err := b.cluster.EtcdClient(ctx, first)
	if err != nil {
		return err
	}
	var added *clientv3.MemberAddResponse
	peer := "https://" + i.Node.Address + ":" + strconv.Itoa(i.Port()+1)
	err = clusters.Await(ctx, time.Second, "etcd to accept another member", func(ctx context.Context) error {
		// It refuses while the last one that was added is not well connected.
		added, err = client.MemberAdd(ctx, []string{peer})
		return err
	})
	if err != nil {
		return err
	}
	pod, err := b.firstManifest(ctx, i)
	if err != nil {
		return err
	}
	memberManifest(pod, i, peer, added)
	if err := writeManifest(ctx, i, pod); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(b.Timing.Slack*float64(time.Minute)))
	defer cancel()
	return clusters.Await(ctx, 200*time.Millisecond, i.String()+" to start", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		status, err := b.cluster.EtcdStatus(ctx, i)
		if err == nil && status.Leader == 0 {
			err = fmt.Errorf("it knows no leader")
		}
		return err
	})
}

// memberManifest turns the first member's pod into that of an added one.
func memberManifest(pod *corev1.Pod, i clusters.Instance, peer string, added *clientv3.MemberAddResponse) {
	first := clusters.Instance{Component: clusters.Etcd, Node: i.Node}
	var all []string
	for _, m := range added.Members {
		name := m.Name
		if m.ID == added.Member.ID {
			name = i.Unique()
		}
		all = append(all, name+"="+m.PeerURLs[0])
	}
	client := "https://" + i.Node.Address + ":" + strconv.Itoa(i.Port())
	data := path.Join(path.Dir(clusters.EtcdData), i.Name())
	rename(pod, i)
	setFlag(pod, "name", i.Unique())
	setFlag(pod, "initial-cluster", strings.Join(all, ","))
	setFlag(pod, "initial-cluster-state", "existing")
	setFlag(pod, "initial-advertise-peer-urls", peer)
	setFlag(pod, "listen-peer-urls", peer)
	setFlag(pod, "advertise-client-urls", client)
	setFlag(pod, "listen-client-urls", "https://127.0.0.1:"+strconv.Itoa(i.Port())+","+client)
	setFlag(pod, "listen-metrics-urls", "http://127.0.0.1:"+strconv.Itoa(i.Port()+2))
	setFlag(pod, "data-dir", data)
	movePorts(pod, first.Port()+2, i.Port()+2)
	for n, v := range pod.Spec.Volumes {
		if v.HostPath != nil && v.HostPath.Path == clusters.EtcdData {
			pod.Spec.Volumes[n].HostPath.Path = data
		}
	}
	for n, m := range pod.Spec.Containers[0].VolumeMounts {
		if m.MountPath == clusters.EtcdData {
			pod.Spec.Containers[0].VolumeMounts[n].MountPath = data
		}
	}
}

// localEtcd are the members on a node as its API servers address them.
func localEtcd(n *clusters.Node) []string {
	var urls []string
	for _, m := range n.Instances(clusters.Etcd) {
		urls = append(urls, "https://127.0.0.1:"+strconv.Itoa(m.Port()))
	}
	return urls
}

// firstManifest is the manifest that kubeadm wrote.
func (b *boot) firstManifest(ctx context.Context, i clusters.Instance) (*corev1.Pod, error) {
	first := clusters.Instance{Component: i.Component, Node: i.Node}
	text, err := i.Node.Exec(ctx, "cat", first.Manifest())
	if err != nil {
		return nil, fmt.Errorf("read the manifest of %s: %w", first, err)
	}
	pod := &corev1.Pod{}
	if err := yaml.Unmarshal(text, pod); err != nil {
		return nil, fmt.Errorf("manifest of %s: %w", first, err)
	}
	return pod, nil
}

func writeManifest(ctx context.Context, i clusters.Instance, pod *corev1.Pod) error {
	text, err := yaml.Marshal(pod)
	if err != nil {
		return err
	}
	return writeFiles(ctx, i.Node, file{path: i.Manifest(), content: text})
}

// rename makes a pod another one for the kubelet, and its process for whoever looks.
func rename(pod *corev1.Pod, i clusters.Instance) {
	pod.Name = i.Name()
	container := &pod.Spec.Containers[0]
	container.Name = i.Name()
	container.Env = append(container.Env, corev1.EnvVar{Name: clusters.CopyVariable, Value: strconv.Itoa(i.Copy)})
}

// setFlag replaces a flag of the pod's command, or adds it.
func setFlag(pod *corev1.Pod, name, value string) {
	command := pod.Spec.Containers[0].Command
	flag := "--" + name + "="
	n := slices.IndexFunc(command, func(arg string) bool { return strings.HasPrefix(arg, flag) })
	if n < 0 {
		pod.Spec.Containers[0].Command = append(command, flag+value)
		return
	}
	command[n] = flag + value
}

// movePorts replaces a port, wherever the pod declares it or is probed on it by number.
func movePorts(pod *corev1.Pod, from, to int) {
	container := &pod.Spec.Containers[0]
	for n, p := range container.Ports {
		if int(p.ContainerPort) == from {
			container.Ports[n].ContainerPort, container.Ports[n].HostPort = int32(to), int32(to)
		}
	}
	for _, probe := range []*corev1.Probe{container.LivenessProbe, container.ReadinessProbe, container.StartupProbe} {
		if probe != nil && probe.HTTPGet != nil && probe.HTTPGet.Port.IntValue() == from {
			probe.HTTPGet.Port.IntVal = int32(to)
		}
	}
}
