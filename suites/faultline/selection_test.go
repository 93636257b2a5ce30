package main

import (
	"strings"
	"testing"
)

func TestSelection(t *testing.T) {
	for filter, want := range map[string]string{
		"":                              "(tier:smoke || tier:core) && !sabotage",
		"component:kubelet":             "(tier:smoke || tier:core) && !sabotage && (component:kubelet)",
		"topology:single-host-minimal":  "(tier:smoke || tier:core) && !sabotage && (topology:single-host-minimal)",
		"claim:ETCD-02 || claim:API-01": "(tier:smoke || tier:core) && !sabotage && (claim:ETCD-02 || claim:API-01)",
	} {
		t.Setenv("GINKGO_LABEL_FILTER", filter)
		if got, err := labelFilter(); err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", filter, got, err, want)
		}
	}
}

func TestSelectionRefuses(t *testing.T) {
	for filter, want := range map[string]string{
		"topology:four-host":      "three-host-stacked",
		"claim:ETCD-999":          "known are",
		"colour:red":              "unknown label",
		"topology:single-host &&": "GINKGO_LABEL_FILTER",
	} {
		t.Setenv("GINKGO_LABEL_FILTER", filter)
		if _, err := labelFilter(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want an error with %q", filter, err, want)
		}
	}
	t.Setenv("GINKGO_LABEL_FILTER", "")
	t.Setenv("FAULTLINE_TIERS", "weekly")
	if _, err := labelFilter(); err == nil {
		t.Error("an unknown tier was accepted")
	}
}

func TestAnEmptySelectionNamesAllThatSelects(t *testing.T) {
	t.Setenv("GINKGO_LABEL_FILTER", "claim:ETCD-02 && topology:single-master")
	t.Setenv("GINKGO_FOCUS", "nothing of that name")
	t.Setenv("FAULTLINE_TIERS", "")
	for _, want := range []string{"claim:ETCD-02 && topology:single-master", "nothing of that name", defaultTiers, "make chaos-plan"} {
		if err := errNothing(); !strings.Contains(err.Error(), want) {
			t.Errorf("it lacks %q: %v", want, err)
		}
	}
}

func TestSeed(t *testing.T) {
	t.Setenv(seedVariable, "42")
	if n, err := seed(); err != nil || n != 42 {
		t.Errorf("%d, %v; want 42", n, err)
	}
	for _, bad := range []string{"x", "0", "-3", "1.5"} {
		t.Setenv(seedVariable, bad)
		if _, err := seed(); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	t.Setenv(seedVariable, "")
	if n, err := seed(); err != nil || n < 1 {
		t.Errorf("%d, %v; want any from 1", n, err)
	}
}
