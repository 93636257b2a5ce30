package consent

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"faultline/suites/gameday/strict"
)

// Hours are when something may be done.
type Hours struct {
	// Zone is a name of the IANA database such as Europe/Berlin.
	Zone    string   `yaml:"zone"`
	Windows []Window `yaml:"windows"`
}

// Window is a time of some days of the week. It ends on the day on which it begins.
type Window struct {
	// Days are mon, tue, wed, thu, fri, sat and sun.
	Days []string `yaml:"days"`
	From Clock    `yaml:"from"`
	To   Clock    `yaml:"to"`
}

// days are named as in a consent, in the order of time.Weekday.
var days = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

func (h Hours) check(ps *strict.Problems) {
	if _, err := location(h.Zone); err != nil {
		ps.Add("hours.zone", "want a time zone such as Europe/Berlin or UTC, not %q", h.Zone)
	}
	if len(h.Windows) == 0 {
		ps.Add("hours.windows", "want at least one, or no hours at all")
	}
	for i, w := range h.Windows {
		field := fmt.Sprintf("hours.windows[%d]", i)
		if len(w.Days) == 0 {
			ps.Add(field+".days", "want at least one of %s", strings.Join(days, ", "))
		}
		checkNames(ps, field+".days", w.Days, days)
		if w.From < 0 || w.From >= w.To || w.To > 24*60 {
			ps.Add(field+".from", "want a time before %s, where the window ends, not %s: a window ends on its day", w.To, w.From)
		}
	}
}

// location is a zone that means the same on every machine.
func location(zone string) (*time.Location, error) {
	if zone == "" || zone == "Local" {
		return nil, fmt.Errorf("%q is no time zone", zone)
	}
	return time.LoadLocation(zone)
}

// allow returns nil when both moments are in the same window, else why not.
func (h Hours) allow(now, until time.Time) error {
	zone, err := location(h.Zone)
	if err != nil {
		return err
	}
	now, until = now.In(zone), until.In(zone)
	_, before := now.Zone()
	_, after := until.Zone()
	switch begun := h.around(now); {
	case len(begun) == 0:
		return fmt.Errorf("it is %s, and the consent's hours are %s", stamp(now), h)
	case before != after:
		// An hour that is there twice, or not at all, makes the bounds of a window ambiguous.
		return fmt.Errorf("the clocks of %s are changed before %s: wait until they have been", h.Zone, stamp(until))
	case now.Format(time.DateOnly) != until.Format(time.DateOnly),
		!slices.ContainsFunc(begun, func(w Window) bool { return w.holds(until) }):
		return fmt.Errorf("it may last until %s, and the consent's hours are %s", stamp(until), h)
	}
	return nil
}

// around are the windows that hold a moment of the hours' zone.
func (h Hours) around(t time.Time) []Window {
	var all []Window
	for _, w := range h.Windows {
		if w.holds(t) {
			all = append(all, w)
		}
	}
	return all
}

// holds tells whether a moment is in the window, whose ends belong to it.
func (w Window) holds(t time.Time) bool {
	hour, minute, second := t.Clock()
	since := time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute +
		time.Duration(second)*time.Second + time.Duration(t.Nanosecond())
	return slices.Contains(w.Days, days[t.Weekday()]) &&
		since >= time.Duration(w.From)*time.Minute && since <= time.Duration(w.To)*time.Minute
}

// String tells the hours to people.
func (h Hours) String() string {
	texts := make([]string, len(h.Windows))
	for i, w := range h.Windows {
		texts[i] = fmt.Sprintf("%s %s-%s", strings.Join(w.Days, ","), w.From, w.To)
	}
	return fmt.Sprintf("%s (%s)", strings.Join(texts, "; "), h.Zone)
}

// stamp tells a moment to people.
func stamp(t time.Time) string { return t.Format("Mon 2006-01-02 15:04:05 MST") }
