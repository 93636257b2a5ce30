package page

import (
	"time"

	"faultline/reports/record"
)

// Snapshot is what the page shows.
type Snapshot struct {
	Cluster    string      `json:"cluster"` // name of the cluster
	Server     string      `json:"server"`  // API address
	Now        time.Time   `json:"now"`
	Phase      Phase       `json:"phase"`
	Message    string      `json:"message"` // one sentence about what happens now
	Components []Component `json:"components"`
	Probes     []Probe     `json:"probes"`
	Experiment *Experiment `json:"experiment,omitempty"`
	Conditions []Condition `json:"conditions"`
	Notes      []Note      `json:"notes"`
	Done       []Done      `json:"done"`              // experiments that are over
	Aborted    string      `json:"aborted,omitempty"` // why the day was aborted
}

// Phase is what the game day is doing.
type Phase string

// The phases of a game day. All but the first and the last come round with each experiment.
const (
	Preparing Phase = "preparing"
	Waiting   Phase = "waiting" // for approval
	Breaking  Phase = "breaking"
	Holding   Phase = "holding"
	Undoing   Phase = "undoing"
	Healing   Phase = "healing"
	Over      Phase = "over"
)

// Component is an instance of a part of the control plane, and where it runs.
type Component struct {
	Name  string `json:"name"`
	Node  string `json:"node"`
	State string `json:"state"` // up, down, unknown
	Leads bool   `json:"leads"`
}

// Probe is what one probe at one vantage point saw lately.
type Probe struct {
	Name      string        `json:"name"`
	Vantage   string        `json:"vantage"`
	Way       record.Way    `json:"way"`       // now; empty before the first sample
	ErrorRate float64       `json:"errorRate"` // the part of the samples that failed, 0 to 1
	P50       float64       `json:"p50"`       // of successful samples, in seconds; 0 where there is none
	Spans     []record.Span `json:"spans"`     // of the last Window seconds, offsets on the clock of Seconds
	Seconds   float64       `json:"seconds"`   // now on that clock
	Window    float64       `json:"window"`    // seconds that are shown
}

// Experiment is the one that waits for approval or is under way.
type Experiment struct {
	ID         string   `json:"id"`
	Number     int      `json:"number"` // from 1
	Of         int      `json:"of"`
	Name       string   `json:"name"`
	Fault      string   `json:"fault"`
	Targets    []string `json:"targets"`
	Prediction string   `json:"prediction"`
	Observed   string   `json:"observed"`
	Undo       string   `json:"undo"`
	// Since and Until are those of the fault; zero before it landed.
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`
}

// Condition is an abort condition; Met means that the day is to be aborted.
type Condition struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Limit string `json:"limit"`
	Met   bool   `json:"met"`
}

// Note is what somebody wrote down, or the game day itself.
type Note struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// Done is an experiment that is over.
type Done struct {
	Name    string `json:"name"`
	Outcome string `json:"outcome"`
	OK      bool   `json:"ok"`
}
