// Command workload is what the experiments run in their pods: an HTTP server
// that says which pod it is, a heartbeat, a client that samples other services
// from inside the cluster, a client of a database outside of it, and a hog. On a node it
// is a client that keeps an API server busy.
//
//	workload serve [-listen :8080] [-target name=url]... [-interval 50ms] [-timeout 1s]
//	workload heartbeat [-file path] [-interval 1s]
//	workload database -url https://host:2379 [-server-name name] [-certs folder]
//	workload hog [-cpu] [-memory MiB]
//	workload load requests|events|lists|pods -server url -dir folder -namespace name ...
//
// It needs nothing but the standard library and fits into an empty image.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "workload:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("say what to do: serve, heartbeat, database, hog or load")
	}
	switch args[0] {
	case "serve":
		return serve(ctx, args[1:])
	case "heartbeat":
		return heartbeat(ctx, args[1:])
	case "database":
		return useDatabase(ctx, args[1:])
	case "hog":
		return hog(ctx, args[1:])
	case "load":
		return putLoad(ctx, args[1:])
	}
	return fmt.Errorf("unknown command %q: it is serve, heartbeat, database, hog or load", args[0])
}
