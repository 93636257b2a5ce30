package html

import (
	"fmt"
	"strings"
)

// anchors turns ids into fragment names, each of them once.
type anchors map[string]bool

func (a anchors) name(id string) string {
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '-'
	}, id)
	name := "experiment-" + clean
	for n := 2; a[name]; n++ {
		name = fmt.Sprintf("experiment-%s-%d", clean, n)
	}
	a[name] = true
	return name
}
