package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"faultline/reports/html"
	"faultline/suites/loopback"
	"faultline/suites/rundir"
)

// liveVariable asks for the growing report while a run goes on: 1 takes a free port, and
// 127.0.0.1:8080 that one.
const liveVariable = "FAULTLINE_LIVE"

// liveRefresh is how often a browser asks for the report again, in seconds.
const liveRefresh = "10"

// serveLive serves the report of what is known so far, on a loopback address only, until
// it is stopped.
func serveLive(dir rundir.Dir, started time.Time) (stop func(), err error) {
	address, err := liveAddress(os.Getenv(liveVariable))
	if err != nil || address == "" {
		return func() {}, err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", liveVariable, err)
	}
	server := &http.Server{Handler: liveReport(dir, started), ReadHeaderTimeout: 5 * time.Second}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			fmt.Fprintln(os.Stderr, "the live report:", err)
		}
	}()
	fmt.Printf("the report as it grows: http://%s/\n", listener.Addr())
	return func() { _ = server.Close() }, nil
}

// liveAddress is where to listen; empty means nowhere.
func liveAddress(text string) (string, error) {
	switch text {
	case "", "0":
		return "", nil
	case "1":
		return loopback.Free, nil
	}
	address, err := loopback.Address(text)
	if err != nil {
		return "", fmt.Errorf("%s=%q: want 1, or a loopback address with a port: %w", liveVariable, text, err)
	}
	return address, nil
}

// livePolicy lets the report use the script and the style that it holds itself, and nothing else.
const livePolicy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// liveReport renders what the suite has left so far, and serves the evidence beside it.
func liveReport(dir rundir.Dir, started time.Time) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /evidence/", asText(http.FileServer(http.Dir(dir.Results))))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		run, err := gather(dir, started)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Refresh", liveRefresh)
		if err := html.Write(w, run); err != nil {
			fmt.Fprintln(os.Stderr, "the live report:", err)
		}
	})
	return loopback.Guard(livePolicy, mux)
}

// asText serves files as what they are, whatever they are called: what nodes have written is shown
// and not obeyed.
func asText(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		next.ServeHTTP(w, r)
	})
}
