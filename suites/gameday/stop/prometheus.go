package stop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	// timeout limits one request.
	timeout = 5 * time.Second
	// maxAnswer limits what is read of one answer, in bytes.
	maxAnswer = 4 << 20
)

// client follows no redirects: they lead to a form to log in, or take credentials elsewhere.
var client = &http.Client{
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// read asks Prometheus once.
func (q Query) read(ctx context.Context, timeout time.Duration) answer {
	a := answer{at: time.Now()}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	a.values, a.err = q.get(ctx)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		a.err = fmt.Errorf("no answer within %s", timeout)
	}
	return a
}

func (q Query) get(ctx context.Context) ([]float64, error) {
	if q.Above == nil && q.Below == nil {
		return nil, errors.New("the query has no limit")
	}
	u, err := q.endpoint()
	if err != nil {
		return nil, err
	}
	u.RawQuery = url.Values{"query": {q.Query}}.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, errors.New("the address cannot be asked")
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, withoutURL(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answers %d %s", response.StatusCode, http.StatusText(response.StatusCode))
	}
	return values(io.LimitReader(response.Body, maxAnswer))
}

// withoutURL is the reason without the address, which may hold credentials.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// values reads an instant vector or a scalar.
func values(body io.Reader) ([]float64, error) {
	var answer struct {
		Status string `json:"status"`
		Data   struct {
			Type   string          `json:"resultType"`
			Result json.RawMessage `json:"result"`
		} `json:"data"`
	}
	if err := json.NewDecoder(body).Decode(&answer); err != nil {
		return nil, fmt.Errorf("the answer is none of Prometheus: %w", err)
	}
	switch {
	case answer.Status != "success":
		return nil, fmt.Errorf("the answer's status is %q", answer.Status)
	case answer.Data.Type == "scalar":
		var s sample
		err := json.Unmarshal(answer.Data.Result, &s)
		return []float64{float64(s)}, err
	case answer.Data.Type == "vector":
		return vector(answer.Data.Result)
	}
	return nil, fmt.Errorf("the result is a %q: want an instant vector or a scalar", answer.Data.Type)
}

func vector(result json.RawMessage) ([]float64, error) {
	var series []struct {
		Value *sample `json:"value"`
	}
	if err := json.Unmarshal(result, &series); err != nil {
		return nil, fmt.Errorf("the answer is none of Prometheus: %w", err)
	}
	all := make([]float64, len(series))
	for i, s := range series {
		if s.Value == nil {
			return nil, errors.New("a series has no value: want numbers, not histograms")
		}
		all[i] = float64(*s.Value)
	}
	return all, nil
}

// sample is the value of a pair of time and value, which Prometheus writes as text.
type sample float64

// UnmarshalJSON reads the pair.
func (s *sample) UnmarshalJSON(text []byte) error {
	var pair []any
	if err := json.Unmarshal(text, &pair); err != nil || len(pair) != 2 {
		return errors.New("a sample is no pair of time and value")
	}
	word, _ := pair[1].(string)
	value, err := strconv.ParseFloat(word, 64)
	if err != nil {
		return errors.New("a sample's value is no number")
	}
	*s = sample(value)
	return nil
}
