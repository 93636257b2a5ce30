package offline

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
)

// hash is a short name for all of its parts, in their order.
func hash(parts ...string) string {
	h := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(h.Sum(nil))[:12]
}

// hashFiles hashes files by content and base name, whatever folder they are in.
func hashFiles(paths ...string) (string, error) {
	var parts []string
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		parts = append(parts, filepath.Base(path), string(content))
	}
	return hash(parts...), nil
}

// hashSources hashes the Go files and other sources of a folder, but not its
// tests and not the folders in it.
func hashSources(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool {
		return e.IsDir() || strings.HasSuffix(e.Name(), "_test.go")
	})
	var paths []string
	for _, e := range entries {
		paths = append(paths, filepath.Join(dir, e.Name()))
	}
	return hashFiles(paths...)
}

// imported are the modules of the project's own go.mod that its programs in
// the images import, and kind, whose base files the node image has.
var imported = []string{"golang.org/x/sync", "k8s.io/api", "k8s.io/apimachinery", "k8s.io/client-go", "sigs.k8s.io/kind", "sigs.k8s.io/yaml"}

// hashModules hashes the versions of those.
func hashModules(gomod string) (string, error) {
	content, err := os.ReadFile(gomod)
	if err != nil {
		return "", err
	}
	file, err := modfile.Parse(gomod, content, nil)
	if err != nil {
		return "", err
	}
	var parts []string
	for _, r := range file.Require {
		if slices.Contains(imported, r.Mod.Path) {
			parts = append(parts, r.Mod.String())
		}
	}
	slices.Sort(parts)
	return hash(parts...), nil
}

// moduleVersion is the version of a module that a go.mod requires.
func moduleVersion(gomod, module string) (string, error) {
	content, err := os.ReadFile(gomod)
	if err != nil {
		return "", fmt.Errorf("read a recipe: %w", err)
	}
	file, err := modfile.ParseLax(gomod, content, nil)
	if err != nil {
		return "", fmt.Errorf("read a recipe: %w", err)
	}
	for _, r := range file.Require {
		if r.Mod.Path == module {
			return r.Mod.Version, nil
		}
	}
	return "", fmt.Errorf("%s does not require %s", gomod, module)
}
