package suites_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"faultline/clusters"
	"faultline/reports/html"
	"faultline/reports/record"
	"faultline/suites/claims"
)

// The report puts measurements beside the documents' tables by the lines that claims cite:
// every claim has to find a row.
func TestEveryClaimIsBesideARowOfTheDocuments(t *testing.T) {
	var page bytes.Buffer
	if err := html.Write(&page, &record.Run{Schema: record.SchemaVersion, ID: "r", Claims: claims.Record()}); err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(page.String(), `<section id="documents"`)
	text, _, closed := strings.Cut(text, "</section>")
	if !found || !closed {
		t.Fatal("the report has no documents' tables")
	}
	words := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" ,<>", r) })
	for _, c := range claims.All() {
		if !slices.Contains(words, c.ID) {
			t.Errorf("%s cites %s, which no row of reports/html/tables.yaml does", c.ID, c.Source)
		}
	}
}

func TestTopologiesOfTheDocumentsTablesExist(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "reports", "html", "tables.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var tables []struct {
		Rows []struct{ Topologies []string }
	}
	if err := yaml.Unmarshal(text, &tables); err != nil {
		t.Fatal(err)
	}
	named := 0
	for _, table := range tables {
		for _, row := range table.Rows {
			for _, name := range row.Topologies {
				named++
				if _, err := clusters.Find(name); err != nil {
					t.Error(err)
				}
			}
		}
	}
	if named == 0 {
		t.Error("no row has a topology")
	}
}
