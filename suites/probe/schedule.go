package probe

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"faultline/reports/record"
)

const (
	taskLabel      = "faultline/task"
	serviceAccount = "faultline-probe"
)

// scheduling asks the scheduler to bind a pod that costs its kubelet nothing:
// it is meant for Windows, which the scheduler does not look at and a kubelet
// on Linux refuses before it makes a sandbox. It tolerates every taint, so
// that only the scheduler's own absence leaves it unbound.
type scheduling struct {
	caller                  *caller
	id                      string
	create, read, eliminate request
	pods                    string
}

func newScheduling(d door, namespace, id string, timeout time.Duration) (*scheduling, error) {
	c, err := d.open(timeout)
	if err != nil {
		return nil, err
	}
	pods := "/api/v1/namespaces/" + namespace + "/pods"
	query := serverTimeout(timeout)
	return &scheduling{
		caller: c, id: id, pods: pods,
		create:    c.ask(http.MethodPost, pods, query+"&fieldValidation=Ignore", mediaMetadata).sending(mediaJSON),
		read:      c.ask(http.MethodGet, pods, query, mediaJSON),
		eliminate: c.ask(http.MethodDelete, pods, query+"&gracePeriodSeconds=0", mediaMetadata),
	}, nil
}

func (s *scheduling) name(n int) string { return fmt.Sprintf("s-%s-%06d", s.id, n) }

const podManifest = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":%q,"labels":{%q:%q}},"spec":{` +
	`"os":{"name":"windows"},"serviceAccountName":%q,"automountServiceAccountToken":false,` +
	`"enableServiceLinks":false,"terminationGracePeriodSeconds":0,"restartPolicy":"Never",` +
	`"tolerations":[{"operator":"Exists"}],` +
	`"containers":[{"name":"none","image":"faultline.invalid/none","imagePullPolicy":"Never"}]}}`

func (s *scheduling) begin(ctx context.Context, n int) (bool, outcome) {
	manifest := fmt.Appendf(nil, podManifest, s.name(n), taskLabel, s.id, serviceAccount)
	a, err := s.caller.do(ctx, s.create, manifest)
	if err != nil {
		return false, failed(err)
	}
	defer a.free()
	return accepts(a)
}

func (s *scheduling) poll(ctx context.Context, n int) (bool, outcome) {
	a, err := s.caller.do(ctx, s.read.at(s.pods+"/"+s.name(n)), nil)
	if err != nil {
		return false, failed(err)
	}
	defer a.free()
	o := a.outcome()
	if o.way != record.Up {
		return false, o
	}
	_, bound := scanString(a.body, "nodeName")
	return bound, o
}

func (s *scheduling) finish(ctx context.Context, n int) {
	if a, err := s.caller.do(ctx, s.eliminate.at(s.pods+"/"+s.name(n)), nil); err == nil {
		a.free()
	}
}
