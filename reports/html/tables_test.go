package html

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"faultline/reports/record"
)

func TestLoadTablesRefuses(t *testing.T) {
	const good = "- {title: T, source: 'A:L1-2', columns: [C], rows: [{source: 'A:L1', cells: [x]}]}"
	if _, err := loadTables([]byte(good)); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct{ text, want string }{
		"an unknown key":  {strings.Replace(good, "title", "name", 1), `unknown field "name"`},
		"no title":        {strings.Replace(good, "title: T, ", "", 1), "needs title"},
		"no rows":         {strings.Replace(good, "{source: 'A:L1', cells: [x]}", "", 1), "needs title, source, columns and rows"},
		"a cell too many": {strings.Replace(good, "[x]", "[x, y]", 1), `"T", row A:L1: has 2 cells for 1 columns`},
		"no line":         {strings.Replace(good, "'A:L1',", "here,", 1), `row "here": cites no line`},
	}
	for name, test := range tests {
		if _, err := loadTables([]byte(test.text)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
}

func TestMeasureRow(t *testing.T) {
	run := &record.Run{
		Claims: []record.Claim{{ID: "A", Source: "A:L26"}, {ID: "B", Source: "B:L26"}, {ID: "C", Source: "A:L20-30"}, {ID: "D", Source: "A:L26"}, {ID: "E", Source: "A:L50"}},
		Experiments: []record.Experiment{
			{ID: "1", Topology: "t1", Claims: []string{"A", "B"}, Verdict: record.Held},
			{ID: "2", Topology: "t2", Claims: []string{"A", "C"}, Verdict: record.Drifted},
		},
	}
	tests := []struct {
		row  tableRow
		want string
	}{
		{tableRow{Source: "A:L26"}, "drifted: 2 drifted, 1 untested; A drifted 2, C drifted 1; untested [D]"},
		{tableRow{Source: "A:L26", Topologies: []string{"t1"}}, "held: 1 held, 2 untested; A held 1; untested [C D]"},
		{tableRow{Source: "A:L26", Topologies: []string{"t3"}}, "untested: 3 untested; ; untested [A C D]"},
		{tableRow{Source: "A:L26", Cites: "B:L20-27"}, "held: 1 held; B held 1; untested []"},
		{tableRow{Source: "A:L99"}, "untested: none; ; untested []"},
	}
	for _, test := range tests {
		m := measureRow(newOverview(run), test.row)
		var claims []string
		for _, c := range m.Claims {
			claims = append(claims, fmt.Sprintf("%s %s %d", c.ID, c.Verdict, len(c.Links)))
		}
		got := fmt.Sprintf("%s: %s; %s; untested %v", m.Verdict, m.Counts, strings.Join(claims, ", "), m.Untested)
		if got != test.want {
			t.Errorf("%+v:\ngot  %s\nwant %s", test.row, got, test.want)
		}
	}
}

func TestTopologiesAreInTheDocumentsOrder(t *testing.T) {
	got := inOrder([]string{"zebra", "three-host-stacked", "bare-etcd-3", "single-host-vms", "single-host-minimal"})
	if want := []string{"single-host-minimal", "single-host-vms", "three-host-stacked", "bare-etcd-3", "zebra"}; !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestDriftRegister(t *testing.T) {
	o := newOverview(&record.Run{
		Claims: []record.Claim{{ID: "held"}, {ID: "known", Drift: "k"}, {ID: "idle", Drift: "i"}, {ID: "beside"}, {ID: "new"}},
		Experiments: []record.Experiment{
			{ID: "1", Claims: []string{"held"}, Verdict: record.Held},
			{ID: "2", Claims: []string{"known", "beside"}, Verdict: record.Drifted, Drift: "seen"},
			{ID: "3", Claims: []string{"new"}, Verdict: record.Drifted, Drift: "never told"},
			{ID: "4", Claims: []string{"known"}, Verdict: record.Held},
		},
	})
	rows := func(all []drift) (got []string) {
		for _, d := range all {
			got = append(got, fmt.Sprintf("%s %s %v %d", d.ID, d.Verdict, d.Today, len(d.Links)))
		}
		return got
	}
	if got, want := rows(o.Drifts), []string{"known drifted [seen] 2", "new drifted [never told] 1"}; !slices.Equal(got, want) {
		t.Errorf("tested: got %q, want %q", got, want)
	}
	if got, want := rows(o.DriftsUntested), []string{"idle untested [] 0"}; !slices.Equal(got, want) {
		t.Errorf("untested: got %q, want %q", got, want)
	}
}
