package main

import (
	"fmt"
	"os"
	"strconv"

	"faultline/clusters"
)

// processesVariable names how many processes share the experiments, each with a cluster of its own.
const processesVariable = "GINKGO_PROCS"

// clusterCores is how many cores a cluster of Kubernetes and its probes want. Measured: on two
// cores two clusters of three masters have no steady state, and one write in five times out.
const clusterCores = 2

// processes reads GINKGO_PROCS. It refuses clusters that would starve each other: what their
// probes saw would be blamed on Kubernetes.
func processes(layouts []string, cores int) (int, error) {
	text := os.Getenv(processesVariable)
	if text == "" {
		return 1, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%s=%q: want a whole number from 1", processesVariable, text)
	}
	most := max(1, cores/clusterCores)
	for _, name := range layouts {
		t, err := clusters.Find(name)
		if err != nil {
			return 0, err
		}
		if t.Kubernetes() && n > most {
			return 0, fmt.Errorf("%s=%d: clusters of Kubernetes such as %s want %d cores each, and this machine has %d, enough for %s=%d; "+
				"etcd alone wants less: GINKGO_LABEL_FILTER='/topology:bare-etcd.*/'", processesVariable, n, t.Name, clusterCores, cores, processesVariable, most)
		}
	}
	return n, nil
}
