package clusters

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/cert"
)

// Fingerprint lists how the cluster is made, sorted: its nodes, static pods, the flags of
// processes, the members of etcd, and whom certificates are issued to. What two clusters of the
// same layout cannot share is left out, as keys and identifiers, or has a name that both have:
// the cluster's own name, and addresses.
func (c *Cluster) Fingerprint(ctx context.Context) ([]string, error) {
	var all []string
	var errs []error
	add := func(lines []string, err error) {
		all, errs = append(all, lines...), append(errs, err)
	}
	for _, n := range c.Nodes {
		add([]string{fmt.Sprintf("%s: %s on host %s", n.Name, n.Role, n.Host)}, nil)
		add(n.flags(ctx))
		add(n.staticPods(ctx))
		add(n.certificates(ctx))
	}
	add(c.memberLines(ctx))
	if c.Topology.Kubernetes() {
		add(c.nodeLines(ctx))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("fingerprint of %s: %w", c.Name, err)
	}
	anonymous := c.anonymizer()
	for i, line := range all {
		all[i] = anonymous(line)
	}
	slices.Sort(all)
	return all, nil
}

// anonymizer puts what the cluster has in common with others of its layout in the place of its
// name and of its machines' addresses.
func (c *Cluster) anonymizer() func(string) string {
	owners := map[string]string{}
	var patterns []string
	for _, n := range c.machines() {
		owners[n.Address] = n.Name
		patterns = append(patterns, regexp.QuoteMeta(n.Address))
	}
	addresses := regexp.MustCompile(`\b(` + strings.Join(patterns, "|") + `)\b`)
	return func(line string) string {
		line = addresses.ReplaceAllStringFunc(line, func(address string) string { return "address-of-" + owners[address] })
		return strings.ReplaceAll(line, c.Name, "cluster")
	}
}

// bootFlag names the members that a member of etcd met when it began. Masters join in the order
// of chance, and etcd reads it only once.
const bootFlag = "--initial-cluster="

// flags are those of everything that the topology places on the node, one a line.
func (n *Node) flags(ctx context.Context) ([]string, error) {
	out, err := n.Exec(ctx, "ps", "-eo", "stat=,args=")
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, component := range Components {
		if len(n.Instances(component)) == 0 {
			continue
		}
		found := findProcesses(string(out), component)
		lines = append(lines, fmt.Sprintf("%s: %d processes of %s", n.Name, len(found), component))
		for _, p := range found {
			for _, flag := range p.args[1:] {
				if !strings.HasPrefix(flag, bootFlag) {
					lines = append(lines, fmt.Sprintf("%s: %s has %s", n.Name, component, flag))
				}
			}
		}
	}
	return lines, nil
}

// staticPods are the manifests on the node, with their images.
func (n *Node) staticPods(ctx context.Context) ([]string, error) {
	if !n.Role.Kubernetes() {
		return nil, nil
	}
	out, err := n.Exec(ctx, "sh", "-c", `cd /etc/kubernetes/manifests && for f in *.yaml; do [ ! -e "$f" ] || grep --with-filename 'image: ' "$f"; done`)
	if err != nil {
		return nil, err
	}
	var lines []string
	for line := range strings.Lines(string(out)) {
		lines = append(lines, fmt.Sprintf("%s: static pod %s", n.Name, strings.Join(strings.Fields(line), " ")))
	}
	return lines, nil
}

// certificatesScript prints every certificate of the node's Kubernetes or etcd, after its path.
const certificatesScript = `find /etc/kubernetes/pki -name '*.crt' 2>/dev/null | while read -r file; do
  echo "file $file"
  cat "$file"
done`

func (n *Node) certificates(ctx context.Context) ([]string, error) {
	out, err := n.Exec(ctx, "sh", "-c", certificatesScript)
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, file := range strings.Split(string(out), "file /")[1:] {
		path, text, _ := strings.Cut(file, "\n")
		certificates, err := cert.ParseCertsPEM([]byte(text))
		if err != nil {
			return nil, fmt.Errorf("/%s on %s: %w", path, n.Name, err)
		}
		for _, line := range issued(certificates[0]) {
			lines = append(lines, fmt.Sprintf("%s: certificate /%s %s", n.Name, path, line))
		}
	}
	return lines, nil
}

// issued tells who has issued a certificate to whom and for what use, and each name and address
// that it is for.
func issued(c *x509.Certificate) []string {
	lines := []string{fmt.Sprintf("of %s, issued by %s, authority %t, usage %d %v", c.Subject, c.Issuer, c.IsCA, c.KeyUsage, c.ExtKeyUsage)}
	for _, name := range c.DNSNames {
		lines = append(lines, "is for "+name)
	}
	for _, address := range c.IPAddresses {
		lines = append(lines, "is for "+address.String())
	}
	return lines
}

// memberLines are the members of every etcd, as these tell.
func (c *Cluster) memberLines(ctx context.Context) ([]string, error) {
	var lines []string
	for _, members := range []Instances{c.EtcdMembers(), c.EventsMembers(), c.databases()} {
		if len(members) == 0 {
			continue
		}
		list, err := c.listMembers(ctx, members[0])
		if err != nil {
			return nil, err
		}
		for _, m := range list {
			lines = append(lines, fmt.Sprintf("etcd member %s: peers at %v, clients at %v, learner %t", m.Name, m.PeerURLs, m.ClientURLs, m.IsLearner))
		}
	}
	return lines, nil
}

// nodeLines are the nodes as the API has them.
func (c *Cluster) nodeLines(ctx context.Context) ([]string, error) {
	client, err := c.Client(c.Front())
	if err != nil {
		return nil, err
	}
	list, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, n := range list.Items {
		lines = append(lines, nodeLine(n))
	}
	return lines, nil
}

func nodeLine(n corev1.Node) string {
	var labels, taints []string
	for _, key := range slices.Sorted(maps.Keys(n.Labels)) {
		labels = append(labels, key+"="+n.Labels[key])
	}
	for _, t := range n.Spec.Taints {
		taints = append(taints, t.ToString())
	}
	slices.Sort(taints)
	info := n.Status.NodeInfo
	return fmt.Sprintf("node %s: kubelet %s, runtime %s, system %s, labels %v, taints %v",
		n.Name, info.KubeletVersion, info.ContainerRuntimeVersion, info.OSImage, labels, taints)
}

// Changes lists what is in one of two sorted lists only: what came (+) and what went (-).
func Changes(before, now []string) []string {
	changed := []string{}
	for _, line := range now {
		if _, found := slices.BinarySearch(before, line); !found {
			changed = append(changed, "+ "+line)
		}
	}
	for _, line := range before {
		if _, found := slices.BinarySearch(now, line); !found {
			changed = append(changed, "- "+line)
		}
	}
	return changed
}
