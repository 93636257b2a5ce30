package drill

import "testing"

func TestOnlyChanged(t *testing.T) {
	before := []string{"a", "b"}
	for name, c := range map[string]struct {
		now, expected []string
		ok            bool
	}{
		"nothing":                     {[]string{"a", "b"}, nil, true},
		"what is expected":            {[]string{"a", "b", "c has --v=1"}, []string{"has --v=1"}, true},
		"something came":              {[]string{"a", "b", "c"}, nil, false},
		"something went":              {[]string{"a"}, nil, false},
		"what is expected is missing": {[]string{"a", "b"}, []string{"has --v=1"}, false},
		"more than what is expected":  {[]string{"a", "b", "c has --v=1", "d"}, []string{"has --v=1"}, false},
	} {
		if err := OnlyChanged(before, c.now, c.expected...); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
