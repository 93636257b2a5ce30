package clusters

import (
	"strings"
	"testing"
	"time"
)

func TestDocumentedTopologiesAreValid(t *testing.T) {
	seen := map[string]bool{}
	for _, topology := range Documented() {
		if err := topology.Validate(); err != nil {
			t.Error(err)
		}
		if topology.Source == "" {
			t.Errorf("%s cites no line", topology.Name)
		}
		if seen[topology.Name] {
			t.Errorf("%s is there twice", topology.Name)
		}
		seen[topology.Name] = true
	}
}

func TestValidateRefuses(t *testing.T) {
	for want, change := range map[string]func(*Topology){
		"lower-case":                   func(t *Topology) { t.Name = "Three Hosts" },
		"listed twice":                 func(t *Topology) { t.Hosts[1].Name = t.Hosts[0].Name },
		"has no member":                func(t *Topology) { t.Hosts[2].Members = nil },
		"no host has a member":         func(t *Topology) { t.Hosts = nil },
		"unknown role":                 func(t *Topology) { t.Hosts[0].Members[0].Role = "king" },
		"no member has the role":       func(t *Topology) { t.Hosts = []Host{{Name: "h1", Members: []Member{{Role: Worker}}}} },
		"do not go with load balancer": func(t *Topology) { t.LoadBalancer = NoLoadBalancer },
		"unknown load balancer":        func(t *Topology) { t.LoadBalancer = "two" },
		"with the role load-balancer":  func(t *Topology) { t.LoadBalancer = SharedAddress },
		"CPU set":                      func(t *Topology) { t.Hosts[0].CPUs = "first" },
		"has no disk":                  func(t *Topology) { t.Hosts[0].Members[0].Disk = "ssd" },
		"stores nothing":               func(t *Topology) { t.Hosts[0].Disks, t.Hosts[0].Members[1].Disk = []Disk{plainDisk("ssd")}, "ssd" },
		"a mirror has 2 devices":       func(t *Topology) { t.Hosts[0].Disks = []Disk{{Name: "m", Bytes: diskSize, Devices: 1, Mirrored: true}} },
		"too few for etcd":             func(t *Topology) { t.Hosts[0].Disks = []Disk{{Name: "m", Bytes: 1000, Devices: 1}} },
		"cannot be placed":             func(t *Topology) { t.Hosts[0].Members[0].Components = []Component{Kubelet} },
		"both on control-plane": func(t *Topology) {
			t.Hosts[0].Members = append(t.Hosts[0].Members, Member{Role: EtcdServer}, Member{Role: ControlPlane, Components: Stack})
		},
		"unknown workload": func(t *Topology) { t.Workloads = []Workload{"mining"} },
		"role database":    func(t *Topology) { t.Workloads = []Workload{ExternalDatabase} },
		"role registry":    func(t *Topology) { t.AirGapped = true },
		"no member runs": func(t *Topology) {
			*t = SingleHostMinimal()
			t.Hosts[0].Members[0].Workloads = false
		},
		"no API server does not": func(t *Topology) { *t = BareEtcd(3); t.LoadBalancer = OneLoadBalancer },
	} {
		topology := ThreeHostStacked()
		change(&topology)
		if err := topology.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

func TestFindNamesTheKnown(t *testing.T) {
	if found, err := Find("three-host-stacked"); err != nil || found.Count(ControlPlane) != 3 {
		t.Fatalf("got %v, %v", found, err)
	}
	if _, err := Find("four-host"); err == nil || !strings.Contains(err.Error(), "single-host-minimal") {
		t.Fatalf("got %v, want an error that lists the known", err)
	}
}

func TestMajorityAndMinority(t *testing.T) {
	for _, c := range []struct{ members, majority, minority int }{
		{1, 1, 0}, {2, 1, 0}, {3, 2, 1}, {4, 2, 1}, {5, 3, 2}, {6, 3, 2}, {7, 4, 3},
	} {
		all := make(Instances, c.members)
		if got := len(all.Majority()); got != c.majority {
			t.Errorf("losing %d of %d ends the majority, got %d", c.majority, c.members, got)
		}
		if got := len(all.Minority()); got != c.minority {
			t.Errorf("losing %d of %d keeps the majority, got %d", c.minority, c.members, got)
		}
	}
}

func TestLowerBoundsAreNotScaled(t *testing.T) {
	plain, slack := Timing{FastProfile(), 1}, Timing{FastProfile(), 3}
	if plain.LeaseTakeover().Lower != slack.LeaseTakeover().Lower {
		t.Error("slack scaled a lower bound")
	}
	if plain.LeaseTakeover().Upper*3 != slack.LeaseTakeover().Upper {
		t.Error("slack did not scale an upper bound")
	}
	if got := plain.LeaseTakeover().Lower; got != 13*time.Second {
		t.Errorf("nobody takes over before 13 s, got %s", got)
	}
}

func TestPausesBetweenPullsAreLimited(t *testing.T) {
	timing := Timing{FastProfile(), 1}
	for outage, want := range map[time.Duration]time.Duration{0: 20 * time.Second, time.Minute: 80 * time.Second, time.Hour: 310 * time.Second} {
		if got := timing.ImageRetried(outage).Upper; got != want {
			t.Errorf("after %s: %s, want %s", outage, got, want)
		}
	}
}

func TestSettingsFromTheEnvironment(t *testing.T) {
	t.Setenv("FAULTLINE_SLACK", "0.5")
	if _, err := SlackFromEnv(); err == nil {
		t.Error("a slack below 1 was accepted")
	}
	t.Setenv("FAULTLINE_PROFILE", "quick")
	if _, err := ProfileFromEnv(); err == nil {
		t.Error("an unknown profile was accepted")
	}
}

func TestParseProcess(t *testing.T) {
	for line, want := range map[string]Process{
		"812 S 4711 50.21\n": {PID: 812, State: "S", StartTicks: 4711, Age: 3100 * time.Millisecond},
		"812 S 4711 47.10\n": {PID: 812, State: "S", StartTicks: 4711}, // started since the uptime was read
	} {
		if p, err := parseProcess(line); err != nil || p != want {
			t.Errorf("%q: got %+v, %v", line, p, err)
		}
	}
	for _, line := range []string{"", "812", "812 S 1", "x S 1 1.00", "1 S y 1.00", "1 S 1 z"} {
		if _, err := parseProcess(line); err == nil {
			t.Errorf("%q was accepted", line)
		}
	}
}

func TestParseContainersNewestFirst(t *testing.T) {
	list, err := parseContainers([]byte(`{"containers":[{"id":"a","state":"CONTAINER_EXITED","metadata":{"attempt":0}},{"id":"b","state":"CONTAINER_RUNNING","metadata":{"attempt":1}}]}`))
	if err != nil || len(list) != 2 || list[0].ID != "b" {
		t.Fatalf("got %v, %v", list, err)
	}
	list, err = parseContainers([]byte(`{"containers":[{"id":"old","createdAt":"1700000000000000000","metadata":{"attempt":7}},{"id":"new","createdAt":"1700000000000000001","metadata":{"attempt":0}}]}`))
	if err != nil || len(list) != 2 || list[0].ID != "new" {
		t.Fatalf("another pod's first container: got %v, %v", list, err)
	}
	if _, err := parseContainers([]byte("no JSON")); err == nil {
		t.Fatal("nonsense was accepted")
	}
}

func TestParseActions(t *testing.T) {
	line := `{"stageTimestamp":"2026-01-02T03:04:05Z","user":{"username":"system:kube-scheduler"},"userAgent":"kube-scheduler/v1","sourceIPs":["10.0.0.2"],"verb":"create","objectRef":{"resource":"pods","name":"p","uid":"u"},"responseStatus":{"code":201}}`
	actions, err := parseActions([]byte(line+"\n"+line[:40]), time.Time{})
	if err != nil || len(actions) != 1 || actions[0].SourceIP != "10.0.0.2" || actions[0].UID != "u" || actions[0].OnLease() {
		t.Fatalf("got %+v, %v", actions, err)
	}
	later, err := parseActions([]byte(line), time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil || len(later) != 0 {
		t.Fatalf("an old action was not left out: %v, %v", later, err)
	}
	if _, err := parseActions([]byte("{nonsense}\n"), time.Time{}); err == nil {
		t.Fatal("nonsense was accepted")
	}
}

func TestFindProcesses(t *testing.T) {
	ps := "Ss   /sbin/init\nZs   etcd\nSsl  etcd --name=n1\nSsl  /usr/local/bin/etcd --name=n2\nTsl  kube-apiserver --x=y\n"
	if found := findProcesses(ps, Etcd); len(found) != 2 || found[0].state != "Ssl" || found[1].args[1] != "--name=n2" {
		t.Errorf("got %v", found)
	}
	if found := findProcesses(ps, APIServer); len(found) != 1 || found[0].state != "Tsl" {
		t.Errorf("got %v, want a stopped process", found)
	}
	if found := findProcesses(ps, Scheduler); len(found) > 0 {
		t.Error("a scheduler was found where there is none")
	}
}

func TestCheckComponent(t *testing.T) {
	c := &Cluster{Timing: Timing{DocumentedProfile(), 1}}
	running, stopped := process{"Ssl", []string{"kube-scheduler"}}, process{"Tsl", []string{"kube-scheduler"}}
	two := &Node{Name: "n1", Role: ControlPlane, Components: []Component{Scheduler, Scheduler}}
	for want, found := range map[string][]process{
		"":               {running, running},
		"want 2":         {running},
		"is stopped":     {running, stopped},
		"has 0 processe": nil,
	} {
		if err := c.checkComponent(two, Scheduler, found); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v, want %q", found, err, want)
		}
	}
	worker := &Node{Name: "w1", Role: Worker}
	if err := c.checkComponent(worker, Scheduler, []process{running}); err == nil {
		t.Error("a scheduler on a worker passed")
	}
	if err := c.checkComponent(worker, Etcd, []process{{"Ssl", []string{"etcd"}}}); err != nil {
		t.Errorf("an etcd that is a workload: %v", err)
	}
}

func TestCheckSettings(t *testing.T) {
	c := &Cluster{Timing: Timing{FastProfile(), 1}}
	i := Instance{Component: ControllerManager, Node: &Node{Name: "n1"}}
	if err := c.checkSettings(i, []string{"kube-controller-manager", "--node-monitor-grace-period=20s"}); err != nil {
		t.Error(err)
	}
	if err := c.checkSettings(i, []string{"kube-controller-manager"}); err == nil {
		t.Error("a profile that is not in force passed")
	}
}

func TestSinglePoints(t *testing.T) {
	for name, want := range map[string]string{
		"single-host-minimal":           "host h1, every component",
		"single-host-mirrored-disk":     "host h1, every component",
		"single-host-static-pods":       "host h1, host lb1",
		"single-host-vms":               "host h1, load balancer",
		"two-host-minimal":              "host h1, every component",
		"two-host-spread":               "host h1, host h2, every component",
		"two-host-dual":                 "host h1, etcd, load balancer",
		"two-host-split-masters":        "host h1, load balancer",
		"three-host-stacked":            "load balancer",
		"multi-master":                  "load balancer",
		"multi-master-two-lbs":          "",
		"multi-master-dns":              "",
		"etcd-two-plus-one":             "host h1, load balancer",
		"even-etcd":                     "host h1, host h2, load balancer",
		"three-etcd-one-host-own-disks": "host h1, kube-apiserver, kube-scheduler, kube-controller-manager",
		"bare-etcd-2":                   "host h1, host h2, etcd",
		"bare-etcd-3":                   "",
	} {
		topology, err := Find(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(topology.SinglePoints(), ", "); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if got := strings.Join(ThreeEtcdOneHost(OneDisk).SinglePoints(), ", "); !strings.Contains(got, "disk h1/disk") {
		t.Errorf("three members on one disk: got %q", got)
	}
}

// Seven nodes of Kubernetes just fit into the kernel's default of 128 instances.
func TestInotifyInstances(t *testing.T) {
	for topology, want := range map[string]uint64{"multi-master-4-workers": 127, "bare-etcd-3": 12, "single-host-minimal": 27} {
		layout, err := Find(topology)
		if err != nil {
			t.Fatal(err)
		}
		if got := layout.InotifyInstances(); got != want {
			t.Errorf("%s: %d, want %d", topology, got, want)
		}
	}
}
