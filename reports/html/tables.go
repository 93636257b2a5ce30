package html

import (
	_ "embed"
	"fmt"
	"slices"

	"sigs.k8s.io/yaml"

	"faultline/reports/internal/format"
	"faultline/reports/record"
)

// table is a table of a document, in our words.
type table struct {
	Title   string     `json:"title"`
	Source  string     `json:"source"`
	Columns []string   `json:"columns"`
	Rows    []tableRow `json:"rows"`
}

type tableRow struct {
	Source     string   `json:"source"`
	Cites      string   `json:"cites,omitempty"`
	Topologies []string `json:"topologies,omitempty"`
	Cells      []string `json:"cells"`
}

var (
	//go:embed tables.yaml
	tableSource []byte
	tables      = mustLoadTables(tableSource)
)

func mustLoadTables(text []byte) []table {
	list, err := loadTables(text)
	if err != nil {
		panic(err) // the tables are part of the binary, and a test loads them
	}
	return list
}

// loadTables reads and checks the documents' tables.
func loadTables(text []byte) ([]table, error) {
	var list []table
	if err := yaml.UnmarshalStrict(text, &list); err != nil {
		return nil, fmt.Errorf("tables of the documents: %w", err)
	}
	for _, t := range list {
		if t.Title == "" || len(linesOf(t.Source)) == 0 || len(t.Columns) == 0 || len(t.Rows) == 0 {
			return nil, fmt.Errorf("tables of the documents: %q needs title, source, columns and rows", t.Title)
		}
		for _, r := range t.Rows {
			if len(r.Cells) != len(t.Columns) {
				return nil, fmt.Errorf("tables of the documents: %q, row %s: has %d cells for %d columns", t.Title, r.Source, len(r.Cells), len(t.Columns))
			}
			if len(r.lines()) == 0 {
				return nil, fmt.Errorf("tables of the documents: %q, row %q: cites no line", t.Title, r.Source)
			}
		}
	}
	return list, nil
}

// lines are those whose claims tell about the row.
func (r tableRow) lines() []lines {
	if r.Cites != "" {
		return linesOf(r.Cites)
	}
	return linesOf(r.Source)
}

// measuredTable is a table with what this run measured beside each row.
type measuredTable struct {
	table
	Rows []measuredRow
}

type measuredRow struct {
	tableRow
	Verdict  record.Verdict
	Counts   string
	Claims   []claimRow
	Untested []string
}

// measure puts the run beside the documents' tables.
func measure(o *overview) []measuredTable {
	all := make([]measuredTable, len(tables))
	for i, t := range tables {
		all[i].table = t
		for _, r := range t.Rows {
			all[i].Rows = append(all[i].Rows, measureRow(o, r))
		}
	}
	return all
}

func measureRow(o *overview, r tableRow) measuredRow {
	m := measuredRow{tableRow: r, Verdict: record.Untested}
	var counts record.Counts
	for _, c := range o.Run.Claims {
		if !overlap(r.lines(), linesOf(c.Source)) {
			continue
		}
		tests := testsOf(c.ID, o.Experiments)
		if len(r.Topologies) > 0 {
			tests = slices.DeleteFunc(tests, func(e experiment) bool { return !slices.Contains(r.Topologies, e.Topology) })
		}
		row := claimRow{c, cellOf(tests)}
		m.Verdict = record.Worse(m.Verdict, row.Verdict)
		counts.Add(row.Verdict)
		if len(tests) == 0 {
			m.Untested = append(m.Untested, c.ID)
		} else {
			m.Claims = append(m.Claims, row)
		}
	}
	m.Counts = format.Counts(counts)
	return m
}

// inOrder sorts topologies as the documents' tables do; those of no table come last.
func inOrder(topologies []string) []string {
	var known []string
	for _, t := range tables {
		for _, r := range t.Rows {
			known = append(known, r.Topologies...)
		}
	}
	place := func(name string) int {
		if i := slices.Index(known, name); i >= 0 {
			return i
		}
		return len(known)
	}
	sorted := slices.Sorted(slices.Values(topologies))
	slices.SortStableFunc(sorted, func(a, b string) int { return place(a) - place(b) })
	return sorted
}
