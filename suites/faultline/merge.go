package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"faultline/reports"
	"faultline/reports/gate"
	"faultline/reports/record"
	"faultline/suites/rundir"
)

// The environment variables of report.
const (
	recordsVariable  = "FAULTLINE_RECORDS"
	mixedVariable    = "FAULTLINE_MERGE_MIXED"
	repeatedVariable = "FAULTLINE_MERGE_REPEATED"
)

// namedRecords reads FAULTLINE_RECORDS: records or their folders, with patterns.
func namedRecords() ([]string, error) {
	var paths []string
	for _, pattern := range strings.Fields(os.Getenv(recordsVariable)) {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return nil, fmt.Errorf("%s: %q: %w", recordsVariable, pattern, err)
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("%s: there is no %s", recordsVariable, pattern)
		}
		for _, path := range found {
			path = recordAt(path)
			if filepath.Base(path) != reports.RecordFile {
				return nil, fmt.Errorf("%s: %s is neither a %s nor a folder with one", recordsVariable, path, reports.RecordFile)
			}
			paths = append(paths, path)
		}
	}
	return paths, nil
}

// recordAt is the record that a path means: itself, or the one in a folder.
func recordAt(path string) string {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return filepath.Join(path, reports.RecordFile)
	}
	return path
}

// reportMerged merges records into a run with results of its own, judges it as a
// whole, and adds its shards to the history.
func reportMerged(ctx context.Context, paths []string, other *record.Run) error {
	s, err := loadShards(paths)
	if err != nil {
		return refusal{err}
	}
	policy, enforced, err := s.policy()
	if err != nil {
		return refusal{err}
	}
	if err := gate.History(rundir.History()).Check(); err != nil {
		return refusal{err}
	}
	dir := rundir.Merged(s.merged.ID)
	if err := errors.Join(s.copyEvidence(dir), saveEnvironment(dir, s.merged.Environment)); err != nil {
		return err
	}
	judgeAndRemember(s.merged, policy, enforced)
	if err := compare(dir, other, s.merged); err != nil {
		return err
	}
	return publish(ctx, dir, s.merged)
}

// shards are records and what they were merged into.
type shards struct {
	runs    []*record.Run
	folders []string
	merged  *record.Run
}

func loadShards(paths []string) (*shards, error) {
	mixed, err := rundir.Switch(mixedVariable)
	if err != nil {
		return nil, err
	}
	repeated, err := rundir.Switch(repeatedVariable)
	if err != nil {
		return nil, err
	}
	s := &shards{}
	for _, path := range paths {
		run, err := record.Load(path)
		if err != nil {
			return nil, err
		}
		s.runs, s.folders = append(s.runs, run), append(s.folders, filepath.Dir(path))
	}
	s.merged, err = record.Merge(s.runs, record.Allow{Mixed: mixed, Repeated: repeated})
	if errors.Is(err, record.ErrMixed) {
		err = fmt.Errorf("%w\nmerge them all the same with %s=1", err, mixedVariable)
	}
	if errors.Is(err, record.ErrRepeated) {
		err = fmt.Errorf("%w\nif it was meant, count each and let the worst verdict decide with %s=1", err, repeatedVariable)
	}
	return s, err
}

// policy is the one that is named now, or the one by which all shards were judged.
func (s *shards) policy() (*gate.Policy, bool, error) {
	first := s.runs[0].Gate
	for _, run := range s.runs[1:] {
		g := run.Gate
		same := g == nil && first == nil || g != nil && first != nil && g.Text == first.Text && g.Enforced == first.Enforced
		if !same && !policyNamed() {
			return nil, false, fmt.Errorf("runs %s and %s were not judged by the same policy: name one with %s", s.runs[0].ID, run.ID, policyVariable)
		}
	}
	return policyAgain(first, s.merged.Claims)
}

// copyEvidence brings the shards' evidence into the folder of the merged run, so
// that it is complete. What is not beside a shard's record is told and left out.
func (s *shards) copyEvidence(dir rundir.Dir) error {
	for i := range s.merged.Experiments {
		e := &s.merged.Experiments[i]
		var found []string
		for _, file := range e.Evidence {
			source, err := s.open(e.Shard, file)
			if err != nil {
				fmt.Fprintf(os.Stderr, "evidence of run %s is left out: %v\n", e.Shard, err)
				continue
			}
			err = copyTo(filepath.Join(dir.Results, file), source)
			if err := errors.Join(err, source.Close()); err != nil {
				return err
			}
			found = append(found, file)
		}
		e.Evidence = found
	}
	return nil
}

// open opens a file of the merged run where it is now: in its shard's folder, and
// nowhere else, whatever the record says.
func (s *shards) open(shard, file string) (*os.File, error) {
	if !filepath.IsLocal(file) {
		return nil, fmt.Errorf("%s leads out of the folder", file)
	}
	from := s.merged.Shards[slices.IndexFunc(s.merged.Shards, func(sh record.Shard) bool { return sh.Name == shard })]
	i := slices.IndexFunc(s.runs, func(r *record.Run) bool { return r.ID == from.Run && r.StartedAt.Equal(from.StartedAt) })
	return os.OpenInRoot(s.folders[i], strings.TrimPrefix(file, shard+"/"))
}

func copyTo(path string, source io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return record.WriteFile(path, func(w io.Writer) error {
		_, err := io.Copy(w, source)
		return err
	})
}

// saveEnvironment marks the folder as one of a run.
func saveEnvironment(dir rundir.Dir, e record.Environment) error {
	if err := os.MkdirAll(dir.Results, 0o755); err != nil {
		return err
	}
	return record.SaveJSON(dir.Environment(), e)
}
