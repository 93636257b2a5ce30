package record_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	generator "github.com/invopop/jsonschema"
	validator "github.com/santhosh-tekuri/jsonschema/v6"

	"faultline/reports/internal/fixture"
	"faultline/reports/record"
)

var update = flag.Bool("update", false, "write schema.json again from the types")

func TestSchemaIsThatOfTheTypes(t *testing.T) {
	want := generate(t)
	if *update {
		if err := os.WriteFile("schema.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if record.Schema != string(want) {
		t.Error("schema.json is not that of the types any more; write it again with: go generate ./reports/record")
	}
}

// generate makes the schema from the types and their comments.
func generate(t *testing.T) []byte {
	t.Helper()
	r := generator.Reflector{AllowAdditionalProperties: true, Anonymous: true, Mapper: func(kind reflect.Type) *generator.Schema {
		switch kind {
		case reflect.TypeFor[record.Verdict]():
			return &generator.Schema{Type: "string", Enum: words(record.Verdicts)}
		case reflect.TypeFor[record.Way]():
			return &generator.Schema{Type: "string", Enum: words(record.Ways)}
		default:
			return nil
		}
	}}
	if err := r.AddGoComments("faultline/reports/record", ".", generator.WithFullComment()); err != nil {
		t.Fatal(err)
	}
	s := r.Reflect(&record.Run{})
	s.ID = generator.ID("urn:faultline:record:" + strconv.Itoa(record.SchemaVersion))
	s.Title = "The record of a run of Faultline"
	refine(s)
	var b bytes.Buffer
	out := json.NewEncoder(&b)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	if err := out.Encode(s); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// refine adds what the types do not tell: the versions, the words of plain
// strings, and that Go writes null for a list that is always there and empty.
func refine(s *generator.Schema) {
	property := func(kind, name string) *generator.Schema { return s.Definitions[kind].Properties.Value(name) }
	version := property("Run", "schema")
	version.Minimum, version.Maximum = "1", json.Number(strconv.Itoa(record.SchemaVersion))
	one := uint64(1)
	property("Run", "id").MinLength = &one
	property("Experiment", "id").MinLength = &one
	property("Fault", "state").Enum = words(record.FaultStates)
	property("Fault", "instants").PropertyNames = &generator.Schema{Enum: words(record.FaultStates)}
	property("Phase", "name").Enum = words(record.PhaseNames)
	for _, kind := range s.Definitions {
		for _, name := range kind.Required {
			p := kind.Properties.Value(name)
			if p.Type != "array" && p.Type != "object" {
				continue
			}
			some := *p
			some.Description = ""
			*p = generator.Schema{Description: p.Description, AnyOf: []*generator.Schema{&some, {Type: "null"}}}
		}
	}
}

func words[T ~string](known []T) []any {
	var all []any
	for _, word := range known {
		all = append(all, string(word))
	}
	return all
}

func TestSavedRecordsFollowTheSchema(t *testing.T) {
	for name, run := range map[string]*record.Run{
		"a realistic run": fixture.Run(),
		"a large run":     fixture.Large(20, 40),
		"a refused run":   {Schema: record.SchemaVersion, ID: "r", Refused: "no engine"},
		"an empty experiment": {Schema: record.SchemaVersion, ID: "r",
			Experiments: []record.Experiment{{ID: "e", Verdict: record.Held, Faults: []record.Fault{{State: "planned"}}}}},
	} {
		path := filepath.Join(t.TempDir(), "record.json")
		if err := run.Save(path); err != nil {
			t.Fatal(err)
		}
		if err := follows(t, read(t, path)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Records of earlier versions stay readable, and the schema stays true for them:
// within a schema version a field may be added, as one that may be missing.
func TestEarlierRecordsFollowTheSchema(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "earlier", "*.json"))
	if err != nil || len(files) < 2 {
		t.Fatalf("the earlier records are gone: %v, %v", files, err)
	}
	for _, file := range append(files, filepath.Join("testdata", "schema-1.json")) {
		if _, err := record.Load(file); err != nil {
			t.Error(err)
		}
		if err := follows(t, read(t, file)); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestSchemaRefuses(t *testing.T) {
	golden := string(read(t, filepath.Join("testdata", "schema-1.json")))
	for name, change := range map[string][2]string{
		"a newer schema":         {`"schema": 1`, `"schema": 2`},
		"no schema":              {`"schema": 1,`, ``},
		"an empty id":            {`"id": "20261121-201104-7f3a"`, `"id": ""`},
		"a wrong type":           {`"seconds": 48.5`, `"seconds": "long"`},
		"a time of another kind": {`"startedAt": "2026-11-21T20:11:04Z"`, `"startedAt": "yesterday"`},
		"a missing list":         {`"experiments"`, `"trials"`},
		"an unknown verdict":     {`"verdict": "drifted"`, `"verdict": "untested"`},
		"an unknown state":       {`"state": "healed"`, `"state": "gone"`},
		"an unknown instant":     {`"planned": 9.1`, `"soon": 9.1`},
		"an unknown way":         {`"way": "etcd-error"`, `"way": "sideways"`},
		"an unknown phase":       {`"name": "api-ready"`, `"name": "better"`},
		"a list that is a map":   {`"lost": [`, `"lost": {}, "more": [`},
	} {
		bad := strings.Replace(golden, change[0], change[1], 1)
		if bad == golden {
			t.Fatalf("%s: the golden record has no %s", name, change[0])
		}
		if err := follows(t, []byte(bad)); err == nil {
			t.Errorf("%s: the schema allows it", name)
		}
	}
}

// follows holds a document against the published schema.
func follows(t *testing.T, data []byte) error {
	t.Helper()
	schema, err := validator.UnmarshalJSON(strings.NewReader(record.Schema))
	if err != nil {
		t.Fatal(err)
	}
	compiler := validator.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("schema.json", schema); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	document, err := validator.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return compiled.Validate(document)
}
