package clusters

import (
	"fmt"
	"os"
	"time"
)

// Profile is a set of Kubernetes settings that decide how long things take.
type Profile struct {
	Name string
	// NodeMonitorGracePeriod is the controller manager's flag of that name.
	NodeMonitorGracePeriod time.Duration
	// NodeTolerations are the API server's default not-ready and unreachable tolerations.
	NodeTolerations time.Duration
	// MaxRestartPeriod caps the kubelet's crash-loop back-off.
	MaxRestartPeriod time.Duration
	// DNSReadiness is the period of the readiness probe of the cluster's DNS servers.
	DNSReadiness time.Duration
	// StartupProbe is the period of the startup probes of static pods.
	StartupProbe time.Duration
	// ControllerQPS and ControllerBurst are how many requests a second the controller
	// manager allows itself (--kube-api-qps, --kube-api-burst). A new leader asks for a
	// credential for each of its controllers before any of them starts, for 5 s at the
	// defaults.
	ControllerQPS, ControllerBurst int
}

// DocumentedProfile leaves every default of Kubernetes and kubeadm untouched.
func DocumentedProfile() Profile {
	return Profile{
		Name:                   "documented",
		NodeMonitorGracePeriod: 50 * time.Second,
		NodeTolerations:        300 * time.Second,
		MaxRestartPeriod:       300 * time.Second,
		DNSReadiness:           10 * time.Second,
		StartupProbe:           10 * time.Second,
		ControllerQPS:          20,
		ControllerBurst:        30,
	}
}

// FastProfile shortens what only makes people wait; mechanisms stay the same.
func FastProfile() Profile {
	return Profile{
		Name:                   "fast",
		NodeMonitorGracePeriod: 20 * time.Second,
		NodeTolerations:        10 * time.Second,
		MaxRestartPeriod:       10 * time.Second,
		DNSReadiness:           time.Second,
		StartupProbe:           time.Second,
		ControllerQPS:          200,
		ControllerBurst:        300,
	}
}

// ProfileFromEnv reads FAULTLINE_PROFILE; unset means fast.
func ProfileFromEnv() (Profile, error) {
	switch name := os.Getenv("FAULTLINE_PROFILE"); name {
	case "", "fast":
		return FastProfile(), nil
	case "documented":
		return DocumentedProfile(), nil
	default:
		return Profile{}, fmt.Errorf("FAULTLINE_PROFILE=%q: want fast or documented", name)
	}
}
