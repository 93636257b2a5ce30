package html

import (
	"slices"

	"faultline/reports/internal/format"
	"faultline/reports/record"
)

// recoveryPhase is how the page calls a phase of a recovery, and what it means.
type recoveryPhase struct{ Name, Label, Meaning string }

var recoveryPhases = []recoveryPhase{
	{record.PhaseLanded, "fault landed", "the fault's effect was proven"},
	{record.PhaseUndone, "undone", "the fault was taken back"},
	{record.PhaseDetected, "detected", "the first request of a probe had failed"},
	{record.PhaseEtcdLeader, "etcd leader", "etcd had a new leader, or one again"},
	{record.PhaseAPIReady, "API ready", "writes were accepted, and no outage followed"},
	{record.PhaseSchedulerLease, "scheduler lease", "the scheduler's lease had a new holder"},
	{record.PhaseControllerManagerLease, "controller manager lease", "the controller manager's lease had a new holder"},
	{record.PhasePodBound, "pod bound", "the scheduler placed a pod, and no outage followed"},
	{record.PhaseReconciled, "reconciled", "a controller took notice of a change of a deployment, and no outage followed"},
	{record.PhaseWorkloadServing, "workload serving", "the workload and its service answered on every node, and no outage followed"},
}

// recoveryTable has a row for each fault and undo, and a column for each phase that one of
// them reached.
type recoveryTable struct {
	Columns []recoveryPhase
	Rows    []recoveryRow
}

type recoveryRow struct {
	After string
	At    float64
	Cells []string // empty where a phase was not reached
}

// RecoveryTable is nil without recoveries, as in older records.
func (x experiment) RecoveryTable() *recoveryTable {
	if len(x.Recoveries) == 0 {
		return nil
	}
	t := &recoveryTable{}
	for _, p := range recoveryPhases {
		if slices.ContainsFunc(x.Recoveries, func(r record.Recovery) bool { return reached(r, p.Name) != "" }) {
			t.Columns = append(t.Columns, p)
		}
	}
	for _, r := range x.Recoveries {
		row := recoveryRow{After: r.After, At: r.At}
		for _, p := range t.Columns {
			row.Cells = append(row.Cells, reached(r, p.Name))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// reached is after how long a recovery reached a phase; empty where it did not.
func reached(r record.Recovery, phase string) string {
	for _, p := range r.Phases {
		if p.Name == phase {
			return format.Seconds(p.Seconds)
		}
	}
	return ""
}
