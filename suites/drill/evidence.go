package drill

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"faultline/clusters"
	"faultline/fault"
	"faultline/reports/record"
	"faultline/suites/probe"
)

// evidenceLines is how much of each log is kept.
const evidenceLines = 500

// evidenceSource is one file of evidence.
type evidenceSource struct {
	name  string
	fetch func(context.Context) ([]byte, error)
}

// saveEvidence keeps what explains a verdict that does not pass: of every node the logs of its
// components, its journal, its containers, what its API server was asked to change and what that
// knows of pods and events; the member and lease tables, every sample, and what the faults came to.
// It returns the files' paths relative to the record. What cannot be had is told in its file:
// evidence is never a reason to fail.
func (d *Drill) saveEvidence(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	dir := bench.Dir.Evidence(d.experiment.ID)
	var mu sync.Mutex
	var paths []string
	var group errgroup.Group
	group.SetLimit(4)
	for _, source := range d.evidenceSources() {
		group.Go(func() error {
			content, err := source.fetch(ctx)
			if err != nil {
				content = append(content, []byte("\nthis could not be had: "+err.Error()+"\n")...)
			}
			path := filepath.Join(dir, source.name)
			if err := writeEvidence(path, content); err != nil {
				bench.Progress.Printf("evidence: %v", err)
				return nil
			}
			relative, err := filepath.Rel(bench.Dir.Results, path)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			paths = append(paths, relative)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		bench.Progress.Printf("evidence: %v", err)
	}
	return paths
}

// writeEvidence writes a file without the secrets in it.
func writeEvidence(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return record.WriteFile(path, func(w io.Writer) error {
		_, err := w.Write(scrub(content))
		return err
	})
}

func (d *Drill) evidenceSources() []evidenceSource {
	sources := []evidenceSource{
		{"etcd-members.txt", d.memberTable},
		{"faults.jsonl", d.faultLines},
	}
	if d.probes != nil { // a cluster that was not furnished is not watched
		sources = append(sources, evidenceSource{"leases.txt", d.leaseTable}, evidenceSource{"samples.jsonl", d.samples})
	}
	for _, n := range d.Nodes {
		for _, i := range instancesOn(n) {
			sources = append(sources, evidenceSource{
				n.Name + "/" + i.Name() + ".log",
				func(ctx context.Context) ([]byte, error) { return i.Log(ctx, evidenceLines) },
			})
		}
		sources = append(sources, said(n, "journal.log", "journalctl", "--no-pager", "--output=short-precise", "-n", strconv.Itoa(2*evidenceLines)))
		if len(n.Instances(clusters.APIServer)) > 0 {
			sources = append(sources, said(n, "audit.jsonl", "tail", "-n", strconv.Itoa(evidenceLines), clusters.AuditLog),
				said(n, "pods.txt", fault.Kubectl("get", "pods", "--all-namespaces", "--output=wide")...),
				said(n, "events.txt", fault.Kubectl("get", "events", "--all-namespaces", "--sort-by=.lastTimestamp")...))
		}
		if n.Role.Kubernetes() {
			sources = append(sources, said(n, "containers.txt", "crictl", "ps", "-a"))
		}
	}
	if f := d.Forwarder; f != nil {
		// It has no journal: what it says is its container's.
		sources = append(sources, evidenceSource{f.Name + "/" + string(clusters.Envoy) + ".log", func(ctx context.Context) ([]byte, error) {
			return bench.Engine.Command(ctx, "logs", "--timestamps", "--tail", strconv.Itoa(evidenceLines), f.Name).CombinedOutput()
		}})
	}
	return sources
}

// said is what a command says on a node.
func said(n *clusters.Node, file string, argv ...string) evidenceSource {
	return evidenceSource{n.Name + "/" + file, func(ctx context.Context) ([]byte, error) { return n.Exec(ctx, argv...) }}
}

// instancesOn lists everything on a node that has a log.
func instancesOn(n *clusters.Node) clusters.Instances {
	var all clusters.Instances
	for _, component := range clusters.Components {
		all = append(all, n.Instances(component)...)
	}
	return all
}

func (d *Drill) memberTable(ctx context.Context) ([]byte, error) {
	var table bytes.Buffer
	for _, m := range append(d.EtcdMembers(), d.EventsMembers()...) {
		status, err := d.EtcdStatus(ctx, m)
		if err != nil {
			fmt.Fprintf(&table, "%s: %v\n", m.Unique(), err)
			continue
		}
		fmt.Fprintf(&table, "%s: id %x leader %x term %d revision %d db %d bytes errors %v\n",
			m.Unique(), status.ID, status.Leader, status.Term, status.Revision, status.DBBytes, status.Errors)
	}
	return table.Bytes(), nil
}

// leaseTable is who held the leader locks when, in seconds on the clock of the samples.
func (d *Drill) leaseTable(context.Context) ([]byte, error) {
	var table bytes.Buffer
	for _, l := range d.probes.Leases().Record(probe.Window{End: d.now()}) {
		for _, h := range l.Holds {
			fmt.Fprintf(&table, "%s: %.3f s to %.3f s held by %q, transition %d\n", l.Name, h.From, h.To, h.Holder, h.Transitions)
		}
	}
	return table.Bytes(), nil
}

// faultLines are those that the fault journal of the run gained by this experiment.
func (d *Drill) faultLines(context.Context) ([]byte, error) {
	journal, err := os.ReadFile(d.bench.journal.Path())
	if err != nil {
		return nil, err
	}
	return linesOf(journal, d.Name, d.experiment.StartedAt), nil
}

// linesOf are a journal's about a cluster since an instant. Those that cannot be read stay.
func linesOf(journal []byte, cluster string, since time.Time) []byte {
	var own bytes.Buffer
	for line := range bytes.Lines(journal) {
		var r fault.Record
		if err := json.Unmarshal(line, &r); err != nil || r.Cluster == cluster && !r.Time.Before(since) {
			own.Write(line)
		}
	}
	return own.Bytes()
}

// samples is every sample of every probe, a JSON object a line.
func (d *Drill) samples(context.Context) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	for _, t := range d.probes.Timelines() {
		for _, s := range t.Samples(0, d.now()) {
			line := map[string]any{"probe": t.Name(), "vantage": t.Vantage(), "at": s.At.Seconds(), "latency": s.Latency.Seconds(), "way": s.Way}
			if s.Detail != "" {
				line["detail"] = s.Detail
			}
			if err := encoder.Encode(line); err != nil {
				return nil, err
			}
		}
	}
	return out.Bytes(), nil
}

// secrets are private keys, also as kubeconfigs have them, bearer tokens and bootstrap tokens.
var secrets = regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----` +
	`|LS0tLS1CRUdJTi[A-Za-z0-9+/=]{20,}` +
	`|eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]*` +
	`|(?i:bearer\s+)[A-Za-z0-9._~+/-]{16,}` +
	`|\b[a-z0-9]{6}\.[a-z0-9]{16}\b`)

// scrub removes secrets from text.
func scrub(text []byte) []byte { return secrets.ReplaceAll(text, []byte("[removed]")) }
