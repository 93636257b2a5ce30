package offline

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"faultline/clusters/engine"
)

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestHash(t *testing.T) {
	if got := hash("a"); len(got) != 12 {
		t.Errorf("hash = %q, want 12 characters", got)
	}
	if hash("ab", "c") == hash("a", "bc") || hash("a", "b") == hash("b", "a") {
		t.Error("different parts, same hash")
	}
}

func TestHashSourcesIgnoresTests(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "main.go"), "package main")
	before, err := hashSources(dir)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "main_test.go"), "package main")
	if after, _ := hashSources(dir); after != before {
		t.Error("a test changed the hash")
	}
	write(t, filepath.Join(dir, "other.go"), "package main")
	if after, _ := hashSources(dir); after == before {
		t.Error("a new source did not change the hash")
	}
}

func TestHashModulesIgnoresStrangers(t *testing.T) {
	gomod := filepath.Join(t.TempDir(), "go.mod")
	sum := func(text string) string {
		s, err := hashModules(write(t, gomod, "module faultline\n"+text))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	before := sum("require k8s.io/client-go v0.37.2\n")
	if sum("require (\nk8s.io/client-go v0.37.2 // indirect\ngithub.com/onsi/gomega v1.44.0\n)\n") != before {
		t.Error("a stranger changed the hash")
	}
	if sum("require k8s.io/client-go v0.37.3\n") == before {
		t.Error("another client-go did not change the hash")
	}
}

func TestModuleVersion(t *testing.T) {
	gomod := write(t, filepath.Join(t.TempDir(), "go.mod"), "module x\nrequire go.etcd.io/etcd/server/v3 v3.7.0\ntool go.etcd.io/etcd/server/v3\n")
	if v, err := moduleVersion(gomod, "go.etcd.io/etcd/server/v3"); err != nil || v != "v3.7.0" {
		t.Errorf("moduleVersion = %q, %v", v, err)
	}
	if v, err := moduleVersion(gomod, "go.etcd.io/etcd"); err == nil {
		t.Errorf("moduleVersion of a stranger = %q", v)
	}
}

func TestArguments(t *testing.T) {
	args := strings.Join(components[0].arguments("v1.37.1"), " ")
	for _, want := range []string{
		"-trimpath", "-s -w",
		"-X k8s.io/component-base/version.gitVersion=v1.37.1",
		"-X k8s.io/component-base/version.gitMajor=1",
		"-X k8s.io/client-go/pkg/version.gitMinor=37",
		"-tags selinux,notest,grpcnotrace",
	} {
		if !strings.Contains(args, want) {
			t.Errorf("missing %q in %s", want, args)
		}
	}
}

// TestAnImportThatFailsEnds gives the engine more than a pipe holds, of which it reads nothing.
func TestAnImportThatFailsEnds(t *testing.T) {
	bin, dir := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "docker"), []byte("#!/bin/sh\necho no space left >&2\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv("KIND_EXPERIMENTAL_PROVIDER", "docker")
	e, err := engine.Detect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "large"), strings.Repeat("x", 1<<20))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := (&Builder{engine: e}).importFolder(ctx, dir, "faultline/x:1"); err == nil || !strings.Contains(err.Error(), "no space left") || ctx.Err() != nil {
		t.Errorf("got %v", err)
	}
}

func TestParseMirror(t *testing.T) {
	targets := `DEP-11 http://deb.debian.org/debian bookworm main
Packages http://deb.debian.org/debian-security bookworm-security main
Packages http://deb.debian.org/debian bookworm main
Packages http://deb.debian.org/debian bookworm contrib
Packages http://mirror.example.org/debian bookworm main
`
	if got, want := parseMirror("bookworm", targets), (mirror{"http://deb.debian.org/debian", "main,contrib"}); got != want {
		t.Errorf("parseMirror = %+v, want %+v", got, want)
	}
	if got := parseMirror("trixie", targets); got != (mirror{}) {
		t.Errorf("parseMirror of another release = %+v", got)
	}
	if got := parseCodename("ID=ubuntu\nVERSION_CODENAME=noble\n"); got != "noble" {
		t.Errorf("parseCodename = %q", got)
	}
}

func TestReadPackages(t *testing.T) {
	count := 0
	said := readPackages(strings.NewReader("k8s.io/api/core/v1\ngo: downloading a v1\nunicode\n# k8s.io/x\nfile.go:1:2: broken\n"), func() { count++ })
	if count != 2 || said != "# k8s.io/x\nfile.go:1:2: broken" {
		t.Errorf("count %d, said %q", count, said)
	}
}

func TestWriteImagesSharesLayers(t *testing.T) {
	dir := t.TempDir()
	base, err := programLayer(filepath.Join(dir, "base.tar"), write(t, filepath.Join(dir, "sh"), "shell"))
	if err != nil {
		t.Fatal(err)
	}
	own, err := programLayer(filepath.Join(dir, "own.tar"), write(t, filepath.Join(dir, "etcd"), "database"))
	if err != nil {
		t.Fatal(err)
	}
	small, err := image{name: "small:1", layers: []layer{base}}.compressed()
	if err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	images := []image{{name: "etcd:1", layers: []layer{base, own}}, {name: "helper:1", entrypoint: []string{"sh"}, layers: []layer{base}}}
	if err := writeImages(&archive, images); err != nil {
		t.Fatal(err)
	}
	var names []string
	var manifests []struct {
		Config           string
		RepoTags, Layers []string
	}
	for files := tar.NewReader(&archive); ; {
		header, err := files.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, header.Name)
		if header.Name == "manifest.json" {
			if err := json.NewDecoder(files).Decode(&manifests); err != nil {
				t.Fatal(err)
			}
		}
	}
	slices.Sort(names)
	if len(names) != 5 || len(slices.Compact(slices.Clone(names))) != 5 {
		t.Errorf("files = %v, want two configurations, two layers and a manifest", names)
	}
	if len(manifests) != 2 || len(manifests[0].Layers) != 2 || manifests[0].Layers[0] != manifests[1].Layers[0] {
		t.Errorf("manifests = %+v", manifests)
	}
	if small.layers[0].digest != base.digest || small.layers[0].path == base.path {
		t.Errorf("compressed layer = %+v of %+v", small.layers[0], base)
	}
}

func TestLayersAreReproducible(t *testing.T) {
	dir := t.TempDir()
	program := write(t, filepath.Join(dir, "podnet"), "program")
	first, err := programLayer(filepath.Join(dir, "1.tar"), program)
	if err != nil {
		t.Fatal(err)
	}
	second, err := programLayer(filepath.Join(dir, "2.tar"), program)
	if err != nil || first.digest != second.digest {
		t.Errorf("digests %s and %s, %v", first.digest, second.digest, err)
	}
}

func TestForgetOthers(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"etcd-1", "etcd-2", "containerd-1"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := forgetOthers(dir, "etcd", filepath.Join(dir, "etcd-2")); err != nil {
		t.Fatal(err)
	}
	left, _ := filepath.Glob(filepath.Join(dir, "*"))
	if len(left) != 2 {
		t.Errorf("left: %v", left)
	}
}

func TestManifestsHaveTheirPlaces(t *testing.T) {
	for text, wants := range map[string][]string{
		podnetManifest:  {"${PODNET_IMAGE}", "{{ .PodSubnet }}", "would you kindly template this file", "would you kindly patch this file"},
		storageManifest: {"${PROVISIONER_IMAGE}", "${HELPER_IMAGE}", "is-default-class"},
	} {
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("a manifest lacks %q", want)
			}
		}
	}
}
