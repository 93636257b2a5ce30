package main

import (
	"os/exec"
	"strings"
)

// version is the commit of this Faultline, with a mark when it was changed; empty
// where git cannot tell.
func version() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}
