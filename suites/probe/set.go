package probe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"faultline/clusters"
)

const (
	defaultInterval = 50 * time.Millisecond
	defaultLate     = 250 * time.Millisecond
	defaultInFlight = 40
	// readyEvery is how many intervals pass between two looks at /readyz: its
	// answer costs an API server more than the other requests.
	readyEvery = 20
	// leasesEvery is how many intervals pass between two looks at the leader locks.
	leasesEvery = 4
	// phases is how many bursts of samples there are in an interval. One burst
	// would measure itself; a moment of its own for every probe would wake this
	// process so often that waking up were its main cost.
	phases = 4
	// drainTime is how long the watches may take to deliver the last writes.
	drainTime = 3 * time.Second
	// clearTime bounds the clean-up: the cluster may be down.
	clearTime = 10 * time.Second
)

// DefaultTimeout is the time of a sample from its sending to the end of its answer.
const DefaultTimeout = time.Second

// Options of a set. The zero value is good.
type Options struct {
	// Interval is the time between two samples of a probe; 50 ms if zero.
	Interval time.Duration
	// Timeout is the time of a sample; DefaultTimeout if zero.
	Timeout time.Duration
	// Late is how late a sample may start before it counts as starved; 250 ms if zero.
	Late time.Duration
	// InFlight bounds the samples of a probe that wait for an answer; 40 if zero.
	InFlight int
	// Namespace is where the probes work; that of the ledger derives from it. "faultline-probe" if empty.
	Namespace string
	// Workload is probed where it was deployed.
	Workload *Deployed
	// Unprivileged leaves the cluster's rules of priority and fairness as they are. Else the
	// probes are exempt from them, lest they hinder each other.
	Unprivileged bool
	// Lie makes every sample a success: for sabotage runs, which show that a
	// suite does not believe its probes blindly.
	Lie bool
}

func (o Options) withDefaults() Options {
	o.Interval = cmp.Or(o.Interval, defaultInterval)
	o.Timeout = cmp.Or(o.Timeout, DefaultTimeout)
	o.Late = cmp.Or(o.Late, defaultLate)
	o.InFlight = cmp.Or(o.InFlight, defaultInFlight)
	o.Namespace = cmp.Or(o.Namespace, "faultline-probe")
	return o
}

// Set is all probes of a cluster. It is started once and stopped once.
type Set struct {
	opts    Options
	cluster *clusters.Cluster
	clock   Clock
	ledger  *Ledger
	leases  *Leases
	states  *States
	etcd    *EtcdLeaders

	timelines []*Timeline
	done      map[Name]*Timeline
	samplers  []*sampler
	taskers   []*tasker
	watchers  []*watcher
	insides   []*inside

	stopSamples, stopStreams context.CancelFunc
	samples, streams         sync.WaitGroup
	// alive outlives the context of Start: clean-up runs in it.
	alive context.Context
}

// New prepares the probes of a cluster; nothing is sent yet.
func New(c *clusters.Cluster, opts Options) (*Set, error) {
	s := newSet(opts)
	s.cluster = c
	s.addEtcd(c)
	if !c.Topology.Kubernetes() {
		s.addStore(c)
		return s, nil
	}
	if err := s.addDoors(doorsOf(c)); err != nil {
		return nil, fmt.Errorf("prepare the probes of cluster %s: %w", c.Name, err)
	}
	if w := s.opts.Workload; w != nil {
		s.addWorkload(w)
	}
	return s, nil
}

func newSet(opts Options) *Set {
	opts = opts.withDefaults()
	clock, states := NewClock(), newStates()
	return &Set{
		opts: opts, clock: clock, ledger: newLedger(ledgerNamespace(opts.Namespace)), leases: newLeases(clock, states), states: states, done: map[Name]*Timeline{},
	}
}

// addDoors makes the probes of the API. The first door is the front: what needs
// the store or the whole cluster is asked there, as a client would. What one
// API server answers by itself is asked of each. Everything everywhere would be
// a load that changes what it measures on a machine of two cores.
func (s *Set) addDoors(doors []door) error {
	front, servers := doors[0], doors
	if len(doors) > 1 {
		servers = doors[1:]
	}
	errs := []error{s.addFront(front)}
	for _, d := range servers {
		errs = append(errs, s.addServer(d))
	}
	return errors.Join(append(errs, s.addTasks(front), s.addObservers(doors))...)
}

func (s *Set) addFront(d door) error {
	write, err := newWriter(s.clock, d, s.ledger, s.opts.Timeout)
	errs := []error{s.addIf(err, Write, d.vantage, func() taker { return write.take })}
	consistent, err := newConsistentReader(d, s.opts.Namespace, s.opts.Timeout)
	errs = append(errs, s.addIf(err, ConsistentRead, d.vantage, func() taker { return consistent.take }))
	w, err := newWatcher(s.clock, d, s.ledger, s.opts.Timeout)
	return errors.Join(append(errs, s.addIf(err, Watch, d.vantage, func() taker { s.watchers = append(s.watchers, w); return w.take }))...)
}

func (s *Set) addServer(d door) error {
	cached, err := newCachedReader(d, s.opts.Namespace, s.opts.Timeout)
	errs := []error{s.addIf(err, CachedRead, d.vantage, func() taker { return cached.take })}
	ready, err := newReadyReader(d, s.opts.Timeout)
	return errors.Join(append(errs, s.addIf(err, Ready, d.vantage, func() taker { return ready.take }))...)
}

type taker = func(context.Context) outcome

func (s *Set) addIf(err error, name Name, vantage string, take func() taker) error {
	if err != nil {
		return err
	}
	interval := s.opts.Interval
	if name == Ready {
		interval *= readyEvery
	}
	s.add(s.timeline(name, vantage, interval), take())
	return nil
}

func (s *Set) timeline(name Name, vantage string, interval time.Duration) *Timeline {
	t := NewTimeline(name, vantage, interval)
	s.timelines = append(s.timelines, t)
	return t
}

func (s *Set) add(t *Timeline, take taker) {
	if s.opts.Lie {
		take = func(context.Context) outcome { return up }
	}
	s.samplers = append(s.samplers, &sampler{
		clock: s.clock, timeline: t, timeout: s.opts.Timeout, late: s.opts.Late, inFlight: s.opts.InFlight, take: take,
	})
}

func (s *Set) addTasks(front door) error {
	schedule, err := newScheduling(front, s.opts.Namespace, s.ledger.id, s.opts.Timeout)
	if err != nil {
		return err
	}
	reconcile, err := newReconciling(front, s.opts.Namespace, s.ledger.id, s.opts.Timeout)
	if err != nil {
		return err
	}
	s.addTask(Schedule, front.vantage, schedule)
	s.addTask(Reconcile, front.vantage, reconcile)
	return nil
}

func (s *Set) addTask(name Name, vantage string, work task) {
	t := &tasker{clock: s.clock, task: work, timeout: s.opts.Timeout, done: NewTimeline(name, vantage, taskPause)}
	s.done[name] = t.done
	s.taskers = append(s.taskers, t)
	s.add(s.timeline(name, vantage, s.opts.Interval), t.take)
}

// addObservers watches the leader locks and the nodes. Their timelines are not among the
// probes': through dead API servers they fail as a matter of course.
func (s *Set) addObservers(doors []door) error {
	if err := s.leases.open(doors, s.opts.Timeout); err != nil {
		return err
	}
	s.add(NewTimeline("leases", "all", leasesEvery*s.opts.Interval), s.leases.take)
	nodes, err := newNodeReader(s.clock, s.states, doors, s.opts.Timeout)
	if err != nil {
		return err
	}
	s.add(NewTimeline("nodes", "all", max(nodesEvery, s.opts.Interval)), nodes.take)
	return nil
}

func (s *Set) addEtcd(c *clusters.Cluster) {
	s.etcd = newEtcdLeaders(s.clock)
	for _, member := range c.EtcdMembers() {
		s.add(NewTimeline("etcd", member.Unique(), etcdInterval), s.etcd.asking(c, member))
	}
}

func (s *Set) addWorkload(w *Deployed) {
	// The workload is one thing, seen on every node: its samples are shared among them.
	shared := s.opts.Interval * time.Duration(len(w.Nodes))
	for _, n := range w.Nodes {
		s.add(s.timeline(Workload, n.Name, shared), newWebReader(n.url(HostPort), true).take)
		s.add(s.timeline(Service, n.Name, shared), newWebReader(n.url(w.NodePort), false).take)
		s.insides = append(s.insides, newInside(s.clock, n, s.opts.Timeout, w.Interval, map[string]*Timeline{
			targetAPI:  s.timeline(ServiceAPI, InCluster(n.Name), w.Interval),
			targetWeb:  s.timeline(Service, InCluster(n.Name), w.Interval),
			targetName: s.timeline(Resolve, InCluster(n.Name), w.Interval),
		}))
	}
}

// Start creates what the probes ask for and starts them all. ctx bounds the
// preparation only; the probes run until Stop.
func (s *Set) Start(ctx context.Context) error {
	if s.cluster.Topology.Kubernetes() {
		client, err := s.cluster.Client(s.cluster.Front())
		if err != nil {
			return err
		}
		if err := s.furnish(ctx, client); err != nil {
			return err
		}
	}
	// The first question to etcd fetches certificates, which takes longer than a sample may.
	for _, member := range s.cluster.EtcdMembers() {
		if _, err := s.cluster.EtcdClient(ctx, member); err != nil {
			return fmt.Errorf("prepare the probes: %w", err)
		}
	}
	s.launch(ctx)
	return nil
}

// launch starts the streams, then the samples.
func (s *Set) launch(ctx context.Context) {
	s.alive = context.WithoutCancel(ctx)
	var streams, samples context.Context
	streams, s.stopStreams = context.WithCancel(s.alive)
	samples, s.stopSamples = context.WithCancel(s.alive)
	for _, w := range s.watchers {
		s.streams.Go(func() { w.run(streams) })
	}
	for _, i := range s.insides {
		s.streams.Go(func() { i.run(streams) })
	}
	base := s.clock.Now()
	for i, p := range s.samplers {
		phase := s.opts.Interval * time.Duration(i%phases) / phases
		s.samples.Go(func() { p.run(samples, base+phase) })
	}
}

// Stop ends all probes, lets the watches deliver the last acknowledged writes,
// and removes what Start created. The ledger's objects stay for an audit. The
// error is that of the clean-up: the cluster may be down, and is what it is.
// A second Stop does nothing.
func (s *Set) Stop() error {
	if s.alive == nil {
		return nil
	}
	alive := s.alive
	s.alive = nil
	s.halt(alive)
	if !s.cluster.Topology.Kubernetes() {
		return nil
	}
	client, err := s.cluster.Client(s.cluster.Front())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(alive, clearTime)
	defer cancel()
	return s.clear(ctx, client)
}

func (s *Set) halt(alive context.Context) {
	s.stopSamples()
	s.samples.Wait()
	for _, t := range s.taskers {
		t.cleaning.Wait()
	}
	s.drain(alive)
	s.stopStreams()
	s.streams.Wait()
}

// drain waits until the watches have delivered everything, for a while.
func (s *Set) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	for s.ledger.missed() > 0 && ctx.Err() == nil {
		pause(ctx, reconnectPause)
	}
}

// Clock is the clock of all timelines.
func (s *Set) Clock() Clock { return s.clock }

// Ledger is the account of the set's writes.
func (s *Set) Ledger() *Ledger { return s.ledger }

// Leases is the history of the leader locks.
func (s *Set) Leases() *Leases { return s.leases }

// States is the history of nodes and API servers.
func (s *Set) States() *States { return s.states }

// Etcd is the history of etcd's leaders.
func (s *Set) Etcd() *EtcdLeaders { return s.etcd }

// Timelines lists all timelines, probe by probe in the order of vantage points.
func (s *Set) Timelines() []*Timeline {
	all := slices.Clone(s.timelines)
	order := []Name{
		Write, ConsistentRead, CachedRead, Watch, Ready, Schedule, Reconcile, ServiceAPI, Service, Resolve, Workload,
		Put, LinearizableRead, SerializableRead,
	}
	slices.SortStableFunc(all, func(a, b *Timeline) int {
		return cmp.Compare(slices.Index(order, a.name), slices.Index(order, b.name))
	})
	return all
}

// Of lists a probe's timelines, one for every vantage point; the front's first.
func (s *Set) Of(name Name) []*Timeline {
	return slices.DeleteFunc(s.Timelines(), func(t *Timeline) bool { return t.name != name })
}

// Timeline finds a probe's timeline at a vantage point.
func (s *Set) Timeline(name Name, vantage string) (*Timeline, error) {
	var known []string
	for _, t := range s.timelines {
		if t.name == name && t.vantage == vantage {
			return t, nil
		}
		known = append(known, t.String())
	}
	return nil, fmt.Errorf("no probe %s at %q; there are: %s", name, vantage, strings.Join(known, ", "))
}

// Completions are the tasks that were done for Schedule (pods bound) or
// Reconcile (changes observed): a sample each, from the first request for it to
// the poll that saw it done. Its LongestOutage is the gap in that work; a task
// begins every half second. Other probes have none.
func (s *Set) Completions(name Name) *Timeline { return s.done[name] }
