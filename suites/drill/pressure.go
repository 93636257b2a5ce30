package drill

import (
	"errors"
	"time"

	"github.com/prometheus/procfs"

	"faultline/reports/record"
)

// pressure is for how long, since this machine was started, some of its processes had to wait for
// each of its resources. An experiment on a machine that is short of them says little of Kubernetes.
type pressure struct{ cpu, memory, disk, at time.Duration }

// pressureOf reads /proc/pressure. It fails where the kernel keeps no account, and elsewhere than on Linux.
func pressureOf(proc string, now time.Duration) (pressure, error) {
	p := pressure{at: now}
	fs, err := procfs.NewFS(proc)
	if err != nil {
		return p, err
	}
	for resource, waited := range map[string]*time.Duration{"cpu": &p.cpu, "memory": &p.memory, "io": &p.disk} {
		stats, err := fs.PSIStatsForResource(resource)
		if err != nil {
			return p, err
		}
		if stats.Some == nil {
			return p, errors.New("the kernel does not tell how long some processes waited for " + resource)
		}
		*waited = time.Duration(stats.Some.Total) * time.Microsecond
	}
	return p, nil
}

// since is what share of the time it was from an earlier look on.
func (p pressure) since(before pressure) record.Pressure {
	passed := max(time.Millisecond, p.at-before.at).Seconds()
	share := func(now, then time.Duration) float64 { return min(1, max(0, (now-then).Seconds()/passed)) }
	return record.Pressure{CPU: share(p.cpu, before.cpu), Memory: share(p.memory, before.memory), Disk: share(p.disk, before.disk)}
}

// pressureAt is this machine's now; nil where it is not known.
func pressureAt(now time.Duration) *pressure {
	p, err := pressureOf(procfs.DefaultMountPoint, now)
	if err != nil {
		return nil
	}
	return &p
}

// notePressure puts into the record how short this machine was of what, where that is known.
func (d *Drill) notePressure() {
	if now := pressureAt(d.now()); now != nil && d.pressure != nil {
		share := now.since(*d.pressure)
		d.experiment.Pressure = &share
	}
}
