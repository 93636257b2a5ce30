package rundir

import (
	"path/filepath"
	"testing"
)

func TestNewMakesBothPlaces(t *testing.T) {
	t.Setenv("ARTIFACTS", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv(Variable, "")
	d, err := New()
	if err != nil {
		t.Fatal(err)
	}
	left, err := Remaining()
	if err != nil || len(left) != 1 || left[0].State != d.State {
		t.Fatalf("got %v, %v, want the state of %s", left, err, d.Run)
	}
	if err := d.RemoveState(); err != nil {
		t.Fatal(err)
	}
	if left, _ := Remaining(); len(left) != 0 {
		t.Fatalf("state remains: %v", left)
	}
}

func TestNewRefusesAStrangeName(t *testing.T) {
	t.Setenv(Variable, "../../etc")
	if _, err := New(); err == nil {
		t.Fatal("a run name with a path was accepted")
	}
}

func TestNewestWithoutARun(t *testing.T) {
	t.Setenv("ARTIFACTS", filepath.Join(t.TempDir(), "none"))
	if _, err := Newest(); err == nil {
		t.Fatal("a run was found where there is none")
	}
}
