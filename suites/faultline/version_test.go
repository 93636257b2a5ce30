package main

import (
	"regexp"
	"testing"
)

func TestVersion(t *testing.T) {
	if v := version(); !regexp.MustCompile(`^([0-9a-f]{12}(-dirty)?)?$`).MatchString(v) {
		t.Errorf("got %q", v)
	}
	t.Chdir(t.TempDir())
	t.Setenv("GIT_CEILING_DIRECTORIES", "/")
	if v := version(); v != "" {
		t.Errorf("got %q outside of a repository", v)
	}
}
