package policy

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"faultline/clusters"
	. "faultline/suites/drill"
)

// answerTime is how long one request may take: none of them waits for anything.
const answerTime = 5 * time.Second

// subjects are who asks, by name: how each would talk to an API server. Credentials stay in
// here; no answer and no error bears them.
type subjects map[string]func(clusters.Endpoint) *rest.Config

// rights are asked for again and again. What was allowed once and must not be is never
// forgiven: every later look at them fails too.
type rights struct {
	subjects subjects
	list     []right
	clients  map[[2]string]*http.Client
	tally    tally
	breach   error
}

// newRights puts what is not granted first: it is decided at once, while what is granted may
// hang for want of a store.
func newRights(s subjects, list ...right) *rights {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b right) int { return one(a.granted) - one(b.granted) })
	return &rights{subjects: s, list: list, clients: map[[2]string]*http.Client{}}
}

// exactly fails unless each of the API servers allows what is granted, and refuses the rest.
func (r *rights) exactly(servers ...clusters.Endpoint) Request { return r.look(servers) }

// known is exactly, for a policy that is new: until an API server has heard of it, it may allow
// anything.
func (r *rights) known(servers ...clusters.Endpoint) Request {
	look := r.exactly(servers...)
	return func(ctx context.Context, c kubernetes.Interface) error {
		r.breach = nil
		return look(ctx, c)
	}
}

// refusals fails unless each refuses what is not granted. What is granted may fail.
func (r *rights) refusals(servers ...clusters.Endpoint) Request { return r.look(servers, withheld) }

// closed fails when one allows what is not granted. It may fail in any other way.
func (r *rights) closed(servers ...clusters.Endpoint) Request {
	return r.look(servers, withheld, unanswered, undecided)
}

// told puts into the record what all looks together saw.
func (r *rights) told(d *Drill) error {
	return d.Saw("what is not granted was never allowed", r.tally.String(), r.breach)
}

// look asks for every right once, and fails with the first answer that is neither right nor
// tolerated.
func (r *rights) look(servers []clusters.Endpoint, tolerated ...outcome) Request {
	return func(ctx context.Context, _ kubernetes.Interface) error {
		wrong := r.breach
		for _, a := range r.ask(ctx, servers) {
			r.tally.count(a)
			is := a.outcome()
			if is == breached && r.breach == nil {
				r.breach = a.err()
				wrong = r.breach
			}
			if wrong == nil && is != asGranted && !slices.Contains(tolerated, is) {
				wrong = a.err()
			}
		}
		return wrong
	}
}

// ask sends all demands through all API servers, those of one subject to one server in turn.
func (r *rights) ask(ctx context.Context, servers []clusters.Endpoint) []answer {
	var mu sync.Mutex
	var all []answer
	var wg sync.WaitGroup
	for _, e := range servers {
		for who := range r.subjects {
			host, client, err := r.client(who, e)
			wg.Go(func() {
				answers := r.inTurn(ctx, who, e.Name, func(q demand) (int, string) {
					if err != nil {
						return 0, err.Error()
					}
					return q.send(ctx, client, host)
				})
				mu.Lock()
				defer mu.Unlock()
				all = append(all, answers...)
			})
		}
	}
	wg.Wait()
	return all
}

// inTurn sends a subject's demands to one server. Where one is not answered the others are not
// sent: a server that is down would be asked for nothing, and one that hangs for very long.
func (r *rights) inTurn(ctx context.Context, who, through string, send func(demand) (int, string)) []answer {
	var answers []answer
	last := answer{status: http.StatusOK}
	for _, right := range r.list {
		if right.who != who {
			continue
		}
		a := answer{right: right, through: through, said: last.said}
		if last.status != 0 && ctx.Err() == nil {
			a.status, a.said = send(right.demand)
		}
		answers = append(answers, a)
		last = a
	}
	return answers
}

// client is the one connection pool of a subject to an API server.
func (r *rights) client(who string, e clusters.Endpoint) (host string, client *http.Client, err error) {
	config := r.subjects[who](e)
	key := [2]string{who, e.Name}
	if r.clients[key] == nil {
		if client, err = rest.HTTPClientFor(config); err != nil {
			return "", nil, err
		}
		r.clients[key] = client
	}
	return config.Host, r.clients[key], nil
}

// send returns the status of the answer, and what a refusal says.
func (q demand) send(ctx context.Context, client *http.Client, host string) (status int, said string) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	request, err := q.request(ctx, host)
	if err != nil {
		return 0, err.Error()
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	if response.StatusCode/100 == 2 {
		return response.StatusCode, "" // it may be a secret
	}
	return response.StatusCode, messageOf(body)
}

func (q demand) request(ctx context.Context, host string) (*http.Request, error) {
	var body []byte
	if q.body != nil {
		var err error
		if body, err = json.Marshal(q.body); err != nil {
			return nil, err
		}
	}
	request, err := http.NewRequestWithContext(ctx, q.method, host+q.path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	if q.method == http.MethodPatch {
		request.Header.Set("Content-Type", string(types.MergePatchType))
	}
	return request, nil
}

// messageOf is what a Status of the API says; health is told in plain words.
func messageOf(body []byte) string {
	var status metav1.Status
	if err := json.Unmarshal(body, &status); err != nil {
		return string(body)
	}
	return status.Message
}
