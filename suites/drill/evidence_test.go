package drill

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"faultline/clusters"
	"faultline/fault"
	"faultline/suites/probe"
)

func TestEvidenceHasNoSecrets(t *testing.T) {
	const key = "-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----\n"
	text := "a\n" + key + "Authorization: Bearer abcdefghijklmnopqrstuvwxyz\n" +
		"eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrdWJlcm5ldGVz.c2lnbmF0dXJl token abcdef.0123456789abcdef\n" +
		"client-key-data: " + base64.StdEncoding.EncodeToString([]byte(key)) + "\n" +
		"nothing to hide in kube-apiserver 10.0.0.1\n"
	path := filepath.Join(t.TempDir(), "n1", "a.log")
	if err := writeEvidence(path, []byte(text)); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"abc\n", "abcdefghijklmnopqrstuvwxyz", "eyJ", "0123456789abcdef", "LS0t"} {
		if strings.Contains(string(got), secret) {
			t.Errorf("%q is left in %q", secret, got)
		}
	}
	if !strings.Contains(string(got), "nothing to hide in kube-apiserver 10.0.0.1\n") {
		t.Errorf("plain text was changed: %q", got)
	}
}

func TestEvidenceHasWhatTheLoadBalancerSays(t *testing.T) {
	for want, cluster := range map[bool]*clusters.Cluster{true: {Forwarder: &clusters.Node{Name: "balancer"}}, false: {}} {
		sources := (&Drill{Cluster: cluster}).evidenceSources()
		has := slices.ContainsFunc(sources, func(s evidenceSource) bool { return s.name == "balancer/envoy.log" })
		if has != want {
			t.Errorf("it has: %t, want %t", has, want)
		}
	}
}

func TestEvidenceHasWhatEachAPIServerKnows(t *testing.T) {
	cluster := &clusters.Cluster{Nodes: []*clusters.Node{{Name: "master", Role: clusters.ControlPlane}, {Name: "worker", Role: clusters.Worker}}}
	var names []string
	for _, s := range (&Drill{Cluster: cluster}).evidenceSources() {
		names = append(names, s.name)
	}
	for name, want := range map[string]bool{"master/pods.txt": true, "master/events.txt": true, "worker/pods.txt": false, "worker/journal.log": true} {
		if slices.Contains(names, name) != want {
			t.Errorf("%s: want %t, it has %v", name, want, names)
		}
	}
}

func TestEvidenceOfAClusterThatWasNotFurnished(t *testing.T) {
	for watched, probes := range map[bool]*probe.Set{true: {}, false: nil} {
		sources := (&Drill{Cluster: &clusters.Cluster{}, probes: probes}).evidenceSources()
		for _, name := range []string{"leases.txt", "samples.jsonl"} {
			has := slices.ContainsFunc(sources, func(s evidenceSource) bool { return s.name == name })
			if has != watched {
				t.Errorf("with probes %t: %s is asked for: %t", watched, name, has)
			}
		}
	}
}

func TestLinesOfTheJournal(t *testing.T) {
	now := time.Now()
	var journal strings.Builder
	for _, r := range []fault.Record{{ID: "early", Cluster: "c", Time: now.Add(-time.Second)}, {ID: "mine", Cluster: "c", Time: now}, {ID: "other", Cluster: "d", Time: now}} {
		line, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		journal.Write(append(line, '\n'))
	}
	journal.WriteString("#torn\n")
	got := string(linesOf([]byte(journal.String()), "c", now))
	if !strings.Contains(got, "mine") || !strings.Contains(got, "#torn") || strings.Contains(got, "early") || strings.Contains(got, "other") {
		t.Errorf("got %s", got)
	}
}
