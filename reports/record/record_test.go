package record_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"faultline/reports/internal/fixture"
	"faultline/reports/record"
)

// The golden record uses every field of schema 1. When this test fails, either
// a name changed, which needs a new schema version, or a field was added, which
// needs a line in the golden record.
func TestGoldenRecordOfSchema1(t *testing.T) {
	golden := filepath.Join("testdata", "schema-1.json")
	run, err := record.Load(golden)
	if err != nil {
		t.Fatal(err)
	}
	saved := filepath.Join(t.TempDir(), "record.json")
	if err := run.Save(saved); err != nil {
		t.Fatal(err)
	}
	want, got := read(t, golden), read(t, saved)
	if !bytes.Equal(want, got) {
		t.Errorf("loading and saving changed the record; got\n%s", got)
	}
	assertNoZero(t, reflect.ValueOf(*run), "run")
}

// assertNoZero fails on a field that the golden record does not use.
func assertNoZero(t *testing.T, v reflect.Value, path string) {
	t.Helper()
	switch {
	case v.Type().String() == "time.Time":
		return
	case v.Kind() == reflect.Pointer:
		assertNoZero(t, v.Elem(), path)
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			field := v.Type().Field(i).Name
			if v.Field(i).IsZero() {
				t.Errorf("the golden record does not use %s.%s", path, field)
				continue
			}
			assertNoZero(t, v.Field(i), path+"."+field)
		}
	case v.Kind() == reflect.Slice && v.Len() > 0:
		assertNoZero(t, v.Index(0), path+"[0]")
	}
}

func TestSaveAndLoadAreInverse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record.json")
	want := fixture.Run()
	if err := want.Save(path); err != nil {
		t.Fatal(err)
	}
	got, err := record.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(want, got) {
		t.Error("the record that was loaded is not the one that was saved")
	}
}

func TestLoadRefuses(t *testing.T) {
	tests := map[string]struct{ data, want string }{
		"an empty file":        {" \n", "did not finish"},
		"another JSON file":    {`{"kind":"Pod"}`, `no "schema"`},
		"a newer schema":       {`{"schema":2,"claims":"elsewhere"}`, "use the faultline that wrote it"},
		"a negative schema":    {`{"schema":-1}`, "never existed"},
		"malformed JSON":       {"{\"schema\":1,\n\"id\":\"x\",\n  oops}", "line 3, column 3: malformed JSON"},
		"a truncated file":     {"{\"schema\":1,\n\"id\":\"x\"", "line 2, column 8: is cut off"},
		"two documents":        {"{\"schema\":1}\n{\"schema\":1}", "line 2, column 1: malformed"},
		"a wrong type":         {"{\"schema\":1,\"id\":\"x\",\n\"seconds\":\"long\"}", `line 2, column 16: field "seconds"`},
		"a missing id":         {`{"schema":1}`, "no id"},
		"an unknown verdict":   {experiment(`"verdict":"helt"`), `experiment "e": verdict "helt" is none of held, drifted, broken, inconclusive`},
		"untested as verdict":  {experiment(`"verdict":"untested"`), `verdict "untested" is none of`},
		"no verdict":           {experiment(`"name":"x"`), `verdict "" is none of`},
		"an unknown claim":     {experiment(`"verdict":"held","claims":["ETCD-99"]`), `tests claim "ETCD-99"`},
		"an unknown way":       {experiment(`"verdict":"held","probes":[{"name":"write","vantage":"n1","spans":[{"way":"sideways"}]}]`), `probe write at n1: way "sideways"`},
		"a span backwards":     {experiment(`"verdict":"held","probes":[{"name":"write","spans":[{"way":"up","from":2,"to":1}]}]`), "before it begins"},
		"an unknown state":     {experiment(`"verdict":"held","faults":[{"name":"kill etcd","state":"gone"}]`), `fault "kill etcd": state "gone"`},
		"an unknown instant":   {experiment(`"verdict":"held","faults":[{"state":"landed","instants":{"soon":1}}]`), `instant "soon"`},
		"an unknown phase":     {recovery(`{"name":"better","seconds":1}`), `recovery after "kill etcd": phase "better" is none of landed`},
		"phases out of order":  {recovery(`{"name":"pod-bound","seconds":2},{"name":"landed","seconds":1}`), `phase "landed" comes after "pod-bound"`},
		"a phase twice":        {recovery(`{"name":"landed","seconds":1},{"name":"landed","seconds":2}`), `phase "landed" comes after "landed"`},
		"a phase too early":    {recovery(`{"name":"landed","seconds":-0.5}`), `phase "landed" is reached 0.5 s too early`},
		"an unknown shard":     {experiment(`"verdict":"held","shard":"x"`), `experiment "e" is of shard "x"`},
		"an unknown outcome":   {`{"schema":1,"id":"x","gate":{"findings":[{"outcome":"fine"}]}}`, `outcome "fine" is none of held`},
		"the same claim twice": {`{"schema":1,"id":"x","claims":[{"id":"A"},{"id":"A"}]}`, `claim "A" is listed twice`},
		"the same id twice": {`{"schema":1,"id":"x","experiments":[{"id":"e","verdict":"held"},{"id":"e","verdict":"held"}]}`,
			`experiment "e" is recorded twice`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "record.json")
			if err := os.WriteFile(path, []byte(test.data), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := record.Load(path)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v; want the path and %q", err, test.want)
			}
		})
	}
}

func experiment(fields string) string {
	return `{"schema":1,"id":"x","experiments":[{"id":"e",` + fields + `}]}`
}

func recovery(phases string) string {
	return experiment(`"verdict":"held","recoveries":[{"after":"kill etcd","at":10,"phases":[` + phases + `]}]`)
}

func TestLoadIgnoresFieldsAddedLater(t *testing.T) {
	if _, err := record.Parse([]byte(`{"schema":1,"id":"x","weather":"fair"}`)); err != nil {
		t.Error(err)
	}
}

func TestLoadOfMissingFile(t *testing.T) {
	if _, err := record.Load(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestWriteFileKeepsTheOldFileOnFailure(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "record.json")
	write := func(text string, fail error) error {
		return record.WriteFile(path, func(w io.Writer) error {
			_, err := io.WriteString(w, text)
			return errors.Join(err, fail)
		})
	}
	if err := write("old", nil); err != nil {
		t.Fatal(err)
	}
	full := errors.New("no space left")
	if err := write("half of the n", full); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
	if got := string(read(t, path)); got != "old" {
		t.Errorf("the file now holds %q", got)
	}
	if err := write("new", nil); err != nil || string(read(t, path)) != "new" {
		t.Errorf("a second attempt failed: %v", err)
	}
	entries, _ := os.ReadDir(dir)
	if len(entries) != 1 {
		t.Errorf("temporary files were left: %v", entries)
	}
}

func TestWriteFileWithoutFolder(t *testing.T) {
	err := fixture.Run().Save(filepath.Join(t.TempDir(), "none", "record.json"))
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
