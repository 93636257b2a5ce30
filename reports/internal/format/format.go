// Package format writes figures of a record for people, alike in every rendering.
package format

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"faultline/reports/record"
)

// Seconds writes a duration with three significant figures or so: 214 ms,
// 3.41 s, 41.2 s, 4m05s.
func Seconds(s float64) string {
	switch a := math.Abs(s); {
	case a == 0:
		return "0 s"
	case a < 0.001:
		return fmt.Sprintf("%.2f ms", s*1000)
	case a < 0.01:
		return fmt.Sprintf("%.1f ms", s*1000)
	case a < 0.9995:
		return fmt.Sprintf("%.0f ms", s*1000)
	case a < 9.995:
		return fmt.Sprintf("%.2f s", s)
	case a < 99.95:
		return fmt.Sprintf("%.1f s", s)
	}
	d := time.Duration(math.Round(s)) * time.Second
	if d.Abs() < time.Hour {
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Abs().Seconds())%60)
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Abs().Minutes())%60)
}

// Bounds writes what an observation's duration was held against; empty where
// it was not bounded.
func Bounds(o record.Observation) string {
	switch {
	case o.Lower != nil && o.Upper != nil:
		return Seconds(*o.Lower) + " to " + Seconds(*o.Upper)
	case o.Upper != nil:
		return "at most " + Seconds(*o.Upper)
	case o.Lower != nil:
		return "at least " + Seconds(*o.Lower)
	default:
		return ""
	}
}

// Recovery writes the recovery time of an experiment; empty where it has none.
func Recovery(e *record.Experiment) string {
	if s, ok := e.Recovery(); ok {
		return Seconds(s)
	}
	return ""
}

// Memory writes a size in GiB.
func Memory(bytes uint64) string { return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30)) }

// Pressure writes how short a machine was of its resources.
func Pressure(p *record.Pressure) string {
	return fmt.Sprintf("some process of the machine had to wait for a CPU for %.0f %% of the time, for memory for %.0f %%, and for a disk for %.0f %%",
		100*p.CPU, 100*p.Memory, 100*p.Disk)
}

// Machine writes on what an experiment ran, as far as it is known.
func Machine(e record.Environment) string {
	var parts []string
	add := func(known bool, text string) {
		if known {
			parts = append(parts, text)
		}
	}
	add(e.Cores != 0, Count(e.Cores, "core"))
	add(e.MemoryBytes != 0, Memory(e.MemoryBytes))
	add(e.Engine != "", e.Engine)
	add(e.Kernel != "", "kernel "+e.Kernel)
	add(e.Slack != 0, "slack "+strconv.FormatFloat(e.Slack, 'g', -1, 64))
	if len(parts) == 0 {
		return "an unknown machine"
	}
	return strings.Join(parts, ", ")
}

// Count writes a number with its noun: 1 experiment, 3 experiments.
func Count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return strconv.Itoa(n) + " " + noun
}

// Sabotaged writes how many sabotage runs turned red. One that does not is a failure of the harness.
func Sabotaged(n int) string {
	they := "they"
	if n == 1 {
		they = "it"
	}
	return Count(n, "sabotage run") + " turned red, as " + they + " must"
}

// Counts writes how many came to each verdict: 10 held, 2 broken.
func Counts(c record.Counts) string {
	var parts []string
	for _, v := range append(slices.Clone(record.Verdicts), record.Untested) {
		if n := c.Of(v); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, v))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}
