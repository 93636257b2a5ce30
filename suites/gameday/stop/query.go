package stop

import (
	"errors"
	"fmt"
	"math"
	"net/url"
	"strings"

	"faultline/suites/gameday/strict"
)

// Query is a condition that Prometheus knows: abort when a value is above or below a limit.
type Query struct {
	Name string `yaml:"name"`
	// URL is where Prometheus is, http or https, without /api/v1. It may hold a user name and
	// a password, which nothing here repeats.
	URL string `yaml:"url"`
	// Query is PromQL for an instant vector or a scalar.
	Query string `yaml:"query"`
	// Above and Below are the largest and the least value that may go on; nil: any.
	Above *float64 `yaml:"above,omitempty"`
	Below *float64 `yaml:"below,omitempty"`
}

// check finds what is wrong with the query.
func (q Query) check(ps *strict.Problems, field string) {
	if strings.TrimSpace(q.Name) == "" {
		ps.Add(field+".name", "want a name for people")
	}
	if _, err := q.endpoint(); err != nil {
		ps.Add(field+".url", "%v", err)
	}
	if strings.TrimSpace(q.Query) == "" {
		ps.Add(field+".query", "want PromQL")
	}
	if q.Above == nil && q.Below == nil {
		ps.Add(field, "want above or below: without them, no value is too much")
	}
	checkFinite(ps, field+".above", q.Above)
	checkFinite(ps, field+".below", q.Below)
	if q.Above != nil && q.Below != nil && *q.Below > *q.Above {
		ps.Add(field+".below", "want at most %v, which is above, not %v: no value would be well", *q.Above, *q.Below)
	}
}

func checkFinite(ps *strict.Problems, field string, limit *float64) {
	if limit != nil && (math.IsNaN(*limit) || math.IsInf(*limit, 0)) {
		ps.Add(field, "want a finite number, not %v", *limit)
	}
}

// endpoint is the address of the API for instant queries. Its errors hold nothing of the
// URL, in which a password may be, even where it cannot be parsed.
func (q Query) endpoint() (*url.URL, error) {
	u, err := url.Parse(q.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("want an address such as https://prometheus.example.org:9090, without ? and #")
	}
	return u.JoinPath("api/v1/query"), nil
}

// place is the URL for people, without credentials.
func (q Query) place() string {
	u, err := q.endpoint()
	if err != nil {
		return "an unusable address"
	}
	return u.Scheme + "://" + u.Host
}

// limit tells which values may go on.
func (q Query) limit() string {
	var words []string
	if q.Below != nil {
		words = append(words, fmt.Sprintf("at least %v", *q.Below))
	}
	if q.Above != nil {
		words = append(words, fmt.Sprintf("at most %v", *q.Above))
	}
	return strings.Join(words, " and ")
}

// exceeds tells whether a value is no longer within the limits. One that is no number is not.
func (q Query) exceeds(value float64) bool {
	return math.IsNaN(value) || q.Above != nil && value > *q.Above || q.Below != nil && value < *q.Below
}
