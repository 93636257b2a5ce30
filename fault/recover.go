package fault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"faultline/clusters"
)

// ErrGone says that a node or its cluster exists no more. A ShellFor wraps it.
var ErrGone = errors.New("exists no more")

// ShellFor returns the way to a node. It returns ErrGone only when the node is known
// not to exist any more; a node that exists and cannot be reached is another error.
type ShellFor func(ctx context.Context, cluster, node string) (clusters.Shell, error)

// Report is what Recover did, the latest fault first.
type Report struct {
	// Undone were taken back. Gone died with their node. Failed may still be in effect.
	Undone, Gone, Failed []Record
}

// Recover undoes every open fault of the journals, the latest first, says to out what it
// does, and closes what it has restored. It needs no API server and nothing of the
// process that injected. All journals are read first: a corrupt one is an error
// before anything is changed. Undoing twice does no harm.
func Recover(ctx context.Context, journals []string, shellFor ShellFor, out io.Writer) (Report, error) {
	var report Report
	open := map[string][]Record{}
	total := 0
	for _, path := range journals {
		records, err := ReadJournal(path)
		if err != nil {
			return report, err
		}
		open[path] = slices.DeleteFunc(records, func(r Record) bool { return !r.Open() })
		total += len(open[path])
	}
	if total == 0 {
		fmt.Fprintf(out, "no open fault in %d journal(s)\n", len(journals))
		return report, nil
	}
	var errs []error
	for _, path := range slices.Backward(journals) {
		if len(open[path]) > 0 {
			errs = append(errs, recoverJournal(ctx, path, open[path], shellFor, out, &report))
		}
	}
	fmt.Fprintf(out, "%d fault(s) were open: %d undone, %d gone with their node, %d not restored\n",
		total, len(report.Undone), len(report.Gone), len(report.Failed))
	return report, errors.Join(errs...)
}

func recoverJournal(ctx context.Context, path string, open []Record, shellFor ShellFor, out io.Writer, report *Report) error {
	journal, err := openJournal(path)
	if err != nil {
		report.Failed = append(report.Failed, open...)
		return err
	}
	defer journal.Close()
	var errs []error
	for _, r := range slices.Backward(open) {
		if err := recoverOne(ctx, journal, r, shellFor, out, report); err != nil {
			report.Failed = append(report.Failed, r)
			fmt.Fprintf(out, "%s: NOT RESTORED: %v\n", r, err)
			errs = append(errs, fmt.Errorf("%s is not restored: %w", r, err))
		}
	}
	return errors.Join(errs...)
}

// recoverOne undoes one fault on one target, and closes it.
func recoverOne(ctx context.Context, journal *Journal, r Record, shellFor ShellFor, out io.Writer, report *Report) error {
	ctx, cancel := context.WithTimeout(ctx, undoTimeout)
	defer cancel()
	done, list := "undone", &report.Undone
	switch err := replay(ctx, r, shellFor); {
	case errors.Is(err, ErrGone):
		done, list = "gone with its node", &report.Gone
	case err != nil:
		return err
	case len(r.Undo) == 0:
		done = "there was nothing to undo"
	}
	closed := r
	closed.State, closed.Time, closed.Note = Undone, time.Now(), "recover: "+done
	if err := journal.Append(closed); err != nil {
		return err
	}
	*list = append(*list, closed)
	fmt.Fprintf(out, "%s: %s\n", r, done)
	return nil
}

func replay(ctx context.Context, r Record, shellFor ShellFor) error {
	if len(r.Undo) == 0 {
		return nil
	}
	shell, err := shellFor(ctx, r.Cluster, r.Node)
	if err != nil {
		return err
	}
	_, err = shell(ctx, r.Node, nil, r.Undo...)
	return err
}

// String tells a record to people.
func (r Record) String() string {
	return fmt.Sprintf("%s %s (cluster %s, run %s, %s)", r.Fault, r.Target, r.Cluster, r.Run, r.ID)
}
