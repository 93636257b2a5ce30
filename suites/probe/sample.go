package probe

import (
	"time"

	"faultline/reports/record"
)

// Name is what a probe asks for.
type Name string

// The probes. Every one has a timeline at each of its vantage points.
const (
	// Write creates a small object with a name of its own.
	Write Name = "write"
	// ConsistentRead reads without a resource version, GET and LIST in turn: both need etcd's majority.
	ConsistentRead Name = "consistent-read"
	// CachedRead reads with resource version 0, LIST and GET in turn: the API server's watch cache may answer.
	CachedRead Name = "cached-read"
	// Watch is a watch stream that has to deliver every acknowledged write.
	Watch Name = "watch"
	// Schedule is a pod that waits for the scheduler to bind it.
	Schedule Name = "schedule"
	// Reconcile is a deployment that waits for its controller to observe it.
	Reconcile Name = "reconcile"
	// Workload is a pod's web server on its node's host port.
	Workload Name = "workload"
	// Service is a web service behind kube-proxy: a node port, or the cluster IP from a pod.
	Service Name = "service"
	// ServiceAPI is the API by its service name, from a pod.
	ServiceAPI Name = "service-api"
	// Resolve is the name of a service, asked of the cluster's DNS from a pod.
	Resolve Name = "resolve"
	// Ready is an API server's /readyz, sampled less often than the others.
	Ready Name = "ready"

	// Put writes a small key through a member of an etcd without Kubernetes.
	Put Name = "put"
	// LinearizableRead reads through such a member, which needs the majority.
	LinearizableRead Name = "linearizable-read"
	// SerializableRead reads what such a member has itself.
	SerializableRead Name = "serializable-read"
)

// InCluster is the vantage point of the client that runs in a pod on a node.
func InCluster(node string) string { return "in-cluster:" + node }

// Sample is one answer, or the lack of one.
type Sample struct {
	// At is when the request was sent, Latency how long its outcome took. A
	// sample that needed no request of its own has no latency.
	At, Latency time.Duration
	Way         record.Way
	// Detail says what went wrong, for people; empty when up.
	Detail string
	// Blind says that the vantage point itself could not be asked: nothing is known of the target.
	Blind bool
}

// Done is when the outcome was known.
func (s Sample) Done() time.Duration { return s.At + s.Latency }

// Down tells whether the target failed the sample. A starved sample says
// nothing about the target.
func (s Sample) Down() bool { return s.Way != record.Up && s.Way != record.Starved }

// Clock measures offsets from an epoch by the monotonic clock, so that a
// change of wall time moves nothing. All timelines of a set share one.
type Clock struct{ epoch time.Time }

// NewClock starts a clock at zero.
func NewClock() Clock { return Clock{epoch: time.Now()} }

// Now is the time since the epoch.
func (c Clock) Now() time.Duration { return time.Since(c.epoch) }

// At is the offset of an instant that carries a monotonic reading.
func (c Clock) At(t time.Time) time.Duration { return t.Sub(c.epoch) }

// From is a clock that starts at an offset of this one.
func (c Clock) From(at time.Duration) Clock { return Clock{epoch: c.Time(at)} }

// Time is the instant of an offset.
func (c Clock) Time(at time.Duration) time.Time { return c.epoch.Add(at) }
