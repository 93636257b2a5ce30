package markdown

import (
	"fmt"
	"io"
	"strings"

	"faultline/reports/record"
)

const longestTitle = 200 // characters; GitHub refuses titles of more than 255

// Annotations writes a workflow command of GitHub Actions for each thing that a
// reader must act on: an error for what is broken, a warning for what could not be
// told. GitHub shows the first ten of each kind, so that the worst come first.
func Annotations(w io.Writer, run *record.Run) error {
	var commands []string
	add := func(level, title, message string) {
		commands = append(commands, fmt.Sprintf("::%s title=%s::%s\n", level,
			property.Replace(cut(line("Faultline: "+title), longestTitle)), data.Replace(cut(lines(message), longestCode))))
	}
	if run.Refused != "" {
		add("error", "the run was refused", run.Refused)
	}
	for _, what := range run.NotRestored {
		add("error", "a fault is not restored", what)
	}
	for i := range run.Experiments {
		switch e := &run.Experiments[i]; {
		case e.Verdict == record.Broken:
			add("error", title(e), message(e))
		case !e.Verdict.Passes():
			add("warning", title(e), message(e))
		}
	}
	for _, what := range run.Failures {
		add("error", "the harness failed", what)
	}
	if _, err := io.WriteString(w, strings.Join(commands, "")); err != nil {
		return fmt.Errorf("write the annotations: %w", err)
	}
	return nil
}

// The escapes are those of GitHub's own toolkit. In a property a colon and a comma
// would end it.
var (
	data     = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	property = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

func title(e *record.Experiment) string {
	return strings.Join(append([]string{string(e.Verdict)}, e.Claims...), " ") + ": " + e.Name
}

func message(e *record.Experiment) string {
	all := []string{"on " + e.Topology}
	for _, o := range e.Observations {
		if !o.OK {
			all = append(all, "expected "+cut(line(o.Expected), longestText)+"; observed "+cut(line(o.Observed), longestText))
		}
	}
	if e.Command != "" {
		all = append(all, "repeat with: "+line(e.Command))
	}
	return strings.Join(append(all, e.Reason), "\n")
}
