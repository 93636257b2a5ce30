package clusters

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// program runs one of that name with that environment until the test ends.
func program(t *testing.T, name string, env ...string) string {
	t.Helper()
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.Symlink(sleep, path); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "60")
	cmd.Env = env
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return strconv.Itoa(cmd.Process.Pid)
}

func TestListProcesses(t *testing.T) {
	plain := program(t, "fl-list-a", "HOSTNAME=n1")
	second := program(t, "fl-list-a", "HOSTNAME=n1", "FAULTLINE_COPY=2")
	other := program(t, "fl-list-b", "HOSTNAME=n10", "X=HOSTNAME=n1")
	tests := []struct {
		name, copied, host string
		want               []string
	}{
		{"fl-list-a", "0", "", []string{plain}},
		{"fl-list-a", "0", "n1", []string{plain}},
		{"fl-list-a", "0", "n10", nil},
		{"fl-list-a", "2", "n1", []string{second}},
		{"fl-list-a", "20", "", nil},
		{"fl-list-a|fl-list-b", "0", "", []string{plain, other}},
		{"fl-list-b", "0", "n1", nil},
		{"fl-list", "0", "", nil},
		{"fl-list-.", "0", "", nil},
	}
	for _, test := range tests {
		out, err := exec.Command("sh", "-c", ListProcesses, "sh", test.name, test.copied, test.host).Output()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for line := range strings.Lines(string(out)) {
			p, err := parseProcess(line)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, strconv.Itoa(p.PID))
		}
		slices.Sort(got)
		slices.Sort(test.want)
		if !slices.Equal(got, test.want) {
			t.Errorf("%q, copy %s, host %q: got %v, want %v", test.name, test.copied, test.host, got, test.want)
		}
	}
}

func TestListedProcessesHaveAnAge(t *testing.T) {
	earlier := time.Now()
	program(t, "fl-list-age")
	started := time.Now()
	time.Sleep(100 * time.Millisecond)
	youngest := time.Since(started)
	out, err := exec.Command("sh", "-c", ListProcesses, "sh", "fl-list-age", "0", "").Output()
	if err != nil {
		t.Fatal(err)
	}
	// The kernel counts in ticks, and tells the uptime in hundredths.
	p, err := parseProcess(string(out))
	if oldest := time.Since(earlier); err != nil || p.Age < youngest-2*tick || p.Age > oldest+2*tick {
		t.Errorf("got %s, %v, want %s to %s", p.Age, err, youngest, oldest)
	}
}

func TestProcStat(t *testing.T) {
	pid := program(t, "a (b) c) S 1")
	for _, shell := range []string{"sh", "bash"} {
		if _, err := exec.LookPath(shell); err != nil {
			continue
		}
		ask := func(pid string) string {
			out, err := exec.Command(shell, "-ec", ProcStatFunction+`procstat "$1"; echo "$state $start"`, shell, pid).CombinedOutput()
			if err != nil {
				t.Errorf("%s: %v: %s", shell, err, out)
			}
			return strings.TrimSpace(string(out))
		}
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil {
			t.Fatal(err)
		}
		f := strings.Fields(string(stat[strings.LastIndex(string(stat), ")")+1:]))
		if got, want := strings.Fields(ask(pid)), []string{"S", f[19]}; len(got) != 2 || got[1] != want[1] {
			t.Errorf("%s: got %q, want %q", shell, got, want)
		}
		if got := ask("999999999"); got != "" {
			t.Errorf("%s: a process that is not there: got %q", shell, got)
		}
	}
}
