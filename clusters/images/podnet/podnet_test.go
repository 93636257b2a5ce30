package main

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"sort"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func node(name, cidr string, addresses ...string) *v1.Node {
	n := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1.NodeSpec{PodCIDR: cidr}}
	n.Status.Addresses = append(n.Status.Addresses, v1.NodeAddress{Type: v1.NodeHostName, Address: name})
	for _, a := range addresses {
		n.Status.Addresses = append(n.Status.Addresses, v1.NodeAddress{Type: v1.NodeInternalIP, Address: a})
	}
	return n
}

func at(cidr, via string) peer { return peer{netip.MustParsePrefix(cidr), netip.MustParseAddr(via)} }

func TestPeers(t *testing.T) {
	self, others := peers("a", []*v1.Node{
		node("a", "10.244.0.0/24", "172.18.0.2"),
		node("b", "10.244.1.0/24", "fc00::3", "172.18.0.3"),
		node("no-range", "", "172.18.0.4"),
		node("no-address", "10.244.9.0/24"),
	})
	if want := at("10.244.0.0/24", "172.18.0.2"); self != want {
		t.Errorf("self = %v, want %v", self, want)
	}
	if want := []peer{at("10.244.1.0/24", "172.18.0.3")}; !reflect.DeepEqual(others, want) {
		t.Errorf("others = %v, want %v", others, want)
	}
}

func TestPlan(t *testing.T) {
	current := "10.244.1.0/24 via 172.18.0.3 dev eth0 \n" + // right
		"10.244.2.0/24 via 172.18.0.9 dev eth0 \n" + // the node has a new address
		"10.244.7.0/24 via 172.18.0.7 dev eth0 \n" // the node is gone
	wanted := []peer{at("10.244.1.0/24", "172.18.0.3"), at("10.244.2.0/24", "172.18.0.4"), at("10.244.3.0/24", "172.18.0.5")}
	var got []string
	for _, args := range plan(current, wanted) {
		got = append(got, strings.Join(args, " "))
	}
	sort.Strings(got)
	want := []string{
		"-4 route del 10.244.7.0/24 via 172.18.0.7 proto 93",
		"-4 route replace 10.244.2.0/24 via 172.18.0.4 proto 93",
		"-4 route replace 10.244.3.0/24 via 172.18.0.5 proto 93",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("plan =\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if again := plan("10.244.1.0/24 via 172.18.0.3 dev eth0\n", wanted[:1]); again != nil {
		t.Errorf("a right table gives %v", again)
	}
}

func TestMasqueradeSparesPods(t *testing.T) {
	rules := masqueradeRules(netip.MustParsePrefix("10.244.1.0/24"), netip.MustParsePrefix("10.244.0.0/16"))
	spared := strings.Index(rules, "-d 10.244.0.0/16 -j RETURN")
	hidden := strings.Index(rules, "-j MASQUERADE")
	if spared < 0 || hidden < spared || !strings.Contains(rules, "! -s 10.244.1.0/24 -j RETURN") {
		t.Errorf("rules:\n%s", rules)
	}
}

func TestConflist(t *testing.T) {
	content, err := conflist(netip.MustParsePrefix("10.244.1.0/24"), 1450)
	if err != nil {
		t.Fatal(err)
	}
	var parsed struct {
		Plugins []struct {
			Type         string
			MTU          int
			Capabilities map[string]bool
			IPAM         struct{ Ranges [][]struct{ Subnet string } }
		}
	}
	if err := json.Unmarshal(content, &parsed); err != nil {
		t.Fatal(err)
	}
	ptp, portmap := parsed.Plugins[0], parsed.Plugins[1]
	if ptp.Type != "ptp" || ptp.MTU != 1450 || ptp.IPAM.Ranges[0][0].Subnet != "10.244.1.0/24" {
		t.Errorf("first plugin: %+v", ptp)
	}
	if portmap.Type != "portmap" || !portmap.Capabilities["portMappings"] {
		t.Errorf("second plugin: %+v", portmap)
	}
}
