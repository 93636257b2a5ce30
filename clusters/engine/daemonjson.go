package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// withRuntime is Docker's configuration with one more OCI runtime, used by
// default. Everything else in it is kept. It refuses to overrule a default
// runtime that somebody else chose.
func withRuntime(before []byte, name, path string) ([]byte, error) {
	config := map[string]json.RawMessage{}
	if len(bytes.TrimSpace(before)) > 0 {
		if err := json.Unmarshal(before, &config); err != nil {
			return nil, fmt.Errorf("it is not valid JSON (check it with 'jq . %s'): %w", daemonJSON, err)
		}
	}
	runtimes, err := object(config["runtimes"])
	if err != nil {
		return nil, fmt.Errorf(`"runtimes": %w`, err)
	}
	var current string
	if value, ok := config["default-runtime"]; ok {
		if err := json.Unmarshal(value, &current); err != nil {
			return nil, fmt.Errorf(`"default-runtime": %w`, err)
		}
	}
	if current != "" && current != "runc" && current != name {
		return nil, fmt.Errorf("it has %q as its default runtime; make it start privileged containers, or set default-runtime to runc", current)
	}
	entry, err := json.Marshal(map[string]string{"path": path})
	if err != nil {
		return nil, err
	}
	if current == name && sameJSON(runtimes[name], entry) {
		return before, nil
	}
	runtimes[name] = entry
	if config["runtimes"], err = json.Marshal(runtimes); err != nil {
		return nil, err
	}
	if config["default-runtime"], err = json.Marshal(name); err != nil {
		return nil, err
	}
	after, err := json.MarshalIndent(config, "", "  ")
	return append(after, '\n'), err
}

// object reads a JSON object that may be missing.
func object(raw json.RawMessage) (map[string]json.RawMessage, error) {
	members := map[string]json.RawMessage{}
	if len(raw) == 0 {
		return members, nil
	}
	if err := json.Unmarshal(raw, &members); err != nil {
		return nil, err
	}
	if members == nil {
		members = map[string]json.RawMessage{}
	}
	return members, nil
}

func sameJSON(a, b []byte) bool {
	var x, y bytes.Buffer
	return json.Compact(&x, a) == nil && json.Compact(&y, b) == nil && bytes.Equal(x.Bytes(), y.Bytes())
}
