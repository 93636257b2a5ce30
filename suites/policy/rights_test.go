package policy

import (
	"slices"
	"strings"
	"testing"
)

func TestOutcomes(t *testing.T) {
	granted, refused := right{granted: true}, right{because: "exceeded quota"}
	for _, c := range []struct {
		name   string
		right  right
		status int
		said   string
		want   outcome
	}{
		{"granted and allowed", granted, 201, "", asGranted},
		{"granted and refused", granted, 403, "forbidden", withheld},
		{"granted and failed", granted, 500, "", withheld},
		{"granted and not answered", granted, 0, "refused", withheld},
		{"refused for its reason", refused, 403, "forbidden: exceeded quota: a", asGranted},
		{"refused for another reason", refused, 403, `forbidden: serviceaccount "default" not found`, undecided},
		{"not known, and so refused", refused, 401, "exceeded quota", undecided},
		{"failed", refused, 500, "exceeded quota", undecided},
		{"not answered", refused, 0, "exceeded quota", unanswered},
		{"allowed", refused, 200, "", breached},
		{"refused for any reason", right{}, 403, "", asGranted},
	} {
		if got := (answer{right: c.right, status: c.status, said: c.said}).outcome(); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestTallyCountsAnswersOnly(t *testing.T) {
	var seen tally
	for _, a := range []answer{
		{right: right{granted: true}, status: 200},
		{right: right{granted: true}, status: 403},
		{right: right{granted: true}},
		{status: 403}, {status: 403}, {status: 401}, {status: 200}, {},
	} {
		seen.count(a)
	}
	if want := (tally{granted: 2, allowed: 1, others: 4, refused: 2, breaches: 1}); seen != want {
		t.Errorf("got %+v, want %+v", seen, want)
	}
}

// Should something be allowed that must not be, it must not have happened either.
func TestDemandsChangeNothing(t *testing.T) {
	anew := create("make a node", "/api/v1/nodes", nodeObject("n1"))
	lists := slices.Concat(table(health), table(access), ofKubelet("n1", "uid", "n2"), ofItsName(anew, "n2"), byPodSecurity, byOrigin, ofNamespaces(1, true), ofNamespaces(1, false))
	for _, r := range lists {
		if r.demand.method != "GET" && !strings.HasSuffix(r.demand.path, "?dryRun=All") {
			t.Errorf("to %s is no dry run: %s %s", r.demand.what, r.demand.method, r.demand.path)
		}
	}
}

func TestEveryListHasBothKinds(t *testing.T) {
	for name, list := range map[string][]right{
		"access": table(access), "a kubelet's": ofKubelet("n1", "uid", "n2"), "pod security": byPodSecurity, "origin": byOrigin, "quota": ofNamespaces(1, false),
	} {
		granted := slices.ContainsFunc(list, func(r right) bool { return r.granted })
		refused := slices.ContainsFunc(list, func(r right) bool { return !r.granted })
		if !granted || !refused {
			t.Errorf("%s: granted %t, refused %t", name, granted, refused)
		}
	}
}

func TestAnonymousMayHardlyDoAnything(t *testing.T) {
	var may []string
	for _, r := range slices.Concat(table(health), table(access)) {
		if r.who == anonymous && r.granted {
			may = append(may, r.demand.path)
		}
	}
	want := []string{"/livez", "/readyz", "/healthz", "/version", "/api/v1/namespaces/kube-public/configmaps/cluster-info?resourceVersion=0"}
	if !slices.Equal(may, want) {
		t.Errorf("got %v, want %v", may, want)
	}
}
