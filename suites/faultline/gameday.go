package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"faultline/clusters/existing"
	"faultline/fault"
	"faultline/reports/record"
	"faultline/suites/gameday"
	"faultline/suites/gameday/consent"
	dayplan "faultline/suites/gameday/plan"
	"faultline/suites/rundir"
)

// What a game day is told by. The kubeconfig and the context have no default, and KUBECONFIG
// is not read: it names whatever cluster somebody worked with last.
const (
	kubeconfigVariable  = "FAULTLINE_KUBECONFIG"
	contextVariable     = "FAULTLINE_CONTEXT"
	hostLabelVariable   = "FAULTLINE_HOST_LABEL"     // a node label that names hosts
	nodeShellVariable   = "FAULTLINE_NODE_SHELL"     // a command that reaches {address} or {name}, instead of pods
	accessImageVariable = "FAULTLINE_ACCESS_IMAGE"   // of those pods; empty: one that the nodes have
	experimentsVariable = "FAULTLINE_EXPERIMENTS"    // names, each perhaps with a node
	holdVariable        = "FAULTLINE_HOLD"           // how long each fault is held
	planVariable        = "FAULTLINE_PLAN"           // the plan to run
	intervalVariable    = "FAULTLINE_PROBE_INTERVAL" // between two samples of a probe
)

// The defaults of a game day.
const (
	defaultHold     = time.Minute
	defaultInterval = 500 * time.Millisecond
	planFile        = "gameday-plan.yaml"
	gamedayFile     = "gameday.md" // beside the report
)

// gamedayConsent prints the object with which the owner of a cluster consents, for kubectl.
func gamedayConsent(ctx context.Context) error {
	target, err := openTarget()
	if err != nil {
		return refusal{err}
	}
	identity, err := target.Identity(ctx)
	if err != nil {
		return refusal{err}
	}
	fmt.Print(consent.Template(identity.UID, time.Now()))
	return nil
}

// gamedayPlan writes and shows a plan. It changes nothing.
func gamedayPlan(ctx context.Context) error {
	_, planning, err := openPlanning(ctx)
	if err != nil {
		return refusal{err}
	}
	made, err := planning.Plan(ctx, time.Now())
	if err != nil {
		return refusal{err}
	}
	path := os.Getenv(planVariable)
	if path == "" {
		path = filepath.Join(rundir.Artifacts(), planFile)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := record.WriteFile(path, func(w io.Writer) error { return made.Write(w) }); err != nil {
		return err
	}
	fmt.Print(made.Text())
	fmt.Printf("\nplan: %s\nnothing was changed; run it with: make gameday %s=%s\n", path, planVariable, path)
	return nil
}

func openTarget() (*existing.Target, error) {
	target, err := existing.Open(os.Getenv(kubeconfigVariable), os.Getenv(contextVariable))
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", kubeconfigVariable, contextVariable, err)
	}
	return target, nil
}

// openPlanning discovers the cluster and reads what is wanted.
func openPlanning(ctx context.Context) (*existing.Target, gameday.Planning, error) {
	hold, err := durationFrom(holdVariable, defaultHold)
	if err != nil {
		return nil, gameday.Planning{}, err
	}
	target, err := openTarget()
	if err != nil {
		return nil, gameday.Planning{}, err
	}
	found, err := target.Discover(ctx, os.Getenv(hostLabelVariable))
	if err != nil {
		return nil, gameday.Planning{}, err
	}
	return target, gameday.Planning{
		Target: target, Found: found, Names: strings.Fields(os.Getenv(experimentsVariable)), Hold: hold,
		Pods: os.Getenv(nodeShellVariable) == "",
	}, nil
}

func durationFrom(variable string, otherwise time.Duration) (time.Duration, error) {
	text := os.Getenv(variable)
	if text == "" {
		return otherwise, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%s=%q: want a duration such as 60s", variable, text)
	}
	return d, nil
}

// runGameday carries a plan out.
func runGameday(ctx context.Context) error {
	p, err := readPlan()
	if err != nil {
		return refusal{err}
	}
	interval, err := durationFrom(intervalVariable, defaultInterval)
	if err != nil {
		return refusal{err}
	}
	page, err := liveAddress(os.Getenv(liveVariable))
	if err != nil {
		return refusal{err}
	}
	target, planning, err := openPlanning(ctx)
	if err != nil {
		return refusal{err}
	}
	if err := planning.Check(ctx, p, time.Now()); err != nil {
		return refusal{err}
	}
	dir, err := rundir.New()
	if err != nil {
		return refusal{err}
	}
	fmt.Print(p.Text())
	reaper, err := startReaper("reap-gameday", dir.Run)
	if err != nil {
		return refusal{err}
	}
	d := day{dir: dir, target: target, planning: planning, plan: p, reaper: reaper, started: time.Now()}
	return d.hold(ctx, interval, page)
}

// hold reaches the nodes, carries the plan out, leaves the cluster and tells about all of it: what
// could not be taken away counts as much as what went wrong before.
func (d *day) hold(ctx context.Context, interval time.Duration, page string) error {
	if err := d.reach(ctx); err != nil {
		return refusedUnlessLeft(err, d.leave(ctx))
	}
	outcome, err := d.run(ctx, interval, page)
	open := stillOpen(d.dir)
	outcome.Failed = errors.Join(err, d.leave(ctx))
	return d.tell(ctx, outcome, open)
}

// refusedUnlessLeft is the end of a day that did not begin: a refusal, which promises that nothing
// was changed, only when nothing stays behind.
func refusedUnlessLeft(why, left error) error {
	if left != nil {
		return errors.Join(why, left)
	}
	return refusal{why}
}

func readPlan() (dayplan.Plan, error) {
	path := os.Getenv(planVariable)
	if path == "" {
		return dayplan.Plan{}, fmt.Errorf("%s is empty: name the plan that make gameday-plan has written", planVariable)
	}
	file, err := os.Open(path)
	if err != nil {
		return dayplan.Plan{}, err
	}
	defer file.Close()
	p, err := dayplan.Read(file)
	if err != nil {
		return p, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// day is a game day with its places.
type day struct {
	dir      rundir.Dir
	target   *existing.Target
	planning gameday.Planning
	plan     dayplan.Plan
	reaper   *reaper
	started  time.Time
	// direct tells why a node is not reached without an API server; nil: each one is.
	direct func(ctx context.Context, node string) error
	// reachedUntil is when the way to the nodes ends by itself; zero: never.
	reachedUntil time.Time
}

// reachTime is how long the pods that reach nodes live, from their start to their end by
// themselves: a day with all its discussions has to fit in.
const reachTime = 8 * time.Hour

// reach opens the way to the nodes, and leaves a trail for whoever has to recover.
func (d *day) reach(ctx context.Context) error {
	if err := refuseSecondDay(ctx, d.target.Client()); err != nil {
		return err
	}
	found, command := d.planning.Found, os.Getenv(nodeShellVariable)
	found.Cluster.Run = d.dir.Run
	if command != "" {
		shell, err := existing.ByCommand(command, found.Cluster.Nodes)
		if err != nil {
			return fmt.Errorf("%s: %w", nodeShellVariable, err)
		}
		found.Cluster.Reach(shell)
		return d.leaveTrail(command)
	}
	pods := existing.NewPods(d.target, found)
	manifest, err := pods.Manifest(os.Getenv(accessImageVariable), reachTime)
	if err != nil {
		return err
	}
	fmt.Printf("\nThe nodes are reached over these privileged pods, which are removed afterwards:\n%s\nCreate them? Type yes: ", manifest)
	if !saidYes(ctx, os.Stdin) {
		return errors.New("nobody said yes, so nothing was created")
	}
	if err := d.leaveTrail(""); err != nil {
		return err
	}
	d.reachedUntil = time.Now().Add(reachTime) // no pod has started yet
	shell, err := pods.Open(ctx, os.Getenv(accessImageVariable), reachTime)
	if err != nil {
		return err
	}
	found.Cluster.Reach(shell)
	d.direct = pods.Direct
	return d.leaveTrail("")
}

// saidYes waits for a yes until ctx ends. Reading cannot be interrupted, so that it goes on then,
// and takes one line more.
func saidYes(ctx context.Context, in io.Reader) bool {
	answer := make(chan string, 1)
	go func() { answer <- readLine(in) }()
	select {
	case line := <-answer:
		return strings.TrimSpace(line) == "yes"
	case <-ctx.Done():
		return false
	}
}

// readLine reads a byte at a time: what follows the line is for others.
func readLine(in io.Reader) string {
	var line []byte
	one := make([]byte, 1)
	for {
		n, err := in.Read(one)
		if n == 1 && one[0] != '\n' {
			line = append(line, one[0])
			continue
		}
		if n == 1 || err != nil {
			return string(line)
		}
	}
}

func (d *day) leaveTrail(command string) error {
	trail, err := d.planning.Found.Trail(os.Getenv(kubeconfigVariable), command)
	if err != nil {
		return err
	}
	return trail.Save(d.dir.Trail())
}

// run carries the plan out.
func (d *day) run(ctx context.Context, interval time.Duration, page string) (gameday.Outcome, error) {
	journal, err := fault.OpenJournal(d.dir.State)
	if err != nil {
		return gameday.Outcome{}, err
	}
	outcome, err := gameday.Run(ctx, gameday.Options{
		Planning: d.planning, Plan: d.plan, Journal: journal, Interval: interval, Page: page,
		In: os.Stdin, Out: os.Stdout, Save: d.save, Direct: d.direct, ReachedUntil: d.reachedUntil,
	})
	return outcome, errors.Join(err, journal.Close())
}

// save keeps an experiment as soon as it is over.
func (d *day) save(e record.Experiment) error {
	return record.SaveJSON(filepath.Join(d.dir.Experiments(), e.ID+".json"), e)
}

// tell publishes what the day was, also when somebody interrupted it; open are the faults that are
// not proven undone.
func (d *day) tell(ctx context.Context, outcome gameday.Outcome, open []string) error {
	c := d.planning.Found.Cluster
	run := &record.Run{
		Schema: record.SchemaVersion, ID: d.dir.Run, StartedAt: d.started, Seconds: time.Since(d.started).Seconds(),
		Claims: []record.Claim{}, Experiments: outcome.Experiments, Skipped: outcome.Left, // a game day tests a cluster, and no document
		Environment: record.Environment{
			Kubernetes: c.Kubernetes, Engine: "none: a cluster that was there", Profile: c.Timing.Profile.Name, Slack: c.Timing.Slack,
			FaultlineVersion: version(),
		},
		NotRestored: open,
	}
	if outcome.Failed != nil {
		run.Failures = append(run.Failures, outcome.Failed.Error())
	}
	if outcome.AsBefore != nil {
		run.NotRestored = append(run.NotRestored, outcome.AsBefore.Error())
	}
	if err := record.SaveJSON(d.dir.Environment(), run.Environment); err != nil {
		return err
	}
	path := d.dir.File(gamedayFile)
	if err := record.WriteFile(path, func(w io.Writer) error { return gameday.Write(w, d.plan, outcome, d.started) }); err != nil {
		return err
	}
	fmt.Printf("\nthe day, for people: %s\n", path)
	return publish(context.WithoutCancel(ctx), d.dir, run)
}
