package drill

import (
	"context"
	"errors"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"faultline/clusters"
)

func TestAttemptsAreToldApart(t *testing.T) {
	refused := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "a", errors.New(`serviceaccount "default" not found`))
	none := func() *attemptMatcher { return nil }
	for name, c := range map[string]struct {
		err  error
		want func() *attemptMatcher
	}{
		"accepted":              {nil, BeAccepted},
		"nobody listens":        {refused, BeRefused},
		"nobody answers":        {context.DeadlineExceeded, BeRefused},
		"the API says no":       {forbidden, func() *attemptMatcher { return BeRejected("serviceaccount") }},
		"for another reason":    {apierrors.NewForbidden(schema.GroupResource{}, "a", errors.New("quota")), none},
		"an error of ours only": {errors.New("serviceaccount"), none},
	} {
		t.Run(name, func(t *testing.T) {
			d := drillAt(t, 0)
			want := c.want()
			for _, m := range []*attemptMatcher{BeAccepted(), BeRefused(), BeRejected("serviceaccount")} {
				matches, err := m.Match(Attempt{d, "do it", c.err})
				if err != nil {
					t.Fatal(err)
				}
				if wanted := want != nil && m.sentence == want.sentence; matches != wanted {
					t.Errorf("%q matches: %t, want %t", m.expected(), matches, wanted)
				}
			}
			for _, o := range d.experiment.Observations {
				if o.Expected == "" || o.Observed == "" {
					t.Errorf("the record is to say more than %+v", o)
				}
			}
		})
	}
}

func TestTookBoundsOnBothSides(t *testing.T) {
	d := drillAt(t, 0)
	bounds := clusters.Bounds{Lower: time.Second, Upper: 3 * time.Second}
	for took, ok := range map[time.Duration]bool{
		999 * time.Millisecond: false, time.Second: true, 3 * time.Second: true, 3001 * time.Millisecond: false,
	} {
		if err := d.Took("it happens", took, bounds); (err == nil) != ok {
			t.Errorf("%s: %v, want success %t", took, err, ok)
		}
		if err := d.TookToRecover("it happens", took, bounds); (err == nil) != ok {
			t.Errorf("%s to recover: %v, want success %t", took, err, ok)
		}
		for i, o := range d.experiment.Observations[len(d.experiment.Observations)-2:] {
			if o.OK != ok || *o.Seconds != took.Seconds() || *o.Lower != 1 || *o.Upper != 3 || o.Recovery != (i == 1) {
				t.Errorf("%s: the record says %+v", took, o)
			}
		}
	}
}

func TestBecomesTrueBoundsOnBothSides(t *testing.T) {
	bounds := clusters.Bounds{Lower: time.Second, Upper: 3 * time.Second}
	for name, c := range map[string]struct {
		// called is when the spec begins to look, since what its bounds count from, and at when it is so.
		called, since, at time.Duration
		ok                bool
	}{
		"too soon":                            {0, 0, time.Second / 2, false},
		"in time":                             {0, 0, 2 * time.Second, true},
		"too late":                            {0, 0, 4 * time.Second, false},
		"at the first look, from the call on": {2 * time.Second, 2 * time.Second, 0, false},
		"at the first look, from before it":   {2 * time.Second, 0, 0, true},
		"looked for too late":                 {4 * time.Second, 0, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := drillAt(t, 0)
				<-time.After(c.called)
				err := d.awaitTrue("it happens", c.since, bounds, func(context.Context) error { return Unless(d.now() >= c.at, nil) })
				if (err == nil) != c.ok {
					t.Errorf("%v, want success %t", err, c.ok)
				}
				if o := d.experiment.Observations; len(o) != 1 || o[0].OK != c.ok || o[0].Observed == "" {
					t.Errorf("the record says %+v", o)
				}
			})
		})
	}
}

func TestToldKeepsTheReason(t *testing.T) {
	d := drillAt(t, 0)
	why := errors.New("because")
	if err := d.Told("it is so", why); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
	if err := d.Told("it is so", nil); err != nil {
		t.Errorf("got %v", err)
	}
	if o := d.experiment.Observations; len(o) != 2 || o[0].OK || !o[1].OK {
		t.Errorf("the record says %+v", o)
	}
}
