package consent

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// Clock is a time of day in minutes since midnight, up to 24:00.
type Clock int

var clock = regexp.MustCompile(`^([01][0-9]|2[0-3]):([0-5][0-9])$|^(24):(00)$`)

// UnmarshalYAML takes a time such as 09:00.
func (c *Clock) UnmarshalYAML(n *yaml.Node) error {
	m := clock.FindStringSubmatch(n.Value)
	if m == nil {
		return errors.New(`a time of day such as "09:00"`)
	}
	hours, _ := strconv.Atoi(m[1] + m[3])
	minutes, _ := strconv.Atoi(m[2] + m[4])
	*c = Clock(60*hours + minutes)
	return nil
}

// MarshalText writes what UnmarshalYAML takes.
func (c Clock) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

func (c Clock) String() string { return fmt.Sprintf("%02d:%02d", c/60, c%60) }
