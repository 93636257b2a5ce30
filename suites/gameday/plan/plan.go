// Package plan holds what a game day is going to do to one cluster, as a file that people
// read before anything happens, and that fits no other cluster and no other day.
package plan

import (
	"time"

	"faultline/suites/gameday/stop"
)

// Version is that of the plans which this package reads and writes.
const Version = 1

// The limits of how long a fault is held: a shorter one shows nothing, a longer one is an
// outage.
const (
	minHold = Duration(time.Second)
	maxHold = Duration(time.Hour)
)

// Duration is a time.Duration that is written like 90s.
type Duration = stop.Duration

// Plan is a game day.
type Plan struct {
	Version   int       `yaml:"version"`
	CreatedAt time.Time `yaml:"createdAt"`
	ExpiresAt time.Time `yaml:"expiresAt"`
	Target    Target    `yaml:"target"`
	// Unknown is what could not be discovered about the cluster.
	Unknown     []string     `yaml:"unknown"`
	Experiments []Experiment `yaml:"experiments"`
	Stop        stop.Limits  `yaml:"stop"`
}

// Target is the cluster as it was found.
type Target struct {
	// Name is for people, Server is the URL of the API.
	Name   string `yaml:"name"`
	Server string `yaml:"server"`
	// CA is sha256: and the hexadecimal digest of the cluster's CA certificate (DER).
	CA string `yaml:"ca"`
	// UID is that of the namespace kube-system.
	UID string `yaml:"uid"`
	// Consent is the UID and the resourceVersion of the consent, with a slash between them.
	Consent string `yaml:"consent"`
	Nodes   []Node `yaml:"nodes"`
}

// Node is one of the cluster's. Host and Address are empty where they are not known.
type Node struct {
	Name       string   `yaml:"name"`
	Role       string   `yaml:"role"`
	Host       string   `yaml:"host,omitempty"`
	Address    string   `yaml:"address,omitempty"`
	Components []string `yaml:"components"`
}

// Experiment is one fault, and what it is expected to do.
type Experiment struct {
	Name string `yaml:"name"`
	// Fault is a fault.Kind, and Family its family.
	Fault  string `yaml:"fault"`
	Family string `yaml:"family"`
	// Targets are what is hit, as in "kube-scheduler on n1".
	Targets []string `yaml:"targets"`
	// Nodes are those of the targets.
	Nodes []string `yaml:"nodes"`
	// Losing names components whose majority or last instance is lost on purpose.
	Losing []string `yaml:"losing"`
	// Hold is how long the fault is held, Takes about how long it takes from the injection
	// until all is healed.
	Hold      Duration   `yaml:"hold"`
	Predicted Prediction `yaml:"predicted"`
	Takes     Duration   `yaml:"takes"`
	// Undo is how the fault is taken back.
	Undo string `yaml:"undo"`
}

// Prediction is what still works while a fault is held.
type Prediction struct {
	// Writable: clients can write. Controlled: in addition, a scheduler and a controller
	// manager work.
	Writable   bool `yaml:"writable"`
	Controlled bool `yaml:"controlled"`
}
