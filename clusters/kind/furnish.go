package kind

import (
	"bytes"
	"context"
	"embed"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"text/template"
	"time"

	"golang.org/x/sync/errgroup"

	"faultline/clusters"
)

// manifestFiles has one template for each workload, by its name.
//
//go:embed manifests/*.yaml
var manifestFiles embed.FS

// airGapped names the manifest of what an air-gapped cluster runs.
const airGapped = "air-gapped"

// localFolder is where each node has its local volume.
const localFolder = "/var/lib/faultline-volumes/database"

// values are what the manifests leave open.
type values struct {
	// Workload and Etcd are images that every node has, FromRegistry one that none has.
	Workload, Etcd, FromRegistry string
	HostLabel                    string
	LocalFolder, ExternalFolder  string
	// Nodes run ordinary pods; Crowded are the hosts that have several of them.
	Nodes   []*clusters.Node
	Crowded []string
	// Members of the database on local volumes.
	Members  []string
	Quotas   []string
	Database databaseAccess
}

// databaseAccess is how to reach the database beside the cluster.
type databaseAccess struct {
	Address                     string
	Authority, Certificate, Key []byte
}

// furnish makes what the topology runs beyond what every cluster has. All of it may be
// done again. It does not wait: whether everything runs is part of the cluster's shape.
func furnish(ctx context.Context, c *clusters.Cluster, o Options) error {
	v := newValues(c, o.Images.Workload)
	names := []string{}
	for _, w := range c.Topology.Workloads {
		names = append(names, string(w))
	}
	if err := v.prepare(ctx, c, o); err != nil {
		return err
	}
	if c.Topology.AirGapped {
		names = append(names, airGapped)
	}
	if len(names) == 0 {
		return nil
	}
	manifests, err := render(v, names...)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(o.Timing.Slack*float64(time.Minute)))
	defer cancel()
	what := "the API to take " + strings.Join(names, ", ")
	return clusters.Await(ctx, time.Second, what, func(ctx context.Context) error { return apply(ctx, c, manifests) })
}

func newValues(c *clusters.Cluster, workload string) *values {
	v := &values{
		Workload: workload, Etcd: "registry.k8s.io/etcd:" + strings.TrimPrefix(c.Etcd, "v") + "-0",
		HostLabel: clusters.HostLabel, LocalFolder: localFolder, ExternalFolder: clusters.ExternalFolder,
		Nodes: c.WorkloadNodes(), Quotas: clusters.QuotaNamespaces(),
	}
	workers := map[string]int{}
	for _, n := range v.Nodes {
		if workers[n.Host]++; workers[n.Host] == 2 {
			v.Crowded = append(v.Crowded, n.Host)
		}
	}
	for i := range clusters.QuorumSize {
		v.Members = append(v.Members, fmt.Sprintf("%s-%d", clusters.DatabaseApp, i))
	}
	return v
}

// prepare does on machines what the manifests rely on, and notes what they need of it.
func (v *values) prepare(ctx context.Context, c *clusters.Cluster, o Options) (err error) {
	if slices.Contains(c.Topology.Workloads, clusters.LocalVolumes) {
		if err := makeLocalFolders(ctx, v.Nodes); err != nil {
			return err
		}
	}
	if slices.Contains(c.Topology.Workloads, clusters.ExternalDatabase) {
		if v.Database, err = accessDatabase(ctx, c.With(clusters.Database)[0]); err != nil {
			return err
		}
	}
	if c.Topology.AirGapped {
		v.FromRegistry, err = startRegistry(ctx, c, o)
	}
	return err
}

func makeLocalFolders(ctx context.Context, nodes []*clusters.Node) error {
	var group errgroup.Group
	for _, n := range nodes {
		group.Go(func() error {
			if _, err := n.Exec(ctx, "mkdir", "-p", "-m", "700", localFolder); err != nil {
				return fmt.Errorf("make the local volume of %s: %w", n.Name, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// accessDatabase reads what a client of the machine's database needs.
func accessDatabase(ctx context.Context, n *clusters.Node) (databaseAccess, error) {
	a := databaseAccess{Address: n.Address}
	for path, into := range map[string]*[]byte{etcdCA: &a.Authority, etcdClient: &a.Certificate, etcdClientKey: &a.Key} {
		content, err := n.Exec(ctx, "cat", path)
		if err != nil {
			return a, fmt.Errorf("read how to reach the database on %s: %w", n.Name, err)
		}
		*into = content
	}
	return a, nil
}

// render fills manifests in, as one stream of documents.
func render(v *values, names ...string) ([]byte, error) {
	functions := template.FuncMap{"join": strings.Join, "base64": base64.StdEncoding.EncodeToString}
	parsed, err := template.New("").Funcs(functions).Option("missingkey=error").ParseFS(manifestFiles, "manifests/*.yaml")
	if err != nil {
		return nil, err
	}
	var stream bytes.Buffer
	for _, name := range names {
		if err := parsed.ExecuteTemplate(&stream, name+".yaml", v); err != nil {
			return nil, fmt.Errorf("fill in the manifest of %s: %w", name, err)
		}
		stream.WriteString("\n---\n")
	}
	return stream.Bytes(), nil
}

// apply gives manifests to the API by way of a control-plane node. Server-side apply
// adds to what kubeadm made, and may be repeated.
func apply(ctx context.Context, c *clusters.Cluster, manifests []byte) error {
	n := c.With(clusters.ControlPlane)[0]
	_, err := n.ExecInput(ctx, bytes.NewReader(manifests), "kubectl", "--kubeconfig=/etc/kubernetes/admin.conf",
		"apply", "--server-side", "--force-conflicts", "--field-manager=faultline", "--filename=-")
	if err != nil {
		return fmt.Errorf("apply manifests on %s: %w", n.Name, err)
	}
	return nil
}
