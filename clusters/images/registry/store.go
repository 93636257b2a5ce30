package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/registry"
)

// store is a registry whose library keeps blobs on disk but manifests in memory only:
// every change of a manifest goes to a journal first, and is made again after a start.
type store struct {
	registry http.Handler
	mu       sync.Mutex
	journal  *os.File
}

// change is a request that changes a manifest, one line of the journal.
type change struct {
	Method, Path, ContentType string
	Body                      []byte
}

// maxManifest is what registries commonly accept, in bytes.
const maxManifest = 4 << 20

// open makes the folder, and takes up what it has.
func open(dir string) (*store, error) {
	blobs := filepath.Join(dir, "blobs")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return nil, fmt.Errorf("make the folder for images: %w", err)
	}
	journal, err := os.OpenFile(filepath.Join(dir, "manifests.jsonl"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the journal of manifests: %w", err)
	}
	s := &store{registry: registry.New(registry.WithBlobHandler(registry.NewDiskBlobHandler(blobs))), journal: journal}
	if err := s.replay(); err != nil {
		return nil, errors.Join(fmt.Errorf("read the journal of manifests: %w", err), journal.Close())
	}
	return s, nil
}

// replay makes every journalled change again, in order. A torn line at the end was
// never acknowledged, and is cut off.
func (s *store) replay() error {
	lines := json.NewDecoder(s.journal)
	for {
		whole := lines.InputOffset()
		var c change
		err := lines.Decode(&c)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			if err := s.journal.Truncate(whole); err != nil {
				return err
			}
			_, err := s.journal.Seek(whole, io.SeekStart)
			return err
		}
		if err != nil {
			return err
		}
		request := httptest.NewRequest(c.Method, c.Path, bytes.NewReader(c.Body))
		request.Header.Set("Content-Type", c.ContentType)
		s.registry.ServeHTTP(httptest.NewRecorder(), request)
	}
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	changes := r.Method == http.MethodPut || r.Method == http.MethodDelete
	if changes && strings.Contains(r.URL.Path, "/manifests/") {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxManifest))
		if err == nil {
			err = s.record(change{r.Method, r.URL.Path, r.Header.Get("Content-Type"), body})
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	s.registry.ServeHTTP(w, r)
}

// record appends to the journal and waits for the disk.
func (s *store) record(c change) error {
	line, err := json.Marshal(c)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.journal.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("record a manifest: %w", err)
	}
	return s.journal.Sync()
}
