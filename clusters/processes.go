package clusters

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Process is a process of an instance, in its node's process namespace.
type Process struct {
	PID int
	// StartTicks is field 22 of /proc/PID/stat: together with the PID it
	// identifies a process even when numbers are used again.
	StartTicks uint64
	// State is field 3 of /proc/PID/stat: R, S, D, T (stopped), Z ...
	State string
	// Age is for how long it had run when it was looked at, by the node's kernel.
	Age time.Duration
}

// Is tells whether it is the same process as another time, whatever it does now.
func (p Process) Is(other Process) bool {
	return p.PID == other.PID && p.StartTicks == other.StartTicks
}

// ErrNoProcess says that an instance has no process now.
var ErrNoProcess = errors.New("no process")

// CopyVariable is in the environment of a further copy of a component, with the number
// of the copy. It tells copies apart for those who look at processes.
const CopyVariable = "FAULTLINE_COPY"

// ProcStatFunction is procstat, a function of a shell that sets state and start to fields 3 and 22 of
// /proc/$1/stat, or to nothing when there is no such process. The name between the
// parentheses may hold blanks and parentheses itself. A process of its own takes longer to
// start than all of this, so there is none.
const ProcStatFunction = `procstat() {
  line=
  read -r line 2>/dev/null <"/proc/$1/stat" || true
  IFS=')'
  set -- $line
  unset IFS
  while [ $# -gt 1 ]; do shift; done
  set -- $1
  state=$1
  [ $# -lt 20 ] || shift 19
  start=$1
}
`

// ListProcesses prints PID, state, start ticks and the node's uptime in seconds for every
// process whose name is one of $1, separated by |, and that is the copy $2, or no copy if
// that is 0, and whose container has the hostname $3, if that is not empty. It starts one
// process for each that it finds.
const ListProcesses = ProcStatFunction + `nl='
'
cd /proc
read -r up rest <uptime
for p in [0-9]*; do
  name=
  read -r name <"$p/comm" || continue
  case "|$1|" in *"|$name|"*) ;; *) continue ;; esac
  variables=$nl$(tr '\0' '\n' <"$p/environ")$nl
  case "$2$variables" in
    0*"$nl"` + CopyVariable + `=*) continue ;;
    0* | *"$nl"` + CopyVariable + `="$2$nl"*) ;;
    *) continue ;;
  esac
  case "$variables" in *"$nl"HOSTNAME="$3$nl"*) ;; *) [ -z "$3" ] || continue ;; esac
  procstat "$p"
  [ -z "$state" ] || echo "$p $state $start $up"
done 2>/dev/null
true`

// ProcessArguments are the arguments with which ListProcesses finds the instance. A pod's
// hostname is its name, but with the node's network it is the node's: that tells a
// static pod from a workload that runs the same program.
func (i Instance) ProcessArguments() []string {
	hostname := i.Pod
	if i.Static() {
		hostname = i.Node.Name
	}
	return []string{i.Component.processNames(), strconv.Itoa(i.Copy), hostname}
}

// Processes finds the instance's processes, the first of which is the oldest, by asking
// the node's kernel, which works whatever state the API and the container runtime are
// in. It returns ErrNoProcess when there is none.
func (i Instance) Processes(ctx context.Context) ([]Process, error) {
	out, err := i.Node.Exec(ctx, append([]string{"sh", "-c", ListProcesses, "sh"}, i.ProcessArguments()...)...)
	if err != nil {
		return nil, fmt.Errorf("look for the process of %s: %w", i, err)
	}
	var all []Process
	for line := range strings.Lines(string(out)) {
		p, err := parseProcess(line)
		if err != nil {
			return nil, fmt.Errorf("look for the process of %s: %w", i, err)
		}
		if p.State != "Z" && p.State != "X" {
			all = append(all, p)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: %w", i, ErrNoProcess)
	}
	slices.SortFunc(all, func(a, b Process) int {
		return cmp.Or(cmp.Compare(a.StartTicks, b.StartTicks), cmp.Compare(a.PID, b.PID))
	})
	return all, nil
}

// Process is the first of the instance's processes.
func (i Instance) Process(ctx context.Context) (Process, error) {
	all, err := i.Processes(ctx)
	if err != nil {
		return Process{}, err
	}
	return all[0], nil
}

// tick is the unit of a process's start (USER_HZ), on every architecture that Kubernetes runs on.
const tick = time.Second / 100

func parseProcess(line string) (Process, error) {
	f := strings.Fields(line)
	if len(f) != 4 {
		return Process{}, fmt.Errorf("process line %q: want PID, state, start and uptime", line)
	}
	pid, err := strconv.Atoi(f[0])
	if err != nil {
		return Process{}, fmt.Errorf("process line %q: %w", line, err)
	}
	start, err := strconv.ParseUint(f[2], 10, 64)
	if err != nil {
		return Process{}, fmt.Errorf("process line %q: %w", line, err)
	}
	up, err := time.ParseDuration(f[3] + "s")
	if err != nil {
		return Process{}, fmt.Errorf("process line %q: %w", line, err)
	}
	return Process{PID: pid, State: f[1], StartTicks: start, Age: max(0, up-time.Duration(start)*tick)}, nil
}

// processNames is a pattern of what the kernel calls the component's processes: at most
// 15 bytes (TASK_COMM_LEN).
func (c Component) processNames() string {
	if c == Envoy {
		return "envoy|haproxy"
	}
	return string(c)[:min(len(c), 15)]
}
