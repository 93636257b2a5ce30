package clusters

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"
)

// Bounds limit a measured duration. Lower is what a mechanism forbids to
// undercut and is never scaled; Upper carries the suite's slack. A zero Lower
// bounds nothing.
type Bounds struct {
	Lower, Upper time.Duration
}

// Timing derives bounds from the cluster's settings.
type Timing struct {
	Profile Profile
	// Slack is the factor on every upper bound: machines are noisy.
	Slack float64
}

// DefaultSlack suits two cores that run a whole cluster and its probes.
const DefaultSlack = 2

// SlackFromEnv reads FAULTLINE_SLACK, a factor of at least 1.
func SlackFromEnv() (float64, error) {
	text := os.Getenv("FAULTLINE_SLACK")
	if text == "" {
		return DefaultSlack, nil
	}
	slack, err := strconv.ParseFloat(text, 64)
	if err != nil || slack < 1 || slack > 100 {
		return 0, fmt.Errorf("FAULTLINE_SLACK=%q: want a factor from 1 to 100", text)
	}
	return slack, nil
}

// TimingFromEnv reads FAULTLINE_PROFILE and FAULTLINE_SLACK.
func TimingFromEnv() (Timing, error) {
	profile, profileErr := ProfileFromEnv()
	slack, slackErr := SlackFromEnv()
	return Timing{Profile: profile, Slack: slack}, errors.Join(profileErr, slackErr)
}

// nodeBoot is how long a node's container may take from its start until its node is Ready.
const nodeBoot = 120 * time.Second

// Settings that Kubernetes 1.37, etcd 3.7 and kubeadm ship with and that no
// profile changes.
const (
	// LeaseDuration, RenewDeadline and RetryPeriod are the leader election defaults of
	// component-base; RetryJitter is client-go's factor on a follower's retry.
	LeaseDuration = 15 * time.Second
	RenewDeadline = 10 * time.Second
	RetryPeriod   = 2 * time.Second
	RetryJitter   = 1.2
	// FollowerRetry is when a follower looks at the lock again, at the latest.
	FollowerRetry = time.Duration(float64(RetryPeriod) * (1 + RetryJitter))

	etcdElectionTimeout = time.Second                     // etcd --election-timeout
	nodeMonitorPeriod   = 5 * time.Second                 // controller manager --node-monitor-period
	nodeLeaseRenewal    = 10 * time.Second                // a quarter of the kubelet's 40 s lease
	nodeStatusUpdate    = 10 * time.Second                // kubelet, nodeStatusUpdateFrequency
	evictionMonitoring  = 10 * time.Second                // kubelet, evictionMonitoringPeriod
	runtimeGrace        = 30 * time.Second                // kubelet, maxWaitForContainerRuntime
	runtimeCheck        = 5 * time.Second                 // kubelet, updateRuntimeUp
	fileCheckFrequency  = 20 * time.Second                // kubelet, manifests without inotify
	livenessFailures    = 8                               // kubeadm, failureThreshold of a liveness probe
	livenessPeriod      = 10 * time.Second                // kubeadm, its periodSeconds
	livenessTimeout     = 15 * time.Second                // kubeadm, its timeoutSeconds
	terminationGrace    = 30 * time.Second                // static pods
	cacherRetry         = 30 * time.Second                // watch cache: retries of its store before it gives up
	reflectorRetry      = 2 * 30 * time.Second            // client-go's reflector: up to 30 s between tries, jittered to twice that
	cacheWait           = 3 * time.Second                 // watch cache, blockTimeout
	namespaceGrace      = 5 * time.Second                 // controller manager, namespaceDeletionGracePeriod
	podCollection       = 20 * time.Second                // controller manager, pod garbage collector (gcCheckPeriod)
	orphanQuarantine    = 40 * time.Second                // controller manager, pod garbage collector (quarantineTime)
	eventTTL            = time.Hour                       // API server --event-ttl
	leaseReuse          = time.Minute                     // API server, how much longer a lease of etcd is that several Events share
	storeDial           = 20 * time.Second                // API server, how long it waits for its store when it starts (dialTimeout)
	endpointLease       = 15 * time.Second                // API server, its endpoint's lease (DefaultEndpointReconcilerTTL)
	endpointReconcile   = 10 * time.Second                // API server, its endpoint reconciler
	restartBackOff      = 10 * time.Second                // kubelet, containerBackOffPeriod: after the second crash, then twice as long each time
	imageBackOff        = 10 * time.Second                // kubelet, imageBackOffPeriod: after the first failed pull, then twice as long each time
	maxImageBackOff     = 300 * time.Second               // kubelet, MaxImageBackOff
	tokenMemory         = 10 * time.Second                // API server, TokenSuccessCacheTTL
	dnsStart            = 5 * time.Second                 // CoreDNS, how long it waits for the API when it starts (startup_timeout)
	lbProbe             = 2*2*time.Second + 3*time.Second // kind: 2 failures, 2 s apart, 3 s each at most
)

func (t Timing) upper(d time.Duration) time.Duration {
	return time.Duration(float64(d) * t.Slack)
}

// EtcdElection bounds how long writes stall when the etcd leader dies: a few
// rounds of the election timeout.
func (t Timing) EtcdElection() Bounds { return Bounds{Upper: t.upper(5 * etcdElectionTimeout)} }

// DeposingStall is for how long a leader of etcd may be stalled and has lost its office: followers
// wait for its word for up to twice the election timeout, as chance has it. It is how long something
// is done, and no bound.
func (t Timing) DeposingStall() time.Duration { return 2 * etcdElectionTimeout }

// QuorumReturn bounds the first write after a majority is back.
func (t Timing) QuorumReturn() Bounds { return Bounds{Upper: t.upper(15 * etcdElectionTimeout)} }

// Noticed bounds how soon the loss of a server must be seen by a request that
// is sent afterwards: the probes' own time-out and the detection of a store
// without a leader.
func (t Timing) Noticed() Bounds { return Bounds{Upper: t.upper(5 * time.Second)} }

// StaleReads bounds how long reads from the watch cache outlive the majority:
// the cache retries its broken watch for cacherRetry before it gives up. The
// time counts from the first error, which is forgotten only after
// WatchErrorMemory without another: a second loss soon after a first is survived
// for less. The upper bound allows for a watch stream that hangs on a frozen
// member until its keep-alive ends it (40 s and the retries).
func (t Timing) StaleReads() Bounds {
	return Bounds{Lower: cacherRetry, Upper: t.upper(40*time.Second + cacherRetry + 5*etcdElectionTimeout)}
}

// Turn bounds how long a client waits for its turn beside another that keeps every seat of an API
// server's priority level with reads of a revision that never comes: the server waits for that
// for cacheWait, and what it owes the other from before may take another round.
func (t Timing) Turn() Bounds { return Bounds{Upper: t.upper(2 * cacheWait)} }

// WatchErrorMemory is how long the watch cache remembers an error of its store:
// the reset period of client-go's reflector (RetryWithDeadline).
func (t Timing) WatchErrorMemory() time.Duration { return time.Minute }

// LeaseTakeover bounds a fail-over after a leader that could not release its
// lease: it was renewed at most RetryPeriod before the fault, and a follower
// looks again after a jittered RetryPeriod.
func (t Timing) LeaseTakeover() Bounds {
	return Bounds{Lower: LeaseDuration - RetryPeriod, Upper: t.upper(LeaseDuration + FollowerRetry + RenewDeadline/2)}
}

// LeaseHeld bounds when it shows that a leader has kept its lease through a fault: by a renewal
// after the lease of before would have run out.
func (t Timing) LeaseHeld() Bounds {
	return Bounds{Lower: LeaseDuration, Upper: t.upper(LeaseDuration + 2*RetryPeriod)}
}

// LeaseReturn bounds how long a lone instance pauses after a crash, or after an outage in
// which it crashed again and again: the kubelet restarts it, after its back-off where it
// crashed before, and then it has to watch its own old lease for a whole LeaseDuration,
// because it counts from its own first look.
func (t Timing) LeaseReturn(outage time.Duration) Bounds {
	return Bounds{Lower: LeaseDuration, Upper: t.CrashLoopReturn(outage).Upper + t.upper(LeaseDuration+FollowerRetry)}
}

// LeaseRelease bounds a fail-over after a leader that releases its lease on exit.
func (t Timing) LeaseRelease() Bounds {
	return Bounds{Upper: t.upper(FollowerRetry + RetryPeriod)}
}

// LeaderGivesUp bounds how long a leader that cannot renew goes on.
func (t Timing) LeaderGivesUp() Bounds {
	return Bounds{Lower: RenewDeadline - RetryPeriod, Upper: t.upper(RenewDeadline + RetryPeriod + 3*time.Second)}
}

// LeaderlessGap bounds the time without any leader after one that could not renew: it gave
// up RenewDeadline after a try that began a RetryPeriod after its last renewal, and nobody
// takes over before LeaseDuration. That its end is seen a moment late is outweighed by the
// followers, who count from their own next look at that renewal.
func (t Timing) LeaderlessGap() Bounds {
	return Bounds{Lower: LeaseDuration - RenewDeadline - RetryPeriod, Upper: t.upper(LeaseDuration - RenewDeadline + FollowerRetry + RenewDeadline/2)}
}

// DeposedLeader bounds how long a leader that was stopped while another took over goes on
// afterwards: it tries for RenewDeadline to renew what it has lost.
func (t Timing) DeposedLeader() Bounds {
	return Bounds{Upper: t.upper(RenewDeadline + 2*RetryPeriod)}
}

// ServiceDropsServer bounds how long the service named kubernetes leads to a dead API
// server: its lease has to run out, which it renewed up to a whole endpointReconcile before it
// died, and another server to notice with its own next look.
func (t Timing) ServiceDropsServer() Bounds {
	return Bounds{Lower: endpointLease - endpointReconcile, Upper: t.upper(endpointLease + endpointReconcile)}
}

// ServiceFindsServer bounds when the service named kubernetes leads to API servers again that were
// all gone. The proxy of each node has heard how they took their leave, and asks again only when
// its watches' back-off is over, which an API server that is back does not end.
func (t Timing) ServiceFindsServer(outage time.Duration) Bounds {
	return Bounds{Upper: t.ControlPlaneReturn(outage).Upper + t.upper(reflectorRetry)}
}

// Termination bounds how long a static pod's process goes on that the kubelet has told to end.
func (t Timing) Termination() Bounds { return Bounds{Upper: t.upper(terminationGrace)} }

// StaticPodRestart bounds the kubelet's first restart of a dead static pod
// container, which has no back-off.
func (t Timing) StaticPodRestart() Bounds { return Bounds{Upper: t.upper(15 * time.Second)} }

// EndsAgain bounds how soon an API server ends that the kubelet has restarted without any etcd, from
// the end of the one before on: it waits for its store, in vain.
func (t Timing) EndsAgain() Bounds {
	return Bounds{Upper: t.StaticPodRestart().Upper + t.upper(storeDial)}
}

// DNSStart bounds when a DNS server answers that has started without the API, which it waits for
// first.
func (t Timing) DNSStart() Bounds { return Bounds{Upper: t.upper(2 * dnsStart)} }

// StaticPodReturn bounds a static pod's return after its manifest is back:
// the kubelet notices the file, ends its grace of removing, and starts it.
func (t Timing) StaticPodReturn() Bounds {
	return Bounds{Upper: t.upper(fileCheckFrequency + 40*time.Second)}
}

// CrashLoopReturn bounds a container's return after an outage in which it crashed again and
// again: the kubelet's back-off is at most as long as all those before it and the first one.
func (t Timing) CrashLoopReturn(outage time.Duration) Bounds {
	return Bounds{Upper: t.upper(min(outage+restartBackOff, t.Profile.MaxRestartPeriod) + 30*time.Second)}
}

// ControlPlaneReturn bounds the return of a component that is in back-off after an outage
// and then has to wait for a lease that nobody released.
func (t Timing) ControlPlaneReturn(outage time.Duration) Bounds {
	return Bounds{Upper: t.LeaseReturn(outage).Upper}
}

// WholeAgain bounds how long after an outage everything is as it was: nodes have booted, and
// the control plane has returned on them.
func (t Timing) WholeAgain(outage time.Duration) Bounds {
	return Bounds{Upper: t.NodeReturn().Upper + t.ControlPlaneReturn(outage).Upper}
}

// LoadBalancer bounds how long the load balancer sends to a dead API server.
func (t Timing) LoadBalancer() Bounds { return Bounds{Upper: t.upper(lbProbe + 3*time.Second)} }

// StandStill bounds how long a node may stand still whose memory is used up: until the kernel finds
// nothing to take back any more, and kills somebody. Nobody promises how long that is; a minute has
// been seen not to be enough.
func (t Timing) StandStill() Bounds { return Bounds{Upper: t.upper(2 * time.Minute)} }

// PastSilence bounds how long a new client takes to pass the first of so many addresses of a name,
// which is silent: each gets an equal share of its time to connect.
func (t Timing) PastSilence(addresses int) Bounds {
	return Bounds{Upper: t.upper(defaultDial/time.Duration(addresses) + time.Second)}
}

// LoadBalancerTakesBack bounds how soon the load balancer sends to an API server again whose
// own return takes so long.
func (t Timing) LoadBalancerTakesBack(server Bounds) Bounds {
	return Bounds{Upper: server.Upper + t.LoadBalancer().Upper}
}

// HandOverAfterRemoval bounds a fail-over from a leader whose manifest is taken or changed:
// the kubelet has to notice the file, the leader to end, and its lease to run out.
func (t Timing) HandOverAfterRemoval() Bounds {
	return Bounds{Upper: t.upper(fileCheckFrequency+terminationGrace) + t.LeaseTakeover().Upper}
}

// Forgotten bounds when kubelets have ended what an API that has forgotten everything does
// not know of: they connect to it again, and learn that they have no pods.
func (t Timing) Forgotten() Bounds {
	return Bounds{Upper: t.NodeReturn().Upper}
}

// Restored bounds a control plane's return from a backup: like a node's, with everything that
// has to be unpacked and started.
func (t Timing) Restored() Bounds { return Bounds{Upper: t.NodeReturn().Upper} }

// RestoredInAll bounds the same from the loss on, with leaders that have to wait for leases
// that the backup still holds.
func (t Timing) RestoredInAll() Bounds {
	return Bounds{Upper: t.Restored().Upper + t.MastersReturn().Upper}
}

// HostLoss bounds how long the API pauses when a host with a master dies: the
// load balancer has to notice, and etcd to elect.
func (t Timing) HostLoss() Bounds {
	return Bounds{Upper: t.LoadBalancer().Upper + t.EtcdElection().Upper}
}

// HostLossFailover bounds how long an elected component pauses when its
// leader's host dies. Where the leader was elsewhere nothing pauses at all.
func (t Timing) HostLossFailover() Bounds {
	return Bounds{Upper: t.LeaseTakeover().Upper + t.HostLoss().Upper}
}

// LeaseTakeoverAfterHostLoss bounds a fail-over from a leader whose host dies, with a member of etcd
// and an API server.
func (t Timing) LeaseTakeoverAfterHostLoss() Bounds {
	return Bounds{Lower: t.LeaseTakeover().Lower, Upper: t.HostLossFailover().Upper}
}

// NodeNotReady bounds when a silent node is marked: the grace period counts from
// the last lease renewal, which is up to nodeLeaseRenewal old.
func (t Timing) NodeNotReady() Bounds {
	g := t.Profile.NodeMonitorGracePeriod
	return Bounds{Lower: g - nodeLeaseRenewal, Upper: t.upper(g + 2*nodeMonitorPeriod)}
}

// NodeNoticed bounds when a controller manager that is back after an outage marks a node that
// fell silent meanwhile: it waits for the lease of the one before, and the grace period begins
// anew with its first look.
func (t Timing) NodeNoticed(outage time.Duration) Bounds {
	back := t.LeaseReturn(outage)
	return Bounds{Lower: back.Lower + t.Profile.NodeMonitorGracePeriod, Upper: back.Upper + t.NodeNotReady().Upper}
}

// EndpointsGone bounds when nobody is led to a silent node's pods any more: with the node
// they are called not ready, and every node's kube-proxy follows.
func (t Timing) EndpointsGone() Bounds {
	return Bounds{Upper: t.NodeNotReady().Upper + t.upper(2*time.Second)}
}

// Eviction bounds when the pods of a silent node are marked for deletion: the toleration
// that the API server gives them counts from the taint. The taint manager lets the first
// node through at once.
func (t Timing) Eviction() Bounds {
	silent, tolerated := t.NodeNotReady(), t.Profile.NodeTolerations
	return Bounds{Lower: silent.Lower + tolerated, Upper: silent.Upper + t.upper(tolerated+nodeMonitorPeriod)}
}

// EvictionAfterMark bounds the same from the mark on, by its time stamp, which is cut to whole
// seconds: never sooner than the pods tolerate the taint, which comes with the mark or, where that
// fails, with the next look at the nodes.
func (t Timing) EvictionAfterMark() Bounds {
	tolerated := t.Profile.NodeTolerations
	return Bounds{Lower: tolerated, Upper: t.upper(tolerated + nodeMonitorPeriod)}
}

// LongSilence is for how long a node stays silent after its mark where its pods tolerate more than
// others do: long enough that others would be evicted, unless those tolerate minutes. It is not
// scaled: it is how long something is done, and no bound.
func (t Timing) LongSilence() time.Duration {
	return min(t.Profile.NodeTolerations+2*nodeMonitorPeriod, 2*time.Minute)
}

// nodeEvictionPause is the time between two silent nodes that are given up, the first one
// excepted (controller manager --node-eviction-rate, 0.1 a second).
const nodeEvictionPause = 10 * time.Second

// EvictionOf bounds when the pods of so many nodes that fell silent together are marked for
// deletion.
func (t Timing) EvictionOf(nodes int) Bounds {
	b := t.Eviction()
	b.Upper += t.upper(time.Duration(nodes-1) * nodeEvictionPause)
	return b
}

// EvictionTakenBack bounds when no node is given up any more because all are silent: the
// controller manager looks at them together.
func (t Timing) EvictionTakenBack() Bounds { return Bounds{Upper: t.upper(2 * nodeMonitorPeriod)} }

// StaleEndpoints bounds how long a service leads to a node that died while the API was
// down, from the API's return on: a controller manager has to lead, and to wait for the
// node's grace period, which begins anew with it.
func (t Timing) StaleEndpoints(outage time.Duration) Bounds {
	return Bounds{Upper: t.ControlPlaneReturn(outage).Upper + t.EndpointsGone().Upper}
}

// LongerThanEviction is an outage after which every pod would be evicted whose node was
// silent for so long. It is not scaled: faults end by themselves some time.
func (t Timing) LongerThanEviction() time.Duration {
	return t.Profile.NodeMonitorGracePeriod + t.Profile.NodeTolerations + 2*nodeMonitorPeriod
}

// Replacement bounds how long a service is missed whose pods were all on a silent node:
// until they are evicted, and others run.
func (t Timing) Replacement() Bounds {
	evicted := t.Eviction()
	return Bounds{Lower: evicted.Lower, Upper: evicted.Upper + t.Binding().Upper}
}

// OutOfService bounds how soon the pods of a dead node run elsewhere once it is tainted as out
// of service: the next pod garbage collection deletes those that wait for it by force.
func (t Timing) OutOfService() Bounds {
	return Bounds{Upper: t.upper(podCollection) + t.Binding().Upper}
}

// OrphansCollected bounds how long the pods of a node that was deleted are kept: a pod garbage
// collection finds them, and the first one after their quarantine deletes them.
func (t Timing) OrphansCollected() Bounds {
	return Bounds{Upper: t.upper(podCollection + orphanQuarantine + podCollection)}
}

// EventsForgotten bounds how long an Event is kept. Nothing of it depends on the machine.
func (t Timing) EventsForgotten() Bounds {
	return Bounds{Lower: eventTTL, Upper: eventTTL + leaseReuse}
}

// UnnoticedBlackout is how long a machine may be frozen, at any moment, without a leader that
// gives up or a node that is called silent: half of what the sooner of them takes. Like the
// other blackouts it is not scaled: it is how long something is done, and no bound.
func (t Timing) UnnoticedBlackout() time.Duration {
	return min(RenewDeadline, t.NodeNotReady().Lower) / 2
}

// UnnoticedEtcdBlackout is the same for a member of etcd: half of what the others wait for
// their leader. API servers whose member is frozen hang with it, and their clients' renewals.
func (t Timing) UnnoticedEtcdBlackout() time.Duration { return etcdElectionTimeout / 2 }

// DisputedBlackout is one in which a leader whose renewal is cut off gives up, and one that
// is between two renewals goes on: nobody else may have its lock yet.
func (t Timing) DisputedBlackout() time.Duration { return (RenewDeadline + LeaseDuration) / 2 }

// Blackout bounds how long is missed what a machine does that is frozen for so long: requests
// that hung are asked again after a second.
func (t Timing) Blackout(length time.Duration) Bounds {
	return Bounds{Upper: t.upper(length + time.Second)}
}

// RuntimeNotReady bounds when a node without a container runtime says so: the kubelet
// looks at its runtime every runtimeCheck, forgives it for runtimeGrace, and then tells
// with its next status.
func (t Timing) RuntimeNotReady() Bounds {
	return Bounds{Lower: runtimeGrace - runtimeCheck, Upper: t.upper(runtimeGrace + runtimeCheck + nodeStatusUpdate)}
}

// UnderPressure bounds when a node says that it is short of something: its kubelet looks every
// evictionMonitoring, and tells with its next status.
func (t Timing) UnderPressure() Bounds {
	return Bounds{Upper: t.upper(evictionMonitoring + nodeStatusUpdate)}
}

// PressureOver bounds how long a node says so when a single eviction was enough, by its own
// time stamps, which are whole seconds. The kubelet waits for the transition period
// (--eviction-pressure-transition-period) from the last time that it saw the shortage; its first
// status may have come a whole nodeStatusUpdate, which it spreads by 4 %, after the first time.
func (t Timing) PressureOver(transition time.Duration) Bounds {
	return Bounds{
		Lower: transition - nodeStatusUpdate - nodeStatusUpdate/25 - time.Second,
		Upper: t.upper(transition + 2*evictionMonitoring + nodeStatusUpdate),
	}
}

// AddressMoves bounds how long an address is missed whose balancer has died: keepalived's
// backup waits for three advertisements, a second apart, and clients connect anew.
func (t Timing) AddressMoves() Bounds { return Bounds{Upper: t.upper(3*time.Second + 3*time.Second)} }

// LoadBalancerReturn bounds how soon requests pass a load balancer that is back: it starts,
// and asks every server.
func (t Timing) LoadBalancerReturn() Bounds { return Bounds{Upper: t.upper(lbProbe + 10*time.Second)} }

// NodeReturn bounds a node's way from its container's start to Ready.
func (t Timing) NodeReturn() Bounds { return Bounds{Upper: t.upper(nodeBoot)} }

// MastersReturn bounds how long it takes until masters that were all rebooted elect again:
// their boot, in which components crash until etcd is there, and the lease of those who led
// before. What crashed before the boot is forgotten.
func (t Timing) MastersReturn() Bounds { return t.WholeAgain(nodeBoot) }

// MemberReturn bounds an etcd member's way back after its process is started.
func (t Timing) MemberReturn() Bounds { return Bounds{Upper: t.upper(60 * time.Second)} }

// ControlLoops bounds how soon control loops carry out what is asked of them: that which ends
// namespaces waits for namespaceGrace first.
func (t Timing) ControlLoops() Bounds { return Bounds{Upper: t.upper(2 * namespaceGrace)} }

// Binding bounds how soon waiting pods are bound once a scheduler leads.
func (t Timing) Binding() Bounds { return Bounds{Upper: t.upper(30 * time.Second)} }

// ImageRefused bounds when a pod waits for an image that nobody gives (ImagePullBackOff): the
// kubelet looks at the pod again before it may try the next time, at the latest after its second
// try, before the third.
func (t Timing) ImageRefused() Bounds { return Bounds{Upper: t.upper(3 * imageBackOff)} }

// ImageRetried bounds when an image is there that could not be pulled for as long as an outage
// took: each pause between two tries is at most as long as all before it and the first one.
func (t Timing) ImageRetried(outage time.Duration) Bounds {
	return Bounds{Upper: t.upper(min(outage+imageBackOff, maxImageBackOff) + imageBackOff)}
}

// TokenExpires bounds when a bootstrap token is good for nothing any more that was made for a
// time: its expiry is noted in whole seconds, and API servers remember whom they have let in.
func (t Timing) TokenExpires(after time.Duration) Bounds {
	return Bounds{Lower: after - time.Second, Upper: t.upper(after + tokenMemory)}
}

// KeptConnection bounds how long a client is led to an API server that answers with errors:
// a load balancer gives it no new connections, and leaves those that are there until the
// kubelet has ended the server.
func (t Timing) KeptConnection() Bounds {
	return Bounds{Upper: t.Liveness().Upper + t.LoadBalancer().Upper}
}

// Liveness is when the kubelet has ended a container that fails its probe. Probes that fail at
// once follow each other in livenessPeriod; those that get no answer, in livenessTimeout. One may
// have been under way when the container began to fail.
func (t Timing) Liveness() Bounds {
	return Bounds{
		Lower: (livenessFailures - 2) * livenessPeriod,
		Upper: t.upper(t.LongerThanLiveness()),
	}
}

// LongerThanLiveness is an outage after which every container would have ended that failed its
// probe throughout. Like LongerThanEviction it is not scaled.
func (t Timing) LongerThanLiveness() time.Duration {
	return livenessPeriod + livenessFailures*livenessTimeout + terminationGrace
}
