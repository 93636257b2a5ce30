package html

// spent is a part of an experiment's account of time.
type spent struct {
	Name, Meaning string
	Seconds       float64
}

// TimeSpent is what the experiment's time went into; nil in a record that does not tell.
func (x experiment) TimeSpent() []spent {
	s := x.Spent
	if s == nil {
		return nil
	}
	return []spent{
		{"cluster", "a fresh cluster, or the proof that the last one is as good as new; before the experiment's start", s.Cluster},
		{"steady state", "until every probe was green for a while", s.Steady},
		{"faults", "injecting, proving and undoing", s.Faults},
		{"waiting", "for Kubernetes to do what was expected", s.Waiting},
		{"restoring", "until the cluster was as good as new", s.Restoring},
		{"audit", "of the acknowledged writes", s.Audit},
	}
}
