package policy

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	. "faultline/suites/drill"
)

// Pods that talk to each other: who is asked, and who asks beside the stranger.
const (
	asked  = "attempt-asked"
	friend = "attempt-friend"
)

// traffic is a server, and a friend and a stranger on each worker who ask it for its page: from
// beside it, and over the network between nodes.
type traffic struct {
	server string // its address
	port   string
	askers []asker
}

// asker is a pod by the process that its node knows it by, so that it is asked without the API.
type asker struct {
	who     string
	node    *clusters.Node
	process clusters.Process
}

func startTraffic(ctx context.Context, d *Drill) *traffic {
	GinkgoHelper()
	nodes := Workers(d.Nodes)
	Expect(d.StartPod(servingPod(nodes[0], asked, asked))).To(Succeed())
	client, err := d.Client(d.Front())
	Expect(err).NotTo(HaveOccurred())
	server, err := client.CoreV1().Pods(Namespace).Get(ctx, asked, metav1.GetOptions{})
	Expect(err).NotTo(HaveOccurred())
	t := &traffic{server: server.Status.PodIP, port: "8080"}
	for number, n := range nodes {
		for _, who := range []string{friend, stranger} {
			name := fmt.Sprintf("%s-%d", who, number+1)
			Expect(d.StartPod(servingPod(n, name, who))).To(Succeed())
			process, err := d.PodOn(n, name).Process(ctx)
			Expect(err).NotTo(HaveOccurred())
			t.askers = append(t.askers, asker{who, n, process})
		}
	}
	return t
}

func servingPod(n *clusters.Node, name, app string) *corev1.Pod {
	pod := WorkloadPod(n, name, "serve")
	pod.Labels = clusters.AppLabels(app)
	return pod
}

// elsewhere asks the same server where it has no page.
func (t *traffic) elsewhere() *traffic {
	return &traffic{t.server, "8081", t.askers}
}

// answers fails unless these of the askers are answered, and the others are not.
func (t *traffic) answers(who ...string) Request {
	return func(ctx context.Context, _ kubernetes.Interface) error {
		for _, a := range t.askers {
			if err := a.ask(ctx, net.JoinHostPort(t.server, t.port), slices.Contains(who, a.who)); err != nil {
				return fmt.Errorf("%s on %s: %w", a.who, a.node.Name, err)
			}
		}
		return nil
	}
}

// pageScript asks the server $2 for its page, from the network of the process $1, and tells
// whether anybody answers.
const pageScript = `nsenter --net --target "$1" curl --silent --fail --noproxy '*' --max-time 3 --output /dev/null "http://$2/"
status=$?
case $status in
  0) echo answered ;;
  7 | 28) echo silent ;; # it could not connect, or nobody answered in time
  *) exit $status ;;
esac`

func (a asker) ask(ctx context.Context, server string, want bool) error {
	out, err := a.node.Exec(ctx, "sh", "-c", pageScript, "sh", strconv.Itoa(a.process.PID), server)
	if err != nil {
		return err
	}
	return Unless(string(out) == "answered\n" == want, fmt.Errorf("the server is %s", out))
}
