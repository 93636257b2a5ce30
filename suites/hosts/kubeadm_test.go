package hosts

import (
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// made is a configuration such as kind leaves on nodes.
const made = `apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
networking:
  podSubnet: 10.244.0.0/16
scheduler:
  extraArgs: null
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint:
  bindPort: 6443
patches:
  directory: /kind/patches
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
`

// documentsOf is a configuration by the kinds of its documents.
func documentsOf(t *testing.T, configuration []byte) map[string]document {
	t.Helper()
	all := map[string]document{}
	for _, text := range strings.Split(string(configuration), betweenDocuments) {
		d := document{}
		if err := yaml.Unmarshal([]byte(text), &d); err != nil {
			t.Fatal(err)
		}
		all[d["kind"].(string)] = d
	}
	return all
}

func TestOneDocumentIsRewritten(t *testing.T) {
	former := ""
	changed, err := rewrite([]byte(made), ofInit, func(d document) { former = redirectPatches(d, "/root/patches") })
	if err != nil {
		t.Fatal(err)
	}
	if former != "/kind/patches" {
		t.Errorf("the former folder is %q", former)
	}
	want := strings.Replace(made, "/kind/patches", "/root/patches", 1)
	same(t, changed, want)
	if _, err := rewrite([]byte(made), "JoinConfiguration", func(document) {}); err == nil || !strings.Contains(err.Error(), "JoinConfiguration") {
		t.Errorf("without the document: %v", err)
	}
}

// same compares configurations by what they say.
func same(t *testing.T, got []byte, want string) {
	t.Helper()
	have, wanted := documentsOf(t, got), documentsOf(t, []byte(want))
	if len(have) != len(wanted) {
		t.Errorf("there are %d documents, want %d", len(have), len(wanted))
	}
	for kind, d := range wanted {
		one, _ := yaml.Marshal(have[kind])
		other, _ := yaml.Marshal(d)
		if string(one) != string(other) {
			t.Errorf("%s is\n%s\nwant\n%s", kind, one, other)
		}
	}
}

func TestPatchesMayHaveNoFormerFolder(t *testing.T) {
	d := document{}
	if former := redirectPatches(d, "/root/patches"); former != "" || d["patches"].(document)["directory"] != "/root/patches" {
		t.Errorf("former %q, now %v", former, d)
	}
}

func TestTheFlagIsDeclaredBesideOthers(t *testing.T) {
	flag := "    - name: v\n      value: \"1\"\n"
	for before, after := range map[string]string{
		"kind: ClusterConfiguration\n":                                                      "",
		"kind: ClusterConfiguration\nscheduler: {}\n":                                       "",
		"kind: ClusterConfiguration\nscheduler: {extraArgs: null}\n":                        "",
		"kind: ClusterConfiguration\nscheduler:\n  extraArgs:\n    - {name: a, value: b}\n": "    - {name: a, value: b}\n",
	} {
		changed, err := rewrite([]byte(before), ofCluster, declareByHand)
		if err != nil {
			t.Fatal(err)
		}
		same(t, changed, "kind: ClusterConfiguration\nscheduler:\n  extraArgs:\n"+after+flag)
	}
}

func TestWhatTheClusterStoresTakesThePlaceOfTheNodesOwn(t *testing.T) {
	stored := "kind: ClusterConfiguration\nscheduler: {}\n"
	changed, err := withCluster([]byte(made), stored)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(made, betweenDocuments)
	same(t, changed, stored+"---\n"+rest)
	for _, bad := range []string{"", "kind: InitConfiguration\n", "- a list\n"} {
		if _, err := withCluster([]byte(made), bad); err == nil {
			t.Errorf("%q is taken for the configuration of a cluster", bad)
		}
	}
}

func TestDifferencesAreTheLinesOfOneFile(t *testing.T) {
	const diff = "19d18\n<     - --v=1\n30c29\n<       path: /a\n---\n>       path: /b\n"
	if got, want := differences(diff), []string{"< - --v=1", "< path: /a", "> path: /b"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := differences(""); len(got) != 0 {
		t.Errorf("of nothing there is %q", got)
	}
}
