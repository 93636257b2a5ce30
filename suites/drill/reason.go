package drill

import (
	"regexp"
	"strings"

	"github.com/onsi/gomega/format"
)

// Gomega prints the fields of an error below its text, which tell a person nothing more.
func init() {
	format.RegisterCustomFormatter(func(value any) (string, bool) {
		_, is := value.(error)
		return "", is
	})
}

// aroundErrors is what Gomega's Succeed puts before the text of an error.
var aroundErrors = regexp.MustCompile(`^Expected success, but got an error:\s+<[^>]*>:\s+`)

// reasonOf is why a spec failed, for the record.
func reasonOf(failure string) string {
	return strings.TrimSpace(aroundErrors.ReplaceAllString(failure, ""))
}
