package consent

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"faultline/suites/gameday/strict/stricttest"
)

// drawConsent draws a consent that is in force at the time at.
func drawConsent(t *rapid.T) Consent {
	c := Consent{
		Version: 1, Cluster: rapid.StringMatching(uid.String()).Draw(t, "cluster"),
		Owner:      rapid.StringMatching(`[a-z]{1,12}@example\.org`).Draw(t, "owner"),
		Families:   rapid.SliceOfNDistinct(rapid.SampledFrom(families()), 1, -1, rapid.ID).Draw(t, "families"),
		Namespaces: rapid.SliceOfN(rapid.StringMatching(`[a-z]{1,20}`), 0, 3).Draw(t, "namespaces"),
		Radius: Radius{
			Nodes:  rapid.IntRange(1, 9).Draw(t, "nodes"),
			Losing: rapid.SliceOfDistinct(rapid.SampledFrom(components()), rapid.ID).Draw(t, "losing"),
		},
		Expires: at.Add(time.Duration(rapid.IntRange(1, 700).Draw(t, "validity")) * time.Hour),
	}
	if rapid.Bool().Draw(t, "hours") {
		// From UTC to Tokyo, what is allowed is on a Wednesday between 9:00 and 19:00.
		zone := rapid.SampledFrom([]string{"UTC", "Europe/Berlin", "Asia/Tokyo"}).Draw(t, "zone")
		c.Hours = &Hours{zone, []Window{{[]string{"wed"}, Clock(rapid.IntRange(0, 9*60).Draw(t, "from")), Clock(rapid.IntRange(19*60, 24*60).Draw(t, "to"))}}}
	}
	return c
}

// covered is an action that a consent allows at the time at.
func (c Consent) covered() Action {
	nodes := []string{"n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8", "n9"}[:c.Radius.Nodes]
	return Action{c.Cluster, c.Families, c.Namespaces, nodes, c.Radius.Losing, at.Add(time.Hour)}
}

// changes make a consent say something that cannot be meant, or something else than what was
// allowed. They need not all apply: an empty list has no element to change.
var changes = map[string]func(*rapid.T, *Consent){
	"version": func(t *rapid.T, c *Consent) {
		c.Version = rapid.IntRange(-9, 9).Filter(func(n int) bool { return n != 1 }).Draw(t, "version")
	},
	"another cluster": func(t *rapid.T, c *Consent) {
		c.Cluster = rapid.StringMatching(uid.String()).Filter(func(s string) bool { return s != c.Cluster }).Draw(t, "cluster")
	},
	"no cluster": func(t *rapid.T, c *Consent) { c.Cluster = c.Cluster[:rapid.IntRange(0, 35).Draw(t, "length")] },
	"families":   func(t *rapid.T, c *Consent) { c.Families = append(c.Families, stranger(t)) },
	"fewer":      func(_ *rapid.T, c *Consent) { c.Families = c.Families[1:] },
	"namespaces": func(t *rapid.T, c *Consent) { c.Namespaces = append(c.Namespaces, strings.ToUpper(stranger(t))) },
	"losing":     func(t *rapid.T, c *Consent) { c.Radius.Losing = append(c.Radius.Losing, stranger(t)) },
	"no nodes":   func(t *rapid.T, c *Consent) { c.Radius.Nodes = rapid.IntRange(-9, 0).Draw(t, "nodes") },
	"expired": func(t *rapid.T, c *Consent) {
		c.Expires = at.Add(-time.Duration(rapid.IntRange(0, 1e9).Draw(t, "ago")))
	},
	"expires soon": func(_ *rapid.T, c *Consent) { c.Expires = at.Add(30 * time.Minute) },
	"blank owner":  func(_ *rapid.T, c *Consent) { c.Owner = "  " },
	"zone": func(t *rapid.T, c *Consent) {
		c.Hours = &Hours{stranger(t), []Window{{[]string{"wed"}, 0, 1440}}}
	},
	"days": func(t *rapid.T, c *Consent) { c.Hours = &Hours{"UTC", []Window{{[]string{stranger(t)}, 0, 1440}}} },
	"window": func(t *rapid.T, c *Consent) {
		to := rapid.IntRange(0, 1439).Draw(t, "to")
		c.Hours = &Hours{"UTC", []Window{{[]string{"wed"}, Clock(rapid.IntRange(to, 1439).Draw(t, "from")), Clock(to)}}}
	},
	"another day":  func(_ *rapid.T, c *Consent) { c.Hours = &Hours{"UTC", []Window{{[]string{"thu"}, 0, 1440}}} },
	"another hour": func(_ *rapid.T, c *Consent) { c.Hours = &Hours{"UTC", []Window{{[]string{"wed"}, 541, 1440}}} },
}

// stranger is a word that nothing is named.
func stranger(t *rapid.T) string { return rapid.StringMatching(`x[a-z]{5,9}`).Draw(t, "stranger") }

func (c Consent) text(t *rapid.T) []byte {
	text, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// judge is what becomes of an action under the text of a consent.
func judge(text []byte, a Action) error {
	c, err := Parse(text)
	if err != nil {
		return err
	}
	return c.Allows(a, at)
}

func TestMalformedConsentsAllowNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawConsent(t)
		text, a := c.text(t), c.covered()
		if err := judge(text, a); err != nil {
			t.Fatalf("a valid consent is refused: %v\n%s", err, text)
		}
		broken, how := stricttest.Break(t, text, "hours")
		if judge(broken, a) == nil {
			t.Fatalf("%s: a broken consent allows something:\n%s", how, broken)
		}
	})
}

func TestChangedConsentsDoNotAllowWhatWasAllowed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawConsent(t)
		a := c.covered()
		how := rapid.SampledFrom(slices.Sorted(maps.Keys(changes))).Draw(t, "change")
		changes[how](t, &c)
		if text := c.text(t); judge(text, a) == nil {
			t.Fatalf("%s: a changed consent allows what it did not mean:\n%s", how, text)
		}
	})
}
