package main

import (
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/clientcmd"

	"faultline/suites/gameday/consent"
)

// malformations make a good plan one that must not be run.
var malformations = []func(text string, dice *mathrand.Rand) string{
	func(text string, dice *mathrand.Rand) string {
		return text[:dice.IntN(strings.Index(text, "experiments:"))]
	},
	func(text string, dice *mathrand.Rand) string { return otherDigit(text, "uid: ", dice) },
	func(text string, dice *mathrand.Rand) string { return otherDigit(text, "ca: sha256:", dice) },
	func(text string, dice *mathrand.Rand) string { return otherDigit(text, "consent: ", dice) },
	func(text string, dice *mathrand.Rand) string { return otherDigit(text, "address: ", dice) },
	func(text string, _ *mathrand.Rand) string {
		return regexp.MustCompile(`expiresAt: .*`).ReplaceAllString(text, "expiresAt: 2020-01-01T00:00:00Z")
	},
	func(text string, dice *mathrand.Rand) string {
		return fmt.Sprintf("%s\nsurprise%d: true\n", text, dice.IntN(100))
	},
	func(text string, dice *mathrand.Rand) string {
		return strings.Replace(text, "hold: 50s", fmt.Sprintf("hold: %dh", 2+dice.IntN(100)), 1)
	},
	func(text string, _ *mathrand.Rand) string {
		return strings.Replace(text, "fault: hold-down", "fault: destroy", 1)
	},
	func(text string, _ *mathrand.Rand) string {
		return strings.Replace(text, "name: etcd-member", "name: api-server", 1)
	},
	func(text string, dice *mathrand.Rand) string {
		return strings.Replace(text, "version: 1", fmt.Sprintf("version: %d", 2+dice.IntN(9)), 1)
	},
	func(text string, _ *mathrand.Rand) string {
		return strings.Replace(text, "writable: true", "writable: false", 1)
	},
}

// otherDigit changes one hexadecimal digit of the first value after a key.
func otherDigit(text, key string, dice *mathrand.Rand) string {
	at := strings.Index(text, key) + len(key)
	line, _, _ := strings.Cut(text[at:], "\n")
	var digits []int
	for n, c := range line {
		if c >= '0' && c <= '9' {
			digits = append(digits, at+n)
		}
	}
	where := digits[dice.IntN(len(digits))]
	return text[:where] + string('0'+(text[where]-'0'+byte(1+dice.IntN(9)))%10) + text[where+1:]
}

// refuseMalformed tries to hold 200 game days with plans that are malformed or stale.
func refuseMalformed(t *testing.T, kubeconfig, name, command string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "plan.yaml")
	for variable, value := range map[string]string{
		kubeconfigVariable: kubeconfig, contextVariable: name, nodeShellVariable: command, planVariable: file,
		experimentsVariable: "etcd-member worker", holdVariable: "50s", "ARTIFACTS": t.TempDir(),
	} {
		t.Setenv(variable, value)
	}
	if err := gamedayPlan(t.Context()); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	seed := mathrand.Uint64()
	t.Logf("seed %d", seed)
	dice := mathrand.New(mathrand.NewPCG(seed, 0))
	for n := range 200 {
		bad := malformations[n%len(malformations)](string(good), dice)
		if bad == string(good) {
			t.Fatalf("malformation %d changes nothing in:\n%s", n%len(malformations), good)
		}
		if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		var refused refusal
		if err := runGameday(t.Context()); !errors.As(err, &refused) {
			t.Fatalf("a plan by malformation %d is not refused but: %v\n%s", n%len(malformations), err, bad)
		}
	}
}

// misconsents make a good consent one that does not allow a day of processes on any node.
var misconsents = []func(text string, dice *mathrand.Rand) string{
	func(text string, dice *mathrand.Rand) string {
		return text[:dice.IntN(strings.Index(text, "expires:"))]
	},
	func(text string, dice *mathrand.Rand) string { return otherDigit(text, "cluster: ", dice) },
	func(text string, dice *mathrand.Rand) string {
		return fmt.Sprintf("%s\nsurprise%d: true\n", text, dice.IntN(100))
	},
	func(text string, dice *mathrand.Rand) string {
		return strings.Replace(text, "version: 1", fmt.Sprintf("version: %d", 2+dice.IntN(9)), 1)
	},
	func(text string, dice *mathrand.Rand) string {
		return strings.Replace(text, "nodes: 2", fmt.Sprintf("nodes: %d", -dice.IntN(9)), 1)
	},
	func(text string, _ *mathrand.Rand) string {
		return strings.Replace(text, "[process, network, ", "[", 1)
	},
	func(text string, dice *mathrand.Rand) string {
		return strings.Replace(text, "[process, ", fmt.Sprintf("[process%d, ", dice.IntN(9)), 1)
	},
	func(text string, _ *mathrand.Rand) string {
		return strings.Replace(text, "faultline-probe-ledger", "elsewhere", 1)
	},
	func(text string, dice *mathrand.Rand) string {
		expired := time.Now().Add(-time.Duration(dice.Int64N(int64(1000 * time.Hour))))
		return regexp.MustCompile(`(?m)^expires: .*`).ReplaceAllString(text, "expires: "+expired.UTC().Format(time.RFC3339))
	},
	func(text string, _ *mathrand.Rand) string {
		other := time.Now().UTC().Add(48 * time.Hour).Format("Mon")
		return text + fmt.Sprintf("hours: {zone: UTC, windows: [{days: [%s], from: \"00:00\", to: \"24:00\"}]}\n", strings.ToLower(other))
	},
	func(string, *mathrand.Rand) string { return "" },
}

// refuseConsents has the cluster's owner write consents that are malformed, or allow something
// else. Planning a day has to be refused each time, and the day that was planned before, too.
// It goes on where refuseMalformed ended.
func refuseConsents(t *testing.T, kubeconfig string) {
	t.Helper()
	owner := ownerOf(t, kubeconfig)
	object, err := owner.Get(t.Context(), consent.Name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	good := object.Data[consent.Key]
	write := func(text string) {
		t.Helper()
		object.Data[consent.Key] = text
		if object, err = owner.Update(t.Context(), object, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := gamedayPlan(t.Context()); err != nil {
		t.Fatal(err)
	}
	seed := mathrand.Uint64()
	t.Logf("seed %d", seed)
	dice := mathrand.New(mathrand.NewPCG(seed, 0))
	for n := range 10 * len(misconsents) {
		bad := misconsents[n%len(misconsents)](good, dice)
		if bad == good {
			t.Fatalf("consent %d is the good one:\n%s", n%len(misconsents), good)
		}
		write(bad)
		var refused refusal
		if err := gamedayPlan(t.Context()); !errors.As(err, &refused) {
			t.Fatalf("under consent %d planning is not refused but: %v\n%s", n%len(misconsents), err, bad)
		}
		if err := runGameday(t.Context()); !errors.As(err, &refused) {
			t.Fatalf("under consent %d the day is not refused but: %v\n%s", n%len(misconsents), err, bad)
		}
	}
	write(good)
	if err := gamedayPlan(t.Context()); err != nil {
		t.Errorf("under the good consent again: %v", err)
	}
}

// ownerOf is somebody else than Faultline, as far as the audit log is concerned.
func ownerOf(t *testing.T, kubeconfig string) corev1client.ConfigMapInterface {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	config.UserAgent = "owner"
	client, err := corev1client.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client.ConfigMaps(consent.Namespace)
}
