package overload

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	. "faultline/suites/drill"
)

// flows are requests as the API server counts them, by the rule that tells whose they are:
// those that it executed, those that it turned away, and those that wait now.
type flows struct{ executed, refused, waiting map[string]int64 }

// The API server's names for them. It turns away, too, whatever waited when its client went.
const (
	executedMetric = "apiserver_flowcontrol_dispatched_requests_total"
	refusedMetric  = "apiserver_flowcontrol_rejected_requests_total"
	waitingMetric  = "apiserver_flowcontrol_current_inqueue_requests"
)

func countFlows(ctx context.Context, d *Drill) flows {
	GinkgoHelper()
	client, err := d.Client(d.Front())
	Expect(err).NotTo(HaveOccurred())
	counted, err := flowsThrough(ctx, client)
	Expect(err).NotTo(HaveOccurred())
	return counted
}

func flowsThrough(ctx context.Context, c kubernetes.Interface) (flows, error) {
	metrics, err := c.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return flows{}, err
	}
	return flowsIn(string(metrics))
}

func flowsIn(metrics string) (flows, error) {
	f := flows{map[string]int64{}, map[string]int64{}, map[string]int64{}}
	for line := range strings.Lines(metrics) {
		name, rest, _ := strings.Cut(line, "{")
		labels, value, _ := strings.Cut(rest, "}")
		counted := map[string]map[string]int64{executedMetric: f.executed, refusedMetric: f.refused, waitingMetric: f.waiting}[name]
		if counted == nil {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil {
			return f, fmt.Errorf("unexpected metric %q: %w", line, err)
		}
		_, label, _ := strings.Cut(labels, `flow_schema="`)
		schema, _, _ := strings.Cut(label, `"`)
		counted[schema] += int64(n)
	}
	if len(f.executed) == 0 {
		return f, fmt.Errorf("the API server does not count flows: it has no %s", executedMetric)
	}
	return f, nil
}

// nobodyWaits fails while requests of service accounts wait.
func nobodyWaits(ctx context.Context, c kubernetes.Interface) error {
	now, err := flowsThrough(ctx, c)
	if err == nil && now.waiting[flooded] > 0 {
		err = fmt.Errorf("%d requests wait", now.waiting[flooded])
	}
	return err
}

// since is what came after.
func (f flows) since(before flows) flows {
	return flows{executed: grown(before.executed, f.executed), refused: grown(before.refused, f.refused)}
}

func grown(before, after map[string]int64) map[string]int64 {
	more := map[string]int64{}
	for schema, n := range after {
		if n > before[schema] {
			more[schema] = n - before[schema]
		}
	}
	return more
}

func (f flows) String() string {
	return fmt.Sprintf("turned away: %s; executed: %s", listed(f.refused), listed(f.executed))
}

func listed(counted map[string]int64) string {
	if len(counted) == 0 {
		return "none"
	}
	var words []string
	for _, schema := range slices.Sorted(maps.Keys(counted)) {
		words = append(words, fmt.Sprintf("%d of %s", counted[schema], schema))
	}
	return strings.Join(words, ", ")
}

// onlyFlooded fails unless requests of service accounts were turned away, and of the cluster's
// own none was and each kind was executed.
func (f flows) onlyFlooded() error {
	for schema, n := range f.refused {
		if schema != flooded {
			return fmt.Errorf("%d of %s were turned away", n, schema)
		}
	}
	for _, schema := range own {
		if f.executed[schema] == 0 {
			return fmt.Errorf("none of %s was executed", schema)
		}
	}
	return Unless(f.refused[flooded] > 0, fmt.Errorf("none of %s was turned away", flooded))
}

// nobody fails when anybody was turned away.
func (f flows) nobody() error { return Unless(len(f.refused) == 0, nil) }

// flooder is the name of the service account that floods the API, which no other has.
const flooder = "client"

// oneAnswer is how long a request of the flooder may wait before it tries again.
const oneAnswer = 2 * time.Second

// turnedAway fails unless the flooder, whose every request is in the same flow, is told to come
// back later.
func turnedAway(ctx context.Context, d *Drill) Request {
	GinkgoHelper()
	client, url, err := asFlooder(ctx, d)
	Expect(err).NotTo(HaveOccurred())
	return func(ctx context.Context, _ kubernetes.Interface) error {
		ctx, cancel := context.WithTimeout(ctx, oneAnswer)
		defer cancel()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		return toldToComeBack(response)
	}
}

func toldToComeBack(response *http.Response) error {
	seconds, err := strconv.Atoi(response.Header.Get("Retry-After"))
	if response.StatusCode != http.StatusTooManyRequests || err != nil || seconds < 1 {
		return fmt.Errorf("the answer is %s, Retry-After %q", response.Status, response.Header.Get("Retry-After"))
	}
	return nil
}

// asFlooder talks to the API as the account of the flood, and asks for that account.
func asFlooder(ctx context.Context, d *Drill) (client *http.Client, url string, err error) {
	admin, err := d.Client(d.Front())
	if err != nil {
		return nil, "", err
	}
	found, err := admin.CoreV1().ServiceAccounts(metav1.NamespaceAll).List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + flooder})
	if err != nil {
		return nil, "", err
	}
	if len(found.Items) != 1 {
		return nil, "", fmt.Errorf("there are %d service accounts %s, want the one of the flood", len(found.Items), flooder)
	}
	namespace := found.Items[0].Namespace
	token, err := admin.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, flooder, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		return nil, "", err
	}
	config := rest.AnonymousClientConfig(d.RESTConfig(d.Front()))
	config.BearerToken = token.Status.Token
	client, err = rest.HTTPClientFor(config)
	return client, config.Host + "/api/v1/namespaces/" + namespace + "/serviceaccounts/" + flooder, err
}
