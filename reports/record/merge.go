package record

import (
	"cmp"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
)

// Shard is a run that was merged into another: part of the experiments, on a
// machine of its own.
type Shard struct {
	// Name is the run's id, numbered where several shards were given the same.
	Name        string      `json:"name"`
	Run         string      `json:"run"`
	StartedAt   time.Time   `json:"startedAt"`
	Seconds     float64     `json:"seconds"`
	Environment Environment `json:"environment"`
}

// Allow are the mixtures that a merge accepts when it is told to.
type Allow struct {
	// Mixed accepts shards of different versions.
	Mixed bool
	// Repeated accepts an experiment that several shards ran.
	Repeated bool
}

// What a merge refuses unless it is told to accept it.
var (
	ErrMixed    = errors.New("figures of different versions are not comparable")
	ErrRepeated = errors.New("it would count twice")
)

// Merge makes one run of several, whatever their order. Machines may differ;
// versions may not, nor may two shards have run the same experiment. A shard's
// evidence is expected in a folder of the shard's name. What a gate said of a
// shard is dropped: the merged run is to be judged as a whole.
func Merge(runs []*Run, allow Allow) (*Run, error) {
	if len(runs) < 2 {
		return nil, errors.New("a merge takes two records or more")
	}
	runs = slices.SortedFunc(slices.Values(runs), func(a, b *Run) int {
		return cmp.Or(a.StartedAt.Compare(b.StartedAt), strings.Compare(a.ID, b.ID))
	})
	shards, err := shardsOf(runs)
	if err != nil {
		return nil, err
	}
	problems := []error{checkRepeated(runs, shards, allow)}
	if !allow.Mixed {
		problems = append(problems, checkVersions(shards))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	merged := &Run{Schema: SchemaVersion, ID: mergedID(shards), StartedAt: shards[0].StartedAt,
		Environment: commonEnvironment(shards), Shards: shards}
	for i, run := range runs {
		merged.take(run, shards[i].Name)
		end := run.StartedAt.Add(time.Duration(run.Seconds * float64(time.Second)))
		merged.Seconds = max(merged.Seconds, end.Sub(merged.StartedAt).Seconds())
	}
	merged.dropSkippedElsewhere()
	return merged, merged.Validate()
}

// shardsOf names the runs, which are in order.
func shardsOf(runs []*Run) ([]Shard, error) {
	count, number := map[string]int{}, map[string]int{}
	for i, run := range runs {
		count[run.ID]++
		switch {
		case len(run.Shards) > 0:
			return nil, fmt.Errorf("run %s is merged already: merge its shards and the others in one go", run.ID)
		case i > 0 && run.ID == runs[i-1].ID && run.StartedAt.Equal(runs[i-1].StartedAt):
			return nil, fmt.Errorf("the record of run %s is given twice", run.ID)
		}
	}
	shards := make([]Shard, len(runs))
	for i, run := range runs {
		name := run.ID
		if count[run.ID] > 1 {
			number[run.ID]++
			name = fmt.Sprintf("%s-%d", run.ID, number[run.ID])
		}
		shards[i] = Shard{Name: name, Run: run.ID, StartedAt: run.StartedAt, Seconds: run.Seconds, Environment: run.Environment}
	}
	return shards, nil
}

// mergedID is the same for the same shards: merging again replaces the result.
func mergedID(shards []Shard) string {
	hash := sha256.New()
	for _, s := range shards {
		fmt.Fprintln(hash, s.Run, s.StartedAt.UTC().Format(time.RFC3339Nano))
	}
	return "m" + strings.ToLower(base32.StdEncoding.EncodeToString(hash.Sum(nil))[:9])
}

// checkRepeated finds experiments that several shards ran. A repetition within a
// shard was meant.
func checkRepeated(runs []*Run, shards []Shard, allow Allow) error {
	if allow.Repeated {
		return nil
	}
	type experiment struct{ name, topology string }
	ranBy := map[experiment]string{}
	var problems []error
	for i, run := range runs {
		for _, e := range run.Experiments {
			first, found := ranBy[experiment{e.Name, e.Topology}]
			if found && first != shards[i].Name {
				problems = append(problems, fmt.Errorf("runs %s and %s both have %q on %s: %w", first, shards[i].Name, e.Name, e.Topology, ErrRepeated))
			}
			ranBy[experiment{e.Name, e.Topology}] = shards[i].Name
		}
	}
	return errors.Join(problems...)
}

// checkVersions compares what has to be the same in all shards.
func checkVersions(shards []Shard) error {
	var problems []error
	for _, version := range []struct {
		what string
		of   func(Environment) string
	}{
		{"Faultline", func(e Environment) string { return e.FaultlineVersion }},
		{"Kubernetes", func(e Environment) string { return e.Kubernetes }},
		{"etcd", func(e Environment) string { return e.Etcd }},
		{"the node image", func(e Environment) string { return e.NodeImage }},
		{"the load balancer", func(e Environment) string { return e.LoadBalancer }},
		{"the profile", func(e Environment) string { return e.Profile }},
	} {
		first := shards[0]
		i := slices.IndexFunc(shards, func(s Shard) bool { return version.of(s.Environment) != version.of(first.Environment) })
		if i > 0 {
			problems = append(problems, fmt.Errorf("%s is %q in run %s and %q in run %s: %w", version.what,
				version.of(first.Environment), first.Name, version.of(shards[i].Environment), shards[i].Name, ErrMixed))
		}
	}
	return errors.Join(problems...)
}

// take adds what one shard has. Ids stay unique, and evidence is found again.
func (r *Run) take(run *Run, shard string) {
	for _, c := range run.Claims {
		if !slices.ContainsFunc(r.Claims, func(known Claim) bool { return known.ID == c.ID }) {
			r.Claims = append(r.Claims, c)
		}
	}
	for _, e := range run.Experiments {
		e.ID, e.Shard, e.Evidence = shard+"-"+e.ID, shard, slices.Clone(e.Evidence)
		for i, file := range e.Evidence {
			e.Evidence[i] = path.Join(shard, file)
		}
		r.Experiments = append(r.Experiments, e)
	}
	for _, s := range run.Skipped {
		if !slices.ContainsFunc(r.Skipped, func(known Skipped) bool {
			return known.Name == s.Name && known.Topology == s.Topology && known.Reason == s.Reason
		}) {
			r.Skipped = append(r.Skipped, s)
		}
	}
	r.Sabotaged = append(r.Sabotaged, run.Sabotaged...)
	for _, f := range run.Failures {
		r.Failures = append(r.Failures, shard+": "+f)
	}
	for _, f := range run.NotRestored {
		r.NotRestored = append(r.NotRestored, shard+": "+f)
	}
	if run.Refused != "" {
		r.Failures = append(r.Failures, shard+" was refused: "+run.Refused)
	}
}

// dropSkippedElsewhere forgets what one machine could not carry and another did.
func (r *Run) dropSkippedElsewhere() {
	r.Skipped = slices.DeleteFunc(r.Skipped, func(s Skipped) bool {
		return slices.ContainsFunc(r.Experiments, func(e Experiment) bool { return e.Name == s.Name && e.Topology == s.Topology })
	})
}

// commonEnvironment joins what differs in words, and leaves out numbers that differ.
func commonEnvironment(shards []Shard) Environment {
	return Environment{
		Kubernetes:       joined(shards, func(e Environment) string { return e.Kubernetes }),
		Etcd:             joined(shards, func(e Environment) string { return e.Etcd }),
		NodeImage:        joined(shards, func(e Environment) string { return e.NodeImage }),
		ImageOrigin:      joined(shards, func(e Environment) string { return e.ImageOrigin }),
		LoadBalancer:     joined(shards, func(e Environment) string { return e.LoadBalancer }),
		Engine:           joined(shards, func(e Environment) string { return e.Engine }),
		Kernel:           joined(shards, func(e Environment) string { return e.Kernel }),
		Profile:          joined(shards, func(e Environment) string { return e.Profile }),
		FaultlineVersion: joined(shards, func(e Environment) string { return e.FaultlineVersion }),
		CgroupVersion:    same(shards, func(e Environment) int { return e.CgroupVersion }),
		Cores:            same(shards, func(e Environment) int { return e.Cores }),
		MemoryBytes:      same(shards, func(e Environment) uint64 { return e.MemoryBytes }),
		Slack:            same(shards, func(e Environment) float64 { return e.Slack }),
		Seed:             same(shards, func(e Environment) int64 { return e.Seed }),
	}
}

func joined(shards []Shard, of func(Environment) string) string {
	var values []string
	for _, s := range shards {
		if v := of(s.Environment); v != "" && !slices.Contains(values, v) {
			values = append(values, v)
		}
	}
	return strings.Join(values, ", ")
}

func same[T comparable](shards []Shard, of func(Environment) T) T {
	first := of(shards[0].Environment)
	for _, s := range shards {
		if of(s.Environment) != first {
			var unknown T
			return unknown
		}
	}
	return first
}

// EnvironmentOf is what the experiment's figures depend on: in a merged record,
// that of its shard.
func (r *Run) EnvironmentOf(e *Experiment) Environment {
	i := slices.IndexFunc(r.Shards, func(s Shard) bool { return s.Name == e.Shard })
	if i < 0 {
		return r.Environment
	}
	return r.Shards[i].Environment
}
