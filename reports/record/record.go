// Package record defines the versioned account of a run: what was broken, what
// was seen, and what that says about each claim. It is the only thing that the
// suites and the reports exchange, and it is plain data: JSON in, JSON out.
//
// Instants inside an experiment are offsets in seconds on a monotonic clock,
// counted from the experiment's start; only StartedAt fields are wall time.
package record

import "time"

// SchemaVersion is the version of the JSON that this package writes. A reader
// refuses a record with a higher number. Within a version fields are only added,
// and may be missing (omitempty): earlier records lack them.
const SchemaVersion = 1

// Run is everything that one invocation of the suite measured.
type Run struct {
	Schema      int          `json:"schema"`
	ID          string       `json:"id"`
	StartedAt   time.Time    `json:"startedAt"`
	Seconds     float64      `json:"seconds"`
	Environment Environment  `json:"environment"`
	Claims      []Claim      `json:"claims"`
	Experiments []Experiment `json:"experiments"`
	// Skipped are experiments that this machine cannot carry, or that a game day left out.
	Skipped []Skipped `json:"skipped,omitempty"`
	// Sabotaged are the runs that test the suite itself and turned red, as they must. One that does
	// not is among Failures.
	Sabotaged []Sabotaged `json:"sabotaged,omitempty"`
	// Failures are errors of the harness itself, outside any experiment.
	Failures []string `json:"failures,omitempty"`
	// NotRestored lists faults whose undo could not be proven at the end.
	NotRestored []string `json:"notRestored,omitempty"`
	// Refused says why the run was refused before anything was changed.
	Refused string `json:"refused,omitempty"`
	// Shards are the runs that were merged into this one, if it was merged.
	Shards []Shard `json:"shards,omitempty"`
	// Gate is what a policy made of the run, if one judged it.
	Gate *Gate `json:"gate,omitempty"`
}

// Skipped is an experiment that was not tried, and why.
type Skipped struct {
	Name     string   `json:"name"`
	Claims   []string `json:"claims"`
	Topology string   `json:"topology"`
	Reason   string   `json:"reason"`
}

// Sabotaged is an experiment whose fault, undo or probes were made to lie, or whose system was
// changed so that the claim is not true any more.
type Sabotaged struct {
	Name     string  `json:"name"`
	Topology string  `json:"topology"`
	Seconds  float64 `json:"seconds"`
	// Groups are those of the claims that the changed system contradicts.
	Groups []string `json:"groups,omitempty"`
}

// Environment is what the figures of a run depend on.
type Environment struct {
	Kubernetes       string  `json:"kubernetes"`
	Etcd             string  `json:"etcd"`
	NodeImage        string  `json:"nodeImage"`
	ImageOrigin      string  `json:"imageOrigin"`  // registry or offline
	LoadBalancer     string  `json:"loadBalancer"` // envoy or haproxy
	Engine           string  `json:"engine"`
	Kernel           string  `json:"kernel"`
	CgroupVersion    int     `json:"cgroupVersion"`
	Cores            int     `json:"cores"`
	MemoryBytes      uint64  `json:"memoryBytes"`
	Profile          string  `json:"profile"` // fast or documented
	Slack            float64 `json:"slack"`   // factor on upper bounds
	FaultlineVersion string  `json:"faultlineVersion"`
	// Seed is that of every random choice of the run.
	Seed int64 `json:"seed,omitempty"`
}

// Claim is a row of the catalogue as far as a report needs it.
type Claim struct {
	ID        string `json:"id"`
	Group     string `json:"group"`
	Statement string `json:"statement"`
	Source    string `json:"source"`
	// Drift says how today's Kubernetes differs; empty where it does not.
	Drift string `json:"drift,omitempty"`
	// Untested is why no spec tests the claim; empty where one does.
	Untested string `json:"untested,omitempty"`
}

// Verdict is what an experiment says about a claim.
type Verdict string

// The four verdicts. Only Held and Drifted pass.
const (
	// Held: the documented behaviour was observed.
	Held Verdict = "held"
	// Drifted: the document was right in its time; today's different behaviour was asserted.
	Drifted Verdict = "drifted"
	// Broken: neither the documented nor today's known behaviour was observed.
	Broken Verdict = "broken"
	// Inconclusive: no steady state, the fault did not land or hold, or a probe starved.
	Inconclusive Verdict = "inconclusive"
)

// Passes tells whether the verdict lets a gate pass.
func (v Verdict) Passes() bool { return v == Held || v == Drifted }

// Experiment is one drill: steady state, fault, loss, undo, recovery, audit.
type Experiment struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Claims    []string  `json:"claims"`
	Topology  string    `json:"topology"`
	Cluster   string    `json:"cluster"`
	StartedAt time.Time `json:"startedAt"`
	Seconds   float64   `json:"seconds"`
	// Loses is what the experiment takes away: components by name, and hosts by what
	// runs on them. See Lost.
	Loses []string `json:"loses,omitempty"`
	// Spent is what the experiment's time, and that of its cluster, went into.
	Spent *Spent `json:"spent,omitempty"`
	// Pressure is how short this machine was of its resources meanwhile, where its kernel tells.
	Pressure *Pressure `json:"pressure,omitempty"`
	Verdict  Verdict   `json:"verdict"`
	// Drift is set with the verdict Drifted: how today differs, as observed here.
	Drift string `json:"drift,omitempty"`
	// Reason explains every verdict but Held.
	Reason       string        `json:"reason,omitempty"`
	Faults       []Fault       `json:"faults"`
	Observations []Observation `json:"observations"`
	Probes       []Probe       `json:"probes"`
	Leases       []Lease       `json:"leases"`
	EtcdLeaders  []EtcdTenure  `json:"etcdLeaders"`
	// States are what the API said of nodes and API servers.
	States []State `json:"states,omitempty"`
	// Recoveries are what followed the faults and their undos, phase by phase.
	Recoveries []Recovery `json:"recoveries,omitempty"`
	Audit      *Audit     `json:"audit,omitempty"`
	// Evidence are paths relative to the record.
	Evidence []string `json:"evidence,omitempty"`
	// Command repeats this experiment alone.
	Command string `json:"command,omitempty"`
	// Shard names the run that the experiment comes from, in a merged record.
	Shard string `json:"shard,omitempty"`
}

// Spent is an account of an experiment's time, in seconds. Waiting is for Kubernetes and its
// settings; everything else is the suite's own.
type Spent struct {
	Cluster   float64 `json:"cluster"`   // a fresh cluster, or the proof that the last one is as good as new; before the experiment's start
	Steady    float64 `json:"steady"`    // until every probe was green for a while
	Faults    float64 `json:"faults"`    // injecting, proving and undoing
	Waiting   float64 `json:"waiting"`   // for what was expected
	Restoring float64 `json:"restoring"` // until the cluster was as good as new
	Audit     float64 `json:"audit"`     // of the acknowledged writes
}

// Pressure is for which shares of the time, from 0 to 1, some process of the machine had to wait
// for a resource (the kernel's pressure stall information).
type Pressure struct {
	CPU    float64 `json:"cpu"`
	Memory float64 `json:"memory"`
	Disk   float64 `json:"disk"`
}

// Own is what is not waiting for Kubernetes.
func (s Spent) Own() float64 { return s.Cluster + s.Steady + s.Faults + s.Restoring + s.Audit }

// Fault is one injected fault with the instants of its states.
type Fault struct {
	ID     string `json:"id"`
	Name   string `json:"name"` // what a person calls it: "stop kube-apiserver on n1"
	Kind   string `json:"kind"`
	Node   string `json:"node"`
	Target string `json:"target"`
	State  string `json:"state"` // planned, armed, injected, landed, undone, healed
	Proof  string `json:"proof,omitempty"`
	// Instants are seconds since the experiment's start, by state.
	Instants map[string]float64 `json:"instants"`
}

// Observation is one assertion: what was expected, what was seen.
type Observation struct {
	Claim    string  `json:"claim,omitempty"`
	Expected string  `json:"expected"`
	Observed string  `json:"observed"`
	OK       bool    `json:"ok"`
	At       float64 `json:"at"`
	// Seconds is the measured duration where there is one (an outage, a recovery).
	Seconds *float64 `json:"seconds,omitempty"`
	// Lower and Upper bound Seconds where the claim bounds it.
	Lower *float64 `json:"lower,omitempty"`
	Upper *float64 `json:"upper,omitempty"`
	// Recovery marks the duration as the experiment's recovery time.
	Recovery bool `json:"recovery,omitempty"`
}

// Way is the way a probe's target is up or down.
type Way string

// The states of a probe. Four ways to be down are kept apart, and two that are
// not failures of a server: work that is accepted and not done yet, and a
// sample that we ourselves could not take in time.
const (
	Up        Way = "up"
	Refused   Way = "refused"    // nothing listens, or the connection was reset
	TimedOut  Way = "timed-out"  // no answer in the probe's time
	EtcdError Way = "etcd-error" // the API server answers that its store fails
	NotReady  Way = "not-ready"  // cache or server not initialised, or throttled
	Pending   Way = "pending"    // accepted, not yet acted upon
	OtherDown Way = "other"      // an unexpected answer
	Starved   Way = "starved"    // the probe itself was late
)

// Probe is the timeline of one probe at one vantage point.
type Probe struct {
	Name       string    `json:"name"`    // write, consistent-read, cached-read, watch, schedule, ...
	Vantage    string    `json:"vantage"` // load-balancer, a node's name, in-cluster
	Interval   float64   `json:"interval"`
	Samples    int       `json:"samples"`
	Spans      []Span    `json:"spans"`
	Before     Latencies `json:"before"`
	During     Latencies `json:"during"`
	After      Latencies `json:"after"`
	MaxGap     float64   `json:"maxGap"`     // longest time between two samples' starts
	LongestOut float64   `json:"longestOut"` // longest time without a success
}

// Span is a time in which a probe saw one way.
type Span struct {
	From  float64 `json:"from"`
	To    float64 `json:"to"`
	Way   Way     `json:"way"`
	Count int     `json:"count"`
	// Example is one message of the span, for the reader.
	Example string `json:"example,omitempty"`
}

// Latencies are percentiles of successful samples, in seconds.
type Latencies struct {
	Count int     `json:"count"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

// Lease is who held a leader lock when.
type Lease struct {
	Name  string   `json:"name"`
	Holds []Tenure `json:"holds"`
}

// Tenure is one holder's time.
type Tenure struct {
	From        float64 `json:"from"`
	To          float64 `json:"to"`
	Holder      string  `json:"holder"`
	Transitions int     `json:"transitions"`
}

// EtcdTenure is one etcd leader's time; an empty Leader means that none was known.
type EtcdTenure struct {
	From   float64 `json:"from"`
	To     float64 `json:"to"`
	Leader string  `json:"leader"`
	Term   uint64  `json:"term"`
}

// State is what the API said of something over time.
type State struct {
	Of    string      `json:"of"` // node n1, kube-apiserver on n1
	Spans []StateSpan `json:"spans"`
}

// StateSpan is a time in which it was the same: of a node one of the words below, of an API
// server the number of its process, counted from 1, as in "process 2".
type StateSpan struct {
	From float64 `json:"from"`
	To   float64 `json:"to"`
	Is   string  `json:"is"`
}

// What a node is.
const (
	StateReady    = "ready"
	StateNotReady = "not ready"
	StateUnknown  = "unknown" // silent
)

// Recovery is how a cluster came back after a fault or an undo, up to the next of them.
type Recovery struct {
	// After names the fault or the undo, or several that followed each other at once.
	After string `json:"after"`
	// At is when it began to act, in seconds since the experiment's start.
	At float64 `json:"at"`
	// Phases are those that were reached, in the order of PhaseNames.
	Phases []Phase `json:"phases"`
}

// Phase is the instant at which a recovery reached one of its phases.
type Phase struct {
	Name string `json:"name"`
	// Seconds are counted from the recovery's At.
	Seconds float64 `json:"seconds"`
}

// The phases of a recovery. API ready, pod bound, reconciled and workload serving are ends of
// outages that no other followed: where there was no outage there is no such phase.
const (
	PhaseLanded                 = "landed"                   // the fault's effect was proven
	PhaseUndone                 = "undone"                   // or, after an undo, all of it was undone
	PhaseDetected               = "detected"                 // the first request had failed
	PhaseEtcdLeader             = "etcd-leader"              // etcd had a new leader, or one again
	PhaseAPIReady               = "api-ready"                // writes were accepted
	PhaseSchedulerLease         = "scheduler-lease"          // the lock had a new holder
	PhaseControllerManagerLease = "controller-manager-lease" // likewise
	PhasePodBound               = "pod-bound"                // the scheduler placed a pod
	PhaseReconciled             = "reconciled"               // a controller took notice of a change of a deployment
	PhaseWorkloadServing        = "workload-serving"         // the workload and its service answered on every node
)

// Audit is what became of the writes that were acknowledged.
type Audit struct {
	Attempted    int `json:"attempted"`
	Acknowledged int `json:"acknowledged"`
	// Forgone were acknowledged too, and lost with a restore: they were newer than the backup.
	Forgone int      `json:"forgone,omitempty"`
	Lost    []string `json:"lost"`
	// Backwards lists API servers whose resource version went back.
	Backwards []string `json:"backwards"`
	// Missed counts acknowledged writes that the watch never delivered.
	Missed  int      `json:"missed"`
	Through []string `json:"through"` // API servers that were asked
}
