package policy

import (
	"os"
	"path/filepath"
	"testing"
)

func TestWhoMayReadPoliciesIsToldFromWhoMayNot(t *testing.T) {
	const reads = "rules:\n- apiGroups: [networking.k8s.io]\n  resources:\n  - networkpolicies\n  verbs: [list, watch]\n"
	for manifest, want := range map[string]bool{
		reads: true,
		"rules:\n- apiGroups: ['']\n  resources: [nodes]\n  verbs: [list, watch]\n": false,
		"# nobody enforces networkpolicies\nrules: []\n":                            false,
		"": false,
	} {
		if readsPolicies(manifest) != want {
			t.Errorf("%q: %t, want %t", manifest, !want, want)
		}
	}
}

// The pod network of our own node image only routes: whoever teaches it policies finds SEC-06 changed.
func TestOurPodNetworkEnforcesNoPolicies(t *testing.T) {
	manifest, err := os.ReadFile(filepath.Join("..", "..", "clusters", "images", "internal", "offline", "podnet.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if readsPolicies(string(manifest)) {
		t.Error("its agents are allowed to read network policies")
	}
}
