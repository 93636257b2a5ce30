package recovery

import "testing"

func TestCleanTellsEveryTrouble(t *testing.T) {
	all := map[string]uint32{"a": 1, "b": 1, "c": 1}
	for name, c := range map[string]struct {
		is    outcome
		clean bool
	}{
		"a restore":                  {outcome{keys: 100, hashes: all}, true},
		"a member that refuses":      {outcome{keys: 100, hashes: map[string]uint32{"a": 1, "b": 1}, refused: map[string]string{"c": "it ended"}}, false},
		"lost keys":                  {outcome{keys: 99, hashes: all}, false},
		"keys that nobody has asked": {outcome{keys: 101, hashes: all}, false},
		"other data":                 {outcome{keys: 100, hashes: map[string]uint32{"a": 1, "b": 2, "c": 1}}, false},
		"nobody":                     {outcome{keys: -1, refused: map[string]string{"a": "", "b": "", "c": ""}}, false},
	} {
		if err := c.is.clean(100); (err == nil) != c.clean {
			t.Errorf("%s is clean: %v", name, err)
		}
	}
}

func TestOutcomesAreToldApart(t *testing.T) {
	one := outcome{keys: 100, hashes: map[string]uint32{"a": 1, "b": 1}, refused: map[string]string{"c": "entry 7"}}
	for name, c := range map[string]struct {
		other outcome
		like  bool
	}{
		"the same in another run": {outcome{keys: 100, hashes: map[string]uint32{"a": 2, "b": 2}, refused: map[string]string{"c": "entry 8"}}, true},
		"other keys":              {outcome{keys: 150, refused: one.refused}, false},
		"another refuses":         {outcome{keys: 100, refused: map[string]string{"b": "entry 7"}}, false},
		"nobody refuses":          {outcome{keys: 100}, false},
	} {
		if one.like(c.other) != c.like {
			t.Errorf("%s is like it: %t, want %t", name, !c.like, c.like)
		}
	}
}
