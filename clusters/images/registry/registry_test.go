package main

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// serve starts a registry on a folder, as after a boot.
func serve(t *testing.T, dir string) name.Tag {
	t.Helper()
	store, err := open(dir)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(store)
	t.Cleanup(server.Close)
	tag, err := name.NewTag(strings.TrimPrefix(server.URL, "http://")+"/faultline/workload:1", name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	return tag
}

func pushed(t *testing.T, tag name.Tag) v1.Hash {
	t.Helper()
	image, err := random.Image(1024, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(tag, image); err != nil {
		t.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

func TestRestartForgetsNothing(t *testing.T) {
	dir := t.TempDir()
	pushed(t, serve(t, dir))
	want := pushed(t, serve(t, dir)) // replaces the first
	image, err := remote.Image(serve(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := image.Digest(); err != nil || got != want {
		t.Fatalf("after a restart the tag is %v, %v, want %v", got, err, want)
	}
	layers, err := image.Layers()
	if err != nil || len(layers) != 2 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	for _, l := range layers {
		content, err := l.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		content.Close()
	}
}

func TestTornJournalLosesOnlyItsEnd(t *testing.T) {
	dir := t.TempDir()
	want := pushed(t, serve(t, dir))
	journal := filepath.Join(dir, "manifests.jsonl")
	text, err := os.ReadFile(journal)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(journal, append(text, text[:40]...), 0o644); err != nil {
		t.Fatal(err)
	}
	tag := serve(t, dir)
	image, err := remote.Image(tag)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := image.Digest(); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	again := pushed(t, tag)
	if image, err = remote.Image(serve(t, dir)); err != nil {
		t.Fatal(err)
	}
	if got, _ := image.Digest(); got != again {
		t.Errorf("what was pushed after the repair: %v, want %v", got, again)
	}
}

func TestBrokenJournalIsAnError(t *testing.T) {
	dir := t.TempDir()
	pushed(t, serve(t, dir))
	journal := filepath.Join(dir, "manifests.jsonl")
	if err := os.WriteFile(journal, []byte("no JSON\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := open(dir); err == nil {
		t.Error("a broken journal was accepted")
	}
}

func TestUnknownImageIsAnError(t *testing.T) {
	if _, err := remote.Image(serve(t, t.TempDir())); err == nil {
		t.Error("an image that nobody pushed was served")
	}
}
