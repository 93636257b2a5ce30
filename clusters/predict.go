package clusters

import (
	"fmt"
	"slices"
)

// Loss is what is lost of a layout at the same time.
type Loss struct {
	// Hosts and Members (in the order of Topology.Members) are gone with all they run.
	Hosts   []string
	Members []int
	// Disks, as host/disk, are gone with all their devices.
	Disks []string
	// LoadBalancer is lost; it is kind's and on no host.
	LoadBalancer bool
	// Components are instances, one of each that is named, that have crashed.
	Components []Component
}

// Outcome is what the layout still does after a loss, once it has settled.
type Outcome struct {
	// Writable: clients can write through their way to the API.
	Writable bool
	// Controlled: in addition a scheduler and a controller manager work.
	Controlled bool
}

// Predict tells by counting majorities and placements what a loss costs.
func (t Topology) Predict(loss Loss) Outcome {
	left := t.left(loss)
	quorum := left[Etcd] > t.EtcdSize()/2
	door := !loss.LoadBalancer || t.LoadBalancer != OneLoadBalancer
	if t.LoadBalancer == SharedAddress {
		door = left[HAProxy] > 0
	}
	o := Outcome{Writable: quorum && door && left[APIServer] > 0}
	if !t.Kubernetes() {
		return Outcome{Writable: quorum, Controlled: quorum}
	}
	// Scheduler and controller manager talk to an API server of their own node, where
	// there is one; without it they wait like one that is lost.
	o.Controlled = o.Writable && left[Scheduler] > 0 && left[ControllerManager] > 0
	return o
}

// left counts the instances of each component that a loss leaves.
func (t Topology) left(loss Loss) map[Component]int {
	left := map[Component]int{}
	index := 0
	for _, h := range t.Hosts {
		for _, m := range h.Members {
			if !slices.Contains(loss.Hosts, h.Name) && !slices.Contains(loss.Members, index) {
				t.addLeft(left, h, m, loss)
			}
			index++
		}
	}
	for _, c := range loss.Components {
		left[c]--
	}
	return left
}

func (t Topology) addLeft(left map[Component]int, h Host, m Member, loss Loss) {
	for _, c := range t.Components(m) {
		if c == Etcd && (m.Role != t.EtcdRole() || m.Disk != "" && slices.Contains(loss.Disks, h.Name+"/"+m.Disk)) {
			continue
		}
		left[c]++
	}
}

// SinglePoints names what ends the control plane when it alone is lost: a host, a
// disk, the load balancer, or one instance of a component.
func (t Topology) SinglePoints() []string {
	var points []string
	add := func(name string, loss Loss) {
		if !t.Predict(loss).Controlled {
			points = append(points, name)
		}
	}
	for _, h := range t.Hosts {
		add("host "+h.Name, Loss{Hosts: []string{h.Name}})
		for _, d := range h.Disks {
			if d.Mirrored {
				// Losing one of its devices loses nothing.
				continue
			}
			add(fmt.Sprintf("disk %s/%s", h.Name, d.Name), Loss{Disks: []string{h.Name + "/" + d.Name}})
		}
	}
	if single := t.singleComponents(); len(single) == len(Stack) {
		points = append(points, "every component")
	} else {
		points = append(points, single...)
	}
	if t.LoadBalancer == OneLoadBalancer {
		add("load balancer", Loss{LoadBalancer: true})
	}
	return points
}

// singleComponents names the components of which no instance may be lost.
func (t Topology) singleComponents() []string {
	var single []string
	for _, c := range Stack {
		if (t.Kubernetes() || c == Etcd) && !t.Predict(Loss{Components: []Component{c}}).Controlled {
			single = append(single, string(c))
		}
	}
	return single
}
