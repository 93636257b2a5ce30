package plan

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"faultline/suites/gameday/strict"
)

// maxSize limits a file, in bytes.
const maxSize = 1 << 20

// header begins every file.
const header = `# The plan of a game day: what would be done to the cluster under "target", and when it
# would be aborted. This file executes nothing by itself, and writing it has changed nothing.
#
# Read it, remove the experiments that you do not want, and run the rest with
#
#   make gameday FAULTLINE_PLAN=<this file>
#
# That refuses when the cluster, its nodes or its consent are not those of the plan any more,
# or when the plan has expired. Then make another one with: make gameday-plan

`

// Write writes the plan as YAML with a comment that says how to run it. It refuses a plan
// that Read would refuse.
func (p Plan) Write(w io.Writer) error {
	text, err := p.encode()
	if err != nil {
		return err
	}
	if _, err := Read(bytes.NewReader(text)); err != nil {
		return fmt.Errorf("the plan could not be run: %w", err)
	}
	if _, err := w.Write(text); err != nil {
		return fmt.Errorf("write the plan: %w", err)
	}
	return nil
}

// encode is the file, whether or not the plan makes sense.
func (p Plan) encode() ([]byte, error) {
	out := bytes.NewBufferString(header)
	encoder := yaml.NewEncoder(out)
	encoder.SetIndent(2)
	if err := encoder.Encode(p.plain()); err != nil {
		return nil, fmt.Errorf("write the plan: %w", err)
	}
	return out.Bytes(), nil
}

// plain is the plan with its defaults told, and with times that are easy to read. What could
// not be discovered is often told by other programs, with colours and line ends of theirs.
func (p Plan) plain() Plan {
	p.CreatedAt = p.CreatedAt.UTC().Truncate(time.Second)
	p.ExpiresAt = p.ExpiresAt.UTC().Truncate(time.Second)
	p.Stop = p.Stop.Filled()
	p.Unknown = slices.Clone(p.Unknown)
	for i, u := range p.Unknown {
		p.Unknown[i] = shown(u)
	}
	return p
}

// Read reads a plan of 1 MiB at most. Its error joins everything that is wrong with it, and
// names the field and what is wanted for each.
func Read(r io.Reader) (Plan, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxSize+1))
	if err != nil {
		return Plan{}, fmt.Errorf("read the plan: %w", err)
	}
	if len(text) > maxSize {
		return Plan{}, fmt.Errorf("the plan has more than %d bytes: it is none", maxSize)
	}
	var p Plan
	problems := strict.Decode(text, &p)
	if err := problems.And(p.check()).Err(); err != nil {
		return Plan{}, err
	}
	p.Stop = p.Stop.Filled()
	return p, nil
}
