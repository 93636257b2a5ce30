// Package consent reads what the owner of a cluster allows the suite to do to it.
//
// The consent is an object in the cluster itself, where only those may write who own the
// cluster anyway, and it names that cluster: nobody consents for another one by mistake.
package consent

import (
	"time"
	_ "time/tzdata" // hours mean the same on a machine without a database of time zones

	"faultline/suites/gameday/strict"
)

// Where the consent is: a key of a ConfigMap.
const (
	Namespace = "kube-system"
	Name      = "faultline-consent"
	Key       = "consent.yaml"
)

// version is that of the consents which this package reads.
const version = 1

// Consent is what a cluster's owner allows.
type Consent struct {
	Version int `yaml:"version"`
	// Cluster is the UID of the namespace kube-system. A consent that was copied to another
	// cluster is none there.
	Cluster string `yaml:"cluster"`
	// Owner is whom to call.
	Owner string `yaml:"owner"`
	// Families are those of faults, see fault.Entry.
	Families []string `yaml:"families"`
	// Namespaces are where objects may be created; empty: nowhere.
	Namespaces []string `yaml:"namespaces"`
	Radius     Radius   `yaml:"radius"`
	// Hours are when something may be done; nil: at any time until Expires.
	Hours *Hours `yaml:"hours,omitempty"`
	// Expires ends the consent.
	Expires time.Time `yaml:"expires"`
}

// Radius is how much may be hit.
type Radius struct {
	// Nodes is the most that may be hit at the same time.
	Nodes int `yaml:"nodes"`
	// Losing names components whose majority or last instance may be lost on purpose;
	// empty: none.
	Losing []string `yaml:"losing"`
}

// Parse reads the text of a consent. Its error joins everything that is wrong with the
// text, and names the field and what is wanted for each. Whether the consent is in force,
// or lasts too long, takes more than its text: see Consent.Allows for the former.
func Parse(text []byte) (Consent, error) {
	var c Consent
	problems := strict.Decode(text, &c)
	if err := problems.And(c.check()).Err(); err != nil {
		return Consent{}, err
	}
	return c, nil
}
