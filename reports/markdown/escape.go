package markdown

import (
	"strings"
	"unicode"
)

const (
	longestText = 600  // characters of a text inside a line or a cell
	longestCode = 4000 // characters of a block
)

// Text writes a text of the record on one line, so that it says what it says and
// formats nothing. A pipe becomes an entity because it ends a cell even in code.
func Text(s string) string {
	return escapes.Replace(cut(line(s), longestText))
}

var escapes = strings.NewReplacer(
	"&", "&amp;", "<", "&lt;", ">", "&gt;", "|", "&#124;",
	`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "~", `\~`, "#", `\#`, "$", `\$`, "!", `\!`)

// line puts a text on one line, without control characters.
func line(s string) string {
	return strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, "\ufffd"), func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r)
	}), " ")
}

// lines keeps line breaks, and no other control characters.
func lines(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\ufffd"), "\r\n", "\n")
	return strings.Map(func(r rune) rune {
		if r != '\n' && unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.Trim(s, "\n"))
}

// cut shortens a text, and tells that it did.
func cut(s string, longest int) string {
	runes := []rune(s)
	if len(runes) <= longest {
		return s
	}
	return string(runes[:longest]) + " … (cut)"
}

// fence is a block of code; its fence is longer than any in the text.
func fence(language, s string) string {
	s = cut(lines(s), longestCode)
	marks := "```"
	for strings.Contains(s, marks) {
		marks += "`"
	}
	return marks + language + "\n" + s + "\n" + marks + "\n"
}
