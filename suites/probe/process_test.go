package probe

import (
	"bufio"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"faultline/reports/record"
)

// asServer makes the test binary a fake API server of its own process, which
// can be frozen, and whose CPU time is not the probes'.
const asServer = "FAULTLINE_TEST_FAKE_API"

func TestMain(m *testing.M) {
	if os.Getenv(asServer) == "" {
		os.Exit(m.Run())
	}
	server := httptest.NewUnstartedServer(newFakeAPI())
	server.EnableHTTP2 = true
	server.Config.ErrorLog = quiet()
	server.StartTLS()
	fmt.Println(server.Listener.Addr())
	bufio.NewReader(os.Stdin).ReadByte() // until the parent ends
}

// serverProcess starts a fake API server and returns it with its address.
func serverProcess(t testing.TB) (*os.Process, string) {
	t.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), asServer+"=1")
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close(); command.Process.Kill(); command.Wait() })
	address, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return command.Process, strings.TrimSpace(address)
}

// A stopped process keeps its connections and its listening socket: nothing is
// refused, nothing answers, and a watch looks open.
func TestAFrozenServerTimesOutAndComesBack(t *testing.T) {
	process, address := serverProcess(t)
	s := newSet(Options{Timeout: 400 * ms})
	if err := s.addDoors([]door{doorAt("n1", address)}); err != nil {
		t.Fatal(err)
	}
	s.launch(t.Context())
	defer func() { process.Signal(syscall.SIGCONT); s.halt(t.Context()) }()
	allBecome := func(way record.Way, names ...Name) {
		t.Helper()
		since := s.clock.Now()
		for _, name := range names {
			line := s.Of(name)[0]
			eventually(t, fmt.Sprintf("%s to be %s", name, way), func() bool { return line.Ways(since, time.Hour)[way] > 2 })
		}
	}
	probes := []Name{Write, ConsistentRead, CachedRead, Watch, Schedule, Reconcile}
	allBecome(record.Up, probes...)
	process.Signal(syscall.SIGSTOP)
	allBecome(record.TimedOut, probes...)
	process.Signal(syscall.SIGCONT)
	allBecome(record.Up, probes...)
	process.Kill()
	allBecome(record.Refused, probes...)
}

// BenchmarkSet tells what watching a cluster of three masters costs this
// process: front and three API servers, a write through the front only.
func BenchmarkSet(b *testing.B) {
	_, address := serverProcess(b)
	s := newSet(Options{})
	front := doorAt("load-balancer", address)
	front.width = 3
	if err := s.addDoors([]door{front, doorAt("n1", address), doorAt("n2", address), doorAt("n3", address)}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s = measure(b, s)
	}
}

func measure(b *testing.B, s *Set) *Set {
	const period = 10 * time.Second
	s.launch(b.Context())
	pause(b.Context(), time.Second)
	from, cpu := s.clock.Now(), cpuTime(b)
	pause(b.Context(), period)
	to, used := s.clock.Now(), cpuTime(b)-cpu
	s.halt(b.Context())
	samples, gap := 0, time.Duration(0)
	for _, line := range s.Timelines() {
		samples += len(line.Samples(from, to))
		gap = max(gap, line.MaxGap(from, to))
	}
	elapsed := (to - from).Seconds()
	b.ReportMetric(float64(samples)/elapsed, "samples/s")
	b.ReportMetric(100*used.Seconds()/elapsed, "%core")
	b.ReportMetric(float64(used.Microseconds())/float64(samples), "µs-cpu/sample")
	b.ReportMetric(gap.Seconds()*1000, "ms-maxgap")
	return s
}

func cpuTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
