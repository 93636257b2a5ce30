package html

import (
	"reflect"
	"testing"
)

func TestLinesOf(t *testing.T) {
	tests := map[string][]lines{
		"A:L26":                       {{"A", 26, 26}},
		"A:L26-27, B:L11-12":          {{"A", 26, 27}, {"B", 11, 12}},
		"A:L50 (1-host table, row 1)": {{"A", 50, 50}},
		"A:L27 (2+), L33, L55":        {{"A", 27, 27}, {"A", 33, 33}, {"A", 55, 55}},
		"B:L5-L13":                    {{"B", 5, 13}},
		"hearsay of LB-02":            nil,
	}
	for source, want := range tests {
		if got := linesOf(source); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %v, want %v", source, got, want)
		}
	}
}

func TestOverlap(t *testing.T) {
	for other, want := range map[string]bool{"A:L28": true, "A:L20-26": true, "A:L30-40": true, "A:L31": false, "A:L25": false, "B:L28": false} {
		if got := overlap(linesOf("A:L1, A:L26-30"), linesOf(other)); got != want {
			t.Errorf("A:L26-30 and %s: %t", other, got)
		}
	}
}
