package fault

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// kindsInSource finds every constant of the type Kind.
func kindsInSource(t *testing.T) map[Kind]bool {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[Kind]bool{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			if typ, ok := spec.Type.(*ast.Ident); ok && typ.Name == "Kind" && len(spec.Values) == 1 {
				value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				kinds[Kind(value)] = true
			}
			return true
		})
	}
	return kinds
}

func TestTheCatalogueHasEveryFaultOnce(t *testing.T) {
	kinds := kindsInSource(t)
	if len(kinds) == 0 {
		t.Fatal("no fault was found in the sources")
	}
	listed := map[Kind]bool{}
	for _, e := range Catalogue() {
		if listed[e.Kind] {
			t.Errorf("%s is listed twice", e.Kind)
		}
		listed[e.Kind] = true
		if !kinds[e.Kind] {
			t.Errorf("%s is listed and does not exist", e.Kind)
		}
		if e.Family == "" || e.Targets == "" || e.Undo == "" || e.Proof == "" {
			t.Errorf("the entry of %s is not complete: %+v", e.Kind, e)
		}
	}
	for kind := range kinds {
		if !listed[kind] {
			t.Errorf("%s is not in the catalogue", kind)
		}
	}
}
