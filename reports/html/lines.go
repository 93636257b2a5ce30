package html

import (
	"regexp"
	"strconv"
)

// lines is a stretch of a document.
type lines struct {
	document string
	from, to int
}

// A claim's source is for people: "A:L26, A:L39-40 (2+), L63", where a line without a
// document is of the one before.
var citation = regexp.MustCompile(`(?:\b([A-Z]):)?\bL(\d+)(?:-L?(\d+))?`)

// linesOf finds the lines that a source cites.
func linesOf(source string) []lines {
	var all []lines
	document := ""
	for _, m := range citation.FindAllStringSubmatch(source, -1) {
		if m[1] != "" {
			document = m[1]
		}
		from, _ := strconv.Atoi(m[2]) // digits, as many as a line number has
		to := from
		if m[3] != "" {
			to, _ = strconv.Atoi(m[3])
		}
		all = append(all, lines{document, from, to})
	}
	return all
}

// overlap tells whether two citations share a line.
func overlap(a, b []lines) bool {
	for _, x := range a {
		for _, y := range b {
			if x.document == y.document && x.from <= y.to && y.from <= x.to {
				return true
			}
		}
	}
	return false
}
