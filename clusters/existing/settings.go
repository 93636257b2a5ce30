package existing

import (
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"faultline/clusters"
)

// flagsOf are the flags of a static pod's only container, by name.
func flagsOf(p corev1.Pod) map[string]string {
	flags := map[string]string{}
	if len(p.Spec.Containers) == 0 {
		return flags
	}
	for _, word := range append(p.Spec.Containers[0].Command, p.Spec.Containers[0].Args...) {
		if name, value, found := strings.Cut(strings.TrimPrefix(word, "--"), "="); found && strings.HasPrefix(word, "--") {
			flags[name] = value
		}
	}
	return flags
}

// leaseFlags change how long elections take, which no bound here allows for.
var leaseFlags = []string{"leader-elect-lease-duration", "leader-elect-renew-deadline", "leader-elect-retry-period"}

// timing reads the settings that decide how long things take from the flags of what runs.
func (d *discovery) timing() clusters.Timing {
	profile := clusters.DocumentedProfile()
	profile.Name = "discovered"
	for _, p := range d.staticPods(clusters.ControllerManager) {
		d.setting(p, "node-monitor-grace-period", time.ParseDuration, &profile.NodeMonitorGracePeriod)
	}
	for _, p := range d.staticPods(clusters.APIServer) {
		d.setting(p, "default-unreachable-toleration-seconds", inSeconds, &profile.NodeTolerations)
	}
	for _, component := range []clusters.Component{clusters.Scheduler, clusters.ControllerManager} {
		for _, p := range d.staticPods(component) {
			for _, flag := range leaseFlags {
				if value := flagsOf(p)[flag]; value != "" {
					d.unknown("%s runs with --%s=%s: elections may take longer or shorter than is predicted", p.Name, flag, value)
				}
			}
		}
	}
	return clusters.Timing{Profile: profile, Slack: clusters.DefaultSlack}
}

// setting reads a flag; without it, or with one that nobody understands, the default stays.
func (d *discovery) setting(p corev1.Pod, flag string, parse func(string) (time.Duration, error), into *time.Duration) {
	text := flagsOf(p)[flag]
	if text == "" {
		return
	}
	value, err := parse(text)
	if err != nil {
		d.unknown("%s runs with --%s=%s, which nobody understands: the default of %s is assumed", p.Name, flag, text, *into)
		return
	}
	*into = value
}

// inSeconds is a time that a flag gives as a number of seconds.
func inSeconds(text string) (time.Duration, error) {
	seconds, err := strconv.Atoi(text)
	return time.Duration(seconds) * time.Second, err
}
