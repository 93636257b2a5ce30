package record

import (
	"slices"
	"strings"
)

// components are those that faults take away. A pod's name begins with its component.
var components = []string{
	"etcd", "kube-apiserver", "kube-scheduler", "kube-controller-manager", "cloud-controller-manager",
	"coredns", "envoy", "haproxy", "keepalived", "kubelet", "containerd", "kube-proxy", "registry",
}

// Lost names what the experiment takes away: what it says itself, else the components
// and hosts that its faults hit, else the kinds of its faults. It is empty where nothing
// is broken.
func (e *Experiment) Lost() []string {
	if len(e.Loses) > 0 {
		return e.Loses
	}
	var names []string
	for _, f := range e.Faults {
		for _, name := range f.lost() {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// lost reads a fault's targets: "etcd on n1" is a component, "node n1" a host.
func (f *Fault) lost() []string {
	var names []string
	for _, target := range strings.Split(f.Target, ", ") {
		what, _, placed := strings.Cut(target, " on ")
		switch i := slices.IndexFunc(components, func(c string) bool { return what == c || strings.HasPrefix(what, c+"-") }); {
		case placed && i >= 0:
			names = append(names, components[i])
		case strings.HasPrefix(target, "node "):
			names = append(names, "host")
		}
	}
	if len(names) == 0 {
		names = []string{f.Kind}
	}
	return names
}
