package overload

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"k8s.io/client-go/kubernetes"

	. "faultline/suites/drill"
)

// flows are requests as the API server counts them, by the rule that tells whose they are:
// those that it executed, those that it turned away, and those that wait now.
type flows struct{ executed, refused, waiting map[string]int64 }

// What the API server calls the flows of service accounts, of which the flood is one, and some of
// the cluster's own.
const flooded = "service-accounts"

var own = []string{"system-node-high", "system-leader-election", "kube-scheduler", "kube-system-service-accounts"}

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
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(metrics))
	if err != nil {
		return flows{}, fmt.Errorf("the API server's metrics: %w", err)
	}
	f := flows{bySchema(families[executedMetric]), bySchema(families[refusedMetric]), bySchema(families[waitingMetric])}
	return f, Unless(len(f.executed) > 0, fmt.Errorf("the API server does not count flows: it has no %s", executedMetric))
}

// bySchema sums a counter or a gauge up for each rule that tells whose requests they are.
func bySchema(family *dto.MetricFamily) map[string]int64 {
	sums := map[string]int64{}
	for _, m := range family.GetMetric() {
		for _, label := range m.GetLabel() {
			if label.GetName() == "flow_schema" {
				sums[label.GetValue()] += int64(m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetUntyped().GetValue())
			}
		}
	}
	return sums
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
