package main

import (
	"slices"
	"strings"
	"testing"

	"faultline/suites/rundir"
)

func TestProcesses(t *testing.T) {
	kubernetes, etcd := []string{"bare-etcd-3", "single-master"}, []string{"bare-etcd-3"}
	for _, c := range []struct {
		text      string
		layouts   []string
		cores     int
		want      int
		complaint string
	}{
		{"", kubernetes, 1, 1, ""},
		{"1", kubernetes, 1, 1, ""},
		{"2", kubernetes, 4, 2, ""},
		{"2", kubernetes, 3, 0, "enough for GINKGO_PROCS=1"},
		{"4", etcd, 2, 4, ""},
		{"0", etcd, 2, 0, "whole number"},
		{"two", etcd, 2, 0, "whole number"},
	} {
		t.Setenv(processesVariable, c.text)
		got, err := processes(c.layouts, c.cores)
		if got != c.want || (err == nil) != (c.complaint == "") || err != nil && !strings.Contains(err.Error(), c.complaint) {
			t.Errorf("%q for %v on %d cores: %d, %v", c.text, c.layouts, c.cores, got, err)
		}
	}
}

func TestGinkgoIsToldOfProcesses(t *testing.T) {
	args := ginkgoArguments(rundir.Dir{}, prepared{processes: 3}, 1)
	if at := slices.Index(args, "--procs"); at < 0 || args[at+1] != "3" {
		t.Errorf("the arguments are %q", args)
	}
}
