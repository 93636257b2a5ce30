package main

import (
	"path/filepath"
	"strings"
)

// target is a JSON file that holds a process, and where in the file it is.
type target struct {
	path   string
	nested bool // under the key "process" (config.json), not at the top
}

// findTarget reads runc's command line: create, run and restore take the
// bundle's config.json, exec may take a file with only a process.
func findTarget(args []string) target {
	command, options := split(args)
	switch command {
	case "create", "run", "restore":
		bundle := option(options, "bundle", "b")
		return target{path: filepath.Join(bundle, "config.json"), nested: true}
	case "exec":
		return target{path: option(options, "process", "p")}
	}
	return target{}
}

// globalValues are runc's global options that take a value of their own.
var globalValues = map[string]bool{"log": true, "log-format": true, "root": true, "criu": true, "rootless": true}

// split skips the global options.
func split(args []string) (command string, options []string) {
	for i := 0; i < len(args); i++ {
		if !strings.HasPrefix(args[i], "-") {
			return args[i], args[i+1:]
		}
		if globalValues[strings.TrimLeft(args[i], "-")] {
			i++
		}
	}
	return "", nil
}

// option is the value of an option in any of the forms that runc accepts.
func option(args []string, names ...string) string {
	for i, arg := range args {
		name, value, joined := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if !strings.HasPrefix(arg, "-") || !contains(names, name) {
			continue
		}
		if joined {
			return value
		}
		if i+1 < len(args) {
			return args[i+1]
		}
	}
	return ""
}

func contains(names []string, name string) bool {
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return false
}
