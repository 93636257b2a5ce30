package fault

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"faultline/clusters"
)

func TestOnlyAnotherProcessThatHasRunForLongEnoughStays(t *testing.T) {
	for line, want := range map[string]bool{
		"18 S 100 4.10\n": true, "18 S 100 3.90\n": false, "18 T 100 9.00\n": false, "17 S 99 9.00\n": false, "": false,
	} {
		synctest.Test(t, func(t *testing.T) {
			c := modelCluster(t, func(context.Context, string, io.Reader, ...string) ([]byte, error) { return []byte(line), nil })
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			i, began := c.Instances(clusters.Scheduler)[0], time.Now()
			since, err := stays(i, clusters.Process{PID: 17, StartTicks: 99})(ctx)
			if (err == nil) != want || want && began.Sub(since) != 3100*time.Millisecond {
				t.Errorf("%q: since %s, %v, want %t", line, began.Sub(since), err, want)
			}
			if _, err := continued(i)(ctx); want && (err != nil || time.Since(began) < settle) {
				t.Errorf("%q: called continued after %s, %v", line, time.Since(began), err)
			}
		})
	}
}
