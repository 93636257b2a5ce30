package html

import "faultline/reports/record"

// way is how the page shows a probe's way: a class for its colour and pattern,
// and words for the legend.
type way struct {
	record.Way
	Class, Meaning string
}

var ways = []way{
	{record.Up, "up", "answered as it should"},
	{record.Refused, "refused", "nothing listens, or the connection was reset"},
	{record.TimedOut, "timedout", "no answer in the probe's time"},
	{record.EtcdError, "etcderror", "the API server says that its store fails"},
	{record.NotReady, "notready", "cache or server not initialised, or throttled"},
	{record.Pending, "pending", "accepted, not yet acted upon"},
	{record.OtherDown, "other", "an unexpected answer"},
	{record.Starved, "starved", "the probe itself was late: nothing is known"},
}

func classOf(w record.Way) string {
	for _, known := range ways {
		if known.Way == w {
			return known.Class
		}
	}
	return "other"
}
