package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const withoutSysResource = uint64(0x1fffeffffff)

func TestParseBounding(t *testing.T) {
	got, err := parseBounding("Name:\tx\nCapBnd:\t000001fffeffffff\nCapAmb:\t0\n")
	if err != nil || got != withoutSysResource {
		t.Errorf("parseBounding = %x, %v", got, err)
	}
	if _, err := parseBounding("Name:\tx\n"); err == nil {
		t.Error("a status without CapBnd was accepted")
	}
}

func TestFindTarget(t *testing.T) {
	for line, want := range map[string]target{
		"--root /run/x --log l.json --log-format json create --bundle /b --pid-file p id": {"/b/config.json", true},
		"--systemd-cgroup run -b /b id":              {"/b/config.json", true},
		"create id":                                  {"config.json", true},
		"--root=/r exec --process /tmp/p.json -d id": {"/tmp/p.json", false},
		"exec -p=/tmp/p.json id":                     {"/tmp/p.json", false},
		"exec -t id sh":                              {},
		"--root /create delete --force id":           {},
		"--version":                                  {},
	} {
		if got := findTarget(strings.Fields(line)); got != want {
			t.Errorf("findTarget(%q) = %+v, want %+v", line, got, want)
		}
	}
}

func TestRewriteTrimsOnlyWhatIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.json")
	document := `{"ociVersion":"1.0.2","hooks":{"n":12345678901234567890},"process":{"args":["sh"],"capabilities":{` +
		`"bounding":["CAP_KILL","CAP_SYS_RESOURCE"],"effective":["CAP_SYS_RESOURCE"],"permitted":["CAP_KILL"],` +
		`"inheritable":["CAP_SYS_RESOURCE"],"ambient":["CAP_FUTURE","CAP_SYS_RESOURCE"]}}}`
	if err := os.WriteFile(path, []byte(document), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := rewrite(target{path, true}, withoutSysResource); err != nil {
		t.Fatal(err)
	}
	after, _ := os.ReadFile(path)
	if !strings.Contains(string(after), `12345678901234567890`) || !strings.Contains(string(after), `"ociVersion":"1.0.2"`) {
		t.Errorf("something else was lost: %s", after)
	}
	var parsed struct {
		Process struct {
			Args         []string
			Capabilities map[string][]string
		}
	}
	if err := json.Unmarshal(after, &parsed); err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{
		"bounding": {"CAP_KILL"}, "effective": {}, "permitted": {"CAP_KILL"}, "inheritable": {}, "ambient": {"CAP_FUTURE"},
	}
	if !reflect.DeepEqual(parsed.Process.Capabilities, want) {
		t.Errorf("capabilities = %v, want %v", parsed.Process.Capabilities, want)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o640 {
		t.Errorf("mode = %v", info.Mode())
	}
}

func TestProcessFileAndNothingToDo(t *testing.T) {
	process := []byte(`{"args":["sh"],"capabilities":{"bounding":["CAP_KILL","CAP_SYS_RESOURCE"]}}`)
	after, changed, err := trimmed(process, false, withoutSysResource)
	if err != nil || !changed || strings.Contains(string(after), "RESOURCE") {
		t.Errorf("trimmed = %s, %v, %v", after, changed, err)
	}
	for _, document := range []string{`{"capabilities":{"bounding":["CAP_KILL"]}}`, `{"args":[]}`, `{"capabilities":null}`} {
		after, changed, err := trimmed([]byte(document), false, withoutSysResource)
		if err != nil || changed || string(after) != document {
			t.Errorf("trimmed(%s) = %s, %v, %v", document, after, changed, err)
		}
	}
	if _, _, err := trimmed([]byte(`{`), true, withoutSysResource); err == nil {
		t.Error("half a document was accepted")
	}
}
