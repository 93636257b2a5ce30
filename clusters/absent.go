package clusters

// Absent is a documented layout that cannot be built, and why.
type Absent struct {
	Name   string
	Source string // as in Topology
	Reason string
}

// AbsentLayouts are those of the documents that the suite does not have.
func AbsentLayouts() []Absent {
	return []Absent{
		{Name: "flannel-etcd", Source: "A:L44", Reason: "the node images have no flanneld, whose mode with subnets in etcd the layout is about"},
		{Name: "cloud-controller-manager", Source: "A:L30", Reason: "the node images have no cloud controller manager, and no cloud is there to be managed"},
	}
}
