// Command loadbalancer stands in for Envoy in kind's load-balancer container,
// where Envoy is not to be had. Installed under the name envoy, it reads the
// two files with which kind drives Envoy, runs HAProxy accordingly and follows
// every later change of the files.
//
// It differs from Envoy in one way that matters to experiments: with no
// healthy backend it refuses connections, whereas Envoy's panic threshold
// makes it try all of them when most are unhealthy.
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
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	var last string
	for {
		text, err := readAndRender(dir)
		switch {
		case err != nil && err.Error() != last:
			last = err.Error()
			log.Print(err)
		case err == nil && text != last:
			last = text
			if err := proxy.use(text); err != nil {
				log.Print(err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-proxy.died:
			return fmt.Errorf("haproxy ended: %s", proxy.cmd.ProcessState)
		case <-poll.C:
		}
	}
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
