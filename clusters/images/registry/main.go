// Command registry serves container images on a cluster's network. It keeps what is
// pushed in a folder, so that a restart forgets nothing.
//
//	registry [-listen :5000] [-dir /var/lib/registry]
//
// It speaks plain HTTP and knows no users: it is for a network that nothing enters or
// leaves. Every request is a line on standard error.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	listen := flag.String("listen", ":5000", "address to listen on")
	dir := flag.String("dir", "/var/lib/registry", "folder to keep images in")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *listen, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "registry:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, listen, dir string) error {
	handler, err := open(dir)
	if err != nil {
		return err
	}
	server := &http.Server{Addr: listen, Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
