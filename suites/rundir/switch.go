package rundir

import (
	"fmt"
	"os"
	"strconv"
)

// KeepVariable names the switch that keeps the run's last cluster for a look.
const KeepVariable = "SKIP_RESOURCE_CLEANUP"

// KeepsCluster tells whether that is so. A word that nobody understands keeps it: the command
// refuses such a word before anything is created, and what is kept can still be removed.
func KeepsCluster() bool {
	keeps, err := Switch(KeepVariable)
	return keeps || err != nil
}

// Switch reads a variable that is on or off; unset means off.
func Switch(variable string) (bool, error) {
	text := os.Getenv(variable)
	if text == "" {
		return false, nil
	}
	on, err := strconv.ParseBool(text)
	if err != nil {
		return false, fmt.Errorf("%s=%q: want 1 or 0", variable, text)
	}
	return on, nil
}
