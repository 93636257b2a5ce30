package probe

import (
	"strings"
	"time"

	"faultline/fault"
	"faultline/reports/record"
)

// FaultRecord is an injection as the record knows it, on the clock of the probes.
func FaultRecord(i *fault.Injection, clock Clock) record.Fault {
	at := i.Instants()
	instants := map[string]float64{}
	for state, instant := range map[fault.State]time.Time{
		fault.Planned: at.Planned, fault.Armed: at.Armed, fault.Injected: at.Injecting,
		fault.Landed: at.Landed, fault.Undone: at.Undone, fault.Healed: at.Healed,
	} {
		if !instant.IsZero() {
			instants[string(state)] = clock.At(instant).Seconds()
		}
	}
	return record.Fault{
		ID: i.ID, Name: i.Fault.String(), Kind: string(i.Fault.Kind), Node: strings.Join(i.Fault.Nodes(), ", "),
		Target: strings.Join(i.Fault.Targets(), ", "), State: string(i.State()), Proof: i.Proof(), Instants: instants,
	}
}
