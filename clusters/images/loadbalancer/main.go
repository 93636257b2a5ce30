// Command loadbalancer stands in for Envoy in kind's load-balancer container,
// where Envoy is not to be had. Installed under the name envoy, it reads the
// two files with which kind drives Envoy, runs HAProxy accordingly and follows
// every later change of the files.
//
// In what matters to experiments it does as Envoy with kind's settings: it checks the
// health of the backends, tries one of them for each connection, and tries all of them,
// whatever their health, when fewer than half are healthy (Envoy's panic threshold).
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	config := flag.String("c", "/home/envoy/envoy.yaml", "bootstrap configuration; cds.yaml and lds.yaml are beside it")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, filepath.Dir(*config)); err != nil {
		log.Fatal("loadbalancer: ", err)
	}
}

// run follows the files in dir until ctx ends or HAProxy dies. Files that it
// cannot understand leave the running configuration alone.
func run(ctx context.Context, dir string) error {
	proxy := &haproxy{path: "/run/haproxy.cfg"}
	defer proxy.stop()
	files := follower{dir: dir, use: proxy.use}
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	for {
		files.look(time.Now())
		select {
		case <-ctx.Done():
			return nil
		case <-proxy.died:
			return fmt.Errorf("haproxy ended: %s", proxy.cmd.ProcessState)
		case <-poll.C:
		}
	}
}

// retry is how long a configuration waits that HAProxy has not taken.
const retry = time.Second

// follower brings HAProxy's configuration up to the files in a folder.
type follower struct {
	dir string
	use func(config string) error
	// used is what HAProxy has taken, trouble what was logged last: the configuration that it
	// has not taken, or what is wrong with the files.
	used, trouble string
	again         time.Time // to try the configuration in trouble
}

// look does what the files say by now. It logs each trouble once.
func (f *follower) look(now time.Time) {
	text, err := readAndRender(f.dir)
	trouble := text
	switch {
	case err != nil:
		trouble = err.Error()
	case text == f.used:
		f.trouble = ""
		return
	case text == f.trouble && now.Before(f.again):
		return
	default:
		if err = f.use(text); err == nil {
			f.used, f.trouble = text, ""
			return
		}
		f.again = now.Add(retry)
	}
	if trouble != f.trouble {
		log.Print(err)
	}
	f.trouble = trouble
}

func readAndRender(dir string) (string, error) {
	cds, err := os.ReadFile(filepath.Join(dir, "cds.yaml"))
	if err != nil {
		return "", err
	}
	lds, err := os.ReadFile(filepath.Join(dir, "lds.yaml"))
	if err != nil {
		return "", err
	}
	front, err := parseListener(lds)
	if err != nil {
		return "", err
	}
	back, err := parseCluster(cds)
	if err != nil {
		return "", err
	}
	return render(front, back, maxConnections(openFilesLimit())), nil
}

// openFilesLimit is the hard limit of open files of this process.
func openFilesLimit() uint64 {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 1024
	}
	return limit.Max
}
