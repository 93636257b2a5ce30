package offline

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"time"
)

// image is a container image to be: layers on disk and how to run it.
type image struct {
	name       string
	entrypoint []string
	layers     []layer
}

// layer is a tar file, compressed or not, and the digest of what it is without
// compression. Images that share one share it on the node too.
type layer struct{ path, digest string }

// epoch is the time of everything in the layers, so that the same content
// always gives the same digest.
var epoch = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// entry is one file of a tar stream, from disk or from memory.
type entry struct {
	name string // inside, without a leading slash
	mode int64
	disk string // where its content is; otherwise text is the content
	text string
}

// writeEntries writes files, and the folders that they are in, to w.
func writeEntries(w io.Writer, entries []entry) error {
	archive, folders := tar.NewWriter(w), map[string]bool{}
	for _, e := range entries {
		if err := writeFolders(archive, path.Dir(e.name), folders); err != nil {
			return err
		}
		if err := writeEntry(archive, e); err != nil {
			return fmt.Errorf("pack %s: %w", e.name, err)
		}
	}
	return archive.Close()
}

func writeFolders(archive *tar.Writer, dir string, written map[string]bool) error {
	if dir == "." || dir == "/" || written[dir] {
		return nil
	}
	if err := writeFolders(archive, path.Dir(dir), written); err != nil {
		return err
	}
	written[dir] = true
	return archive.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755, ModTime: epoch})
}

func writeEntry(archive *tar.Writer, e entry) error {
	content := []byte(e.text)
	if e.disk != "" {
		var err error
		if content, err = os.ReadFile(e.disk); err != nil {
			return err
		}
	}
	if err := archive.WriteHeader(&tar.Header{Name: e.name, Mode: e.mode, Size: int64(len(content)), ModTime: epoch}); err != nil {
		return err
	}
	_, err := archive.Write(content)
	return err
}

// programLayer is a layer with executables in /usr/local/bin.
func programLayer(path string, programs ...string) (layer, error) {
	var entries []entry
	for _, program := range programs {
		entries = append(entries, entry{name: "usr/local/bin/" + filepath.Base(program), mode: 0o755, disk: program})
	}
	file, err := os.Create(path)
	if err != nil {
		return layer{}, err
	}
	defer file.Close()
	if err := writeEntries(file, entries); err != nil {
		return layer{}, err
	}
	return layerOf(path)
}

// layerOf is the tar file at path as a layer.
func layerOf(path string) (layer, error) {
	file, err := os.Open(path)
	if err != nil {
		return layer{}, err
	}
	defer file.Close()
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return layer{}, err
	}
	return layer{path, hex.EncodeToString(h.Sum(nil))}, nil
}

// compressed is the same layer in a smaller file. It prefers speed.
func (l layer) compressed() (layer, error) {
	small := layer{l.path + ".gz", l.digest}
	if _, err := os.Stat(small.path); err == nil {
		return small, nil
	}
	from, err := os.Open(l.path)
	if err != nil {
		return layer{}, err
	}
	defer from.Close()
	to, err := os.Create(small.path)
	if err != nil {
		return layer{}, err
	}
	defer to.Close()
	zip, err := gzip.NewWriterLevel(to, gzip.BestSpeed)
	if err != nil {
		return layer{}, err
	}
	if _, err := io.Copy(zip, from); err != nil {
		return layer{}, err
	}
	return small, zip.Close()
}

// compressed is the same image with compressed layers.
func (i image) compressed() (image, error) {
	layers := make([]layer, len(i.layers))
	for n, l := range i.layers {
		var err error
		if layers[n], err = l.compressed(); err != nil {
			return image{}, fmt.Errorf("compress %s: %w", l.path, err)
		}
	}
	i.layers = layers
	return i, nil
}

// writeImages writes an archive as "docker save" does. Layers that images
// share are in it once.
func writeImages(w io.Writer, images []image) error {
	type manifest struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	archive := tar.NewWriter(w)
	var manifests []manifest
	var written []string
	for _, i := range images {
		config, err := i.config()
		if err != nil {
			return err
		}
		m := manifest{Config: fmt.Sprintf("%x.json", sha256.Sum256(config)), RepoTags: []string{i.name}}
		if err := writeEntry(archive, entry{name: m.Config, mode: 0o644, text: string(config)}); err != nil {
			return err
		}
		for _, l := range i.layers {
			name := l.digest + ".tar"
			m.Layers = append(m.Layers, name)
			if slices.Contains(written, name) {
				continue
			}
			written = append(written, name)
			if err := writeEntry(archive, entry{name: name, mode: 0o644, disk: l.path}); err != nil {
				return err
			}
		}
		manifests = append(manifests, m)
	}
	index, err := json.Marshal(manifests)
	if err != nil {
		return err
	}
	if err := writeEntry(archive, entry{name: "manifest.json", mode: 0o644, text: string(index)}); err != nil {
		return err
	}
	return archive.Close()
}

// config is the image's configuration, as Docker writes it.
func (i image) config() ([]byte, error) {
	type object = map[string]any
	var digests []string
	for _, l := range i.layers {
		digests = append(digests, "sha256:"+l.digest)
	}
	return json.Marshal(object{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"created":      epoch,
		"config":       object{"Env": []string{"PATH=" + searchPath}, "Entrypoint": i.entrypoint},
		"rootfs":       object{"type": "layers", "diff_ids": digests},
	})
}
