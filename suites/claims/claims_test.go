package claims

import (
	"strings"
	"testing"
)

func TestCatalogueLoads(t *testing.T) {
	list, err := load(catalogue)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) == 0 {
		t.Fatal("the catalogue is empty")
	}
}

func TestLoadRefuses(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"unknown field": {"- {id: A-1, statement: s, source: x, expected: e, colour: red}", "colour"},
		"twice":         {"- {id: A-1, statement: s, source: x, expected: e}\n- {id: A-1, statement: s, source: x, expected: e}", "twice"},
		"no source":     {"- {id: A-1, statement: s, expected: e}", "source"},
		"no list":       {"id: A-1", "catalogue"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := load([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestFind(t *testing.T) {
	if c, err := Find("ETCD-02"); err != nil || c.Group() != "ETCD" {
		t.Fatalf("got %v, %v", c, err)
	}
	if _, err := Find("ETCD-999"); err == nil {
		t.Fatal("an unknown claim was found")
	}
}
