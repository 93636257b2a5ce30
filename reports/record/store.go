package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Load reads and validates the record at path.
func Load(path string) (*Run, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the record: %w", err)
	}
	run, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("record %s: %w", path, err)
	}
	return run, nil
}

// Parse decodes and validates a record. Fields that it does not know are
// ignored: within a schema version fields are only ever added.
func Parse(data []byte) (*Run, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, errors.New("is empty: the run that wrote it did not finish")
	}
	// The version comes first: a newer record may well not fit our types.
	var version struct {
		Schema int `json:"schema"`
	}
	if err := json.Unmarshal(data, &version); err != nil {
		return nil, locate(data, err)
	}
	if err := checkSchema(version.Schema); err != nil {
		return nil, err
	}
	var run Run
	if err := json.Unmarshal(data, &run); err != nil {
		return nil, locate(data, err)
	}
	if err := run.Validate(); err != nil {
		return nil, err
	}
	return &run, nil
}

// Save writes the record to path, so that a reader sees the old file or the
// whole new one. It does not validate: what was measured is kept in any case.
func (r *Run) Save(path string) error {
	return SaveJSON(path, r)
}

// Save writes the summary to path, in the manner of Run.Save.
func (s Summary) Save(path string) error {
	return SaveJSON(path, s)
}

// SaveJSON writes a value to path, in the manner of WriteFile.
func SaveJSON(path string, value any) error {
	return WriteFile(path, func(w io.Writer) error {
		out := json.NewEncoder(w)
		out.SetEscapeHTML(false)
		out.SetIndent("", "  ")
		return out.Encode(value)
	})
}

// WriteFile creates or replaces the file at path with what write produces, by
// way of a temporary file beside it that is synced and renamed. When write
// fails, the old file stays and nothing else is left.
func WriteFile(path string, write func(io.Writer) error) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", path, err)
		}
	}()
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = temp.Close()
			_ = os.Remove(temp.Name())
		}
	}()
	if err := write(temp); err != nil {
		return err
	}
	// CreateTemp makes the file private; reports are meant to be collected by others.
	if err := temp.Chmod(0o644); err != nil {
		return err
	}
	if err := temp.Sync(); err != nil {
		return err
	}
	if err := temp.Close(); err != nil {
		return err
	}
	if err := os.Rename(temp.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a rename in dir survive a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// locate adds line and column to an error of encoding/json.
func locate(data []byte, err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		if syntax.Offset >= int64(len(data)) {
			return fmt.Errorf("%s: is cut off: %w", position(data, syntax.Offset), err)
		}
		return fmt.Errorf("%s: malformed JSON: %w", position(data, syntax.Offset), err)
	}
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		return fmt.Errorf("%s: field %q cannot be a %s: %w", position(data, kind.Offset), kind.Field, kind.Value, err)
	}
	return err
}

func position(data []byte, offset int64) string {
	before := data[:min(int(offset), len(data))]
	line := bytes.Count(before, []byte("\n")) + 1
	column := len(before) - (bytes.LastIndexByte(before, '\n') + 1)
	return fmt.Sprintf("line %d, column %d", line, column)
}
