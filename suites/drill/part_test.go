package drill

import (
	"testing"

	"faultline/reports/record"
	"faultline/suites/probe"
)

func TestAmongFailures(t *testing.T) {
	for name, c := range map[string]struct {
		ways           string
		served, failed int
	}{
		"nothing fails":            {"++++", 0, 0},
		"everything fails":         {"++--------++", 0, 8},
		"a part fails":             {"++-+--+-++", 2, 4},
		"it cannot be told":        {"++?-+?-++", 1, 2},
		"who should tell is blind": {"++bbb+bb++", 0, 0},
	} {
		var samples []probe.Sample
		for _, way := range c.ways {
			samples = append(samples, map[rune]probe.Sample{
				'+': {Way: record.Up}, '-': {Way: record.TimedOut}, '?': {Way: record.Starved}, 'b': {Way: record.Refused, Blind: true},
			}[way])
		}
		if served, failed := amongFailures(samples); served != c.served || failed != c.failed {
			t.Errorf("%s: %d served and %d failed, want %d and %d", name, served, failed, c.served, c.failed)
		}
	}
}
