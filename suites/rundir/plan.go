package rundir

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"faultline/reports/record"
)

// Plan is what a run is going to do, for those who watch it.
type Plan struct {
	StartedAt time.Time `json:"startedAt"`
	// Clusters is how long all clusters take to come up, in seconds.
	Clusters float64 `json:"clusters"`
	// Experiments are how long each is likely to take, in seconds, by its name.
	Experiments map[string]float64 `json:"experiments"`
}

// Seconds is how long all of it is likely to take.
func (p Plan) Seconds() float64 {
	all := p.Clusters
	for _, s := range p.Experiments {
		all += s
	}
	return all
}

func (d Dir) plan() string { return filepath.Join(d.Results, "plan.json") }

// SavePlan writes the plan where the suite's processes find it.
func (d Dir) SavePlan(p Plan) error {
	return record.SaveJSON(d.plan(), p)
}

// LoadPlan reads it; a run without one has an empty one.
func (d Dir) LoadPlan() (Plan, error) {
	var p Plan
	text, err := os.ReadFile(d.plan())
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	return p, err
}

// sabotaged ends the name of the file that notes a sabotage run.
const sabotaged = ".sabotaged"

// NoteSabotage notes that a sabotage run has ended, of which no experiment is kept.
func (d Dir) NoteSabotage(id string) error {
	return os.WriteFile(filepath.Join(d.State, id+sabotaged), nil, 0o600)
}

// Done counts the experiments and the sabotage runs that have ended.
func (d Dir) Done() int {
	return matches(d.Experiments(), "*.json") + matches(d.State, "*"+sabotaged)
}

// matches counts files. The only error there is concerns the pattern.
func matches(folder, pattern string) int {
	files, _ := filepath.Glob(filepath.Join(folder, pattern))
	return len(files)
}
