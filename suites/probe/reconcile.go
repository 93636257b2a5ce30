package probe

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"faultline/reports/record"
)

// reconciling asks the deployment controller to observe a change of a
// deployment without pods. The changed field, the length of its history, makes
// nothing else happen.
type reconciling struct {
	caller       *caller
	change, read request

	mu         sync.Mutex
	number     int
	generation int64 // of the change with that number
}

// deploymentName is the deployment of the reconcile probe of a set.
func deploymentName(id string) string { return "r-" + id }

func newReconciling(d door, namespace, id string, timeout time.Duration) (*reconciling, error) {
	c, err := d.open(timeout)
	if err != nil {
		return nil, err
	}
	path := "/apis/apps/v1/namespaces/" + namespace + "/deployments/" + deploymentName(id)
	query := serverTimeout(timeout)
	return &reconciling{
		caller: c,
		change: c.ask(http.MethodPatch, path, query, mediaMetadata).sending(mediaMergePatch),
		read:   c.ask(http.MethodGet, path, query, mediaJSON),
	}, nil
}

// begin changes the deployment. A repeated change to the same value changes
// nothing and answers with the generation that the first one made.
func (r *reconciling) begin(ctx context.Context, n int) (bool, outcome) {
	a, err := r.caller.do(ctx, r.change, fmt.Appendf(nil, `{"spec":{"revisionHistoryLimit":%d}}`, n))
	if err != nil {
		return false, failed(err)
	}
	defer a.free()
	o := a.outcome()
	if o.way != record.Up {
		return false, o
	}
	generation, ok := scanNumber(a.body, "generation")
	if !ok {
		return false, outcome{way: record.OtherDown, detail: "the changed deployment has no generation"}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.number, r.generation = n, generation
	return true, up
}

func (r *reconciling) poll(ctx context.Context, n int) (bool, outcome) {
	a, err := r.caller.do(ctx, r.read, nil)
	if err != nil {
		return false, failed(err)
	}
	defer a.free()
	o := a.outcome()
	if o.way != record.Up {
		return false, o
	}
	current, _ := scanNumber(a.body, "generation")
	observed, _ := scanNumber(a.body, "observedGeneration")
	r.mu.Lock()
	defer r.mu.Unlock()
	// A restore takes back a change that is newer than the backup: nobody is going to observe it.
	o.gone = r.number == n && current < r.generation
	return r.number == n && observed >= r.generation, o
}

func (r *reconciling) finish(context.Context, int) {}
