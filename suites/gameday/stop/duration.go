package stop

import (
	"errors"
	"fmt"
	"time"

	"go.yaml.in/yaml/v3"
)

// Duration is a time.Duration that is written like 90s or 1.5s in YAML and JSON.
type Duration time.Duration

// String is the duration in seconds, or as time.Duration has it where there is a fraction.
func (d Duration) String() string {
	if whole := time.Duration(d); whole%time.Second != 0 {
		return whole.String()
	}
	return fmt.Sprintf("%ds", time.Duration(d)/time.Second)
}

// MarshalText writes what UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads a number with its unit.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return errors.New("a duration with its unit such as 90s")
	}
	*d = Duration(parsed)
	return nil
}

// UnmarshalYAML reads a number with its unit, and no bare 0.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	if n.ShortTag() != "!!str" {
		return d.UnmarshalText(nil)
	}
	return d.UnmarshalText([]byte(n.Value))
}
