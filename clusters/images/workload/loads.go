package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

type object = map[string]any

// unlimited is a total that no load reaches.
const unlimited = 1 << 62

// requests asks for a list and for an object in turn. Both are cheap: what costs is their
// number.
func requests(flags *flag.FlagSet) func(context.Context, *account) (*load, error) {
	rate := flags.Float64("rate", 1, "requests a second")
	clients := flags.Int("clients", 1, "most requests that wait for an answer")
	return func(_ context.Context, a *account) (*load, error) {
		return &load{perSecond: *rate, waiting: *clients, total: unlimited, round: func(ctx context.Context, n int) error {
			if n%2 == 0 {
				return a.call(ctx, http.MethodGet, "configmaps", nil)
			}
			return a.call(ctx, http.MethodGet, "serviceaccounts/client", nil)
		}}, nil
	}
}

// events creates Events, all different: the API server puts none together.
func events(flags *flag.FlagSet) func(context.Context, *account) (*load, error) {
	rate := flags.Float64("rate", 1, "Events a second")
	count := flags.Int("count", 1, "most Events in all")
	return func(_ context.Context, a *account) (*load, error) {
		return &load{perSecond: *rate, waiting: writers, total: *count, round: func(ctx context.Context, n int) error {
			return a.call(ctx, http.MethodPost, "events", a.event(n))
		}}, nil
	}
}

// writers is how many writes of a load may wait.
const writers = 100

func (a *account) event(n int) object {
	now := time.Now().UTC().Format(time.RFC3339)
	return object{
		"metadata":       object{"name": fmt.Sprintf("storm-%d", n)},
		"involvedObject": object{"kind": "Namespace", "name": a.namespace, "namespace": a.namespace},
		"reason":         "Storm", "message": "One of many.", "type": "Normal", "count": 1,
		"firstTimestamp": now, "lastTimestamp": now, "source": object{"component": agent},
	}
}

// lists fills ConfigMaps and then lists all of them at once, again and again.
func lists(flags *flag.FlagSet) func(context.Context, *account) (*load, error) {
	objects := flags.Int("objects", 1, "ConfigMaps to list")
	size := flags.Int("size", 1<<10, "bytes of each")
	parallel := flags.Int("parallel", 1, "lists at the same time")
	return func(ctx context.Context, a *account) (*load, error) {
		filling := strings.Repeat("x", *size)
		create := &load{waiting: creators, total: *objects, round: func(ctx context.Context, n int) error {
			return a.create(ctx, fmt.Sprintf("big-%d", n), filling)
		}}
		if err := create.finish(ctx); err != nil {
			return nil, err
		}
		return &load{waiting: *parallel, total: unlimited, round: func(ctx context.Context, _ int) error {
			return a.call(ctx, http.MethodGet, "configmaps", nil)
		}}, nil
	}
}

// creators is how many ConfigMaps are created at the same time.
const creators = 4

// create makes a ConfigMap, and insists while the API does not want more.
func (a *account) create(ctx context.Context, name, filling string) error {
	config := object{"metadata": object{"name": name}, "data": object{"filling": filling}}
	for {
		err := a.call(ctx, http.MethodPost, "configmaps", config)
		if !refused(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// finish makes every round once, and fails with the first that fails.
func (l *load) finish(ctx context.Context) error {
	failed := make(chan error, l.waiting)
	var next atomic.Int64
	for range l.waiting {
		go func() {
			for n := next.Add(1); n <= int64(l.total); n = next.Add(1) {
				if err := l.round(ctx, int(n)); err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}
	var errs []error
	for range l.waiting {
		errs = append(errs, <-failed)
	}
	return errors.Join(errs...)
}

// pods creates pods and deletes each a while later.
func pods(flags *flag.FlagSet) func(context.Context, *account) (*load, error) {
	rate := flags.Float64("rate", 1, "pods a second")
	image := flags.String("image", "", "what the pods run")
	keep := flags.Int("keep", 10, "pods that there are at the same time")
	return func(_ context.Context, a *account) (*load, error) {
		return &load{perSecond: *rate, waiting: writers, total: unlimited, round: func(ctx context.Context, n int) error {
			if n > *keep {
				if err := a.call(ctx, http.MethodDelete, fmt.Sprintf("pods/churn-%d", n-*keep), nil); err != nil && !missing(err) {
					return err
				}
			}
			return a.call(ctx, http.MethodPost, "pods", pod(n, *image))
		}}, nil
	}
}

func pod(n int, image string) object {
	return object{
		"metadata": object{"name": fmt.Sprintf("churn-%d", n)},
		"spec": object{
			"serviceAccountName": "client", "automountServiceAccountToken": false,
			"restartPolicy": "Never", "terminationGracePeriodSeconds": 1,
			"containers": []object{{
				"name": "churn", "image": image, "imagePullPolicy": "Never", "args": []string{"heartbeat", "-interval", "1m"},
			}},
		},
	}
}
