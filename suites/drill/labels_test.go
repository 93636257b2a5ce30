package drill

import (
	"regexp"
	"strings"
	"testing"

	"github.com/onsi/ginkgo/v2/types"
)

func TestRepeatSelectsTheSpecAlone(t *testing.T) {
	spec := types.SpecReport{
		ContainerHierarchyTexts: []string{"A leader's end (by $SIGKILL)"}, LeafNodeText: `is noticed: 1+1 \ [a|b]`,
		ContainerHierarchyLabels: [][]string{{"tier:nightly", "claim:LEAD-01"}},
	}
	command := repeatCommand(spec, "documented")
	for _, want := range []string{"FAULTLINE_TIERS=nightly ", "FAULTLINE_PROFILE=documented "} {
		if !strings.Contains(command, want) {
			t.Errorf("%s lacks %s", command, want)
		}
	}
	_, focus, _ := strings.Cut(command, "GINKGO_FOCUS=")
	focus = strings.Trim(focus, "'")
	if strings.ContainsAny(focus, `'$\`) || !regexp.MustCompile(focus).MatchString(spec.FullText()) {
		t.Errorf("the pattern %s does not find %s", focus, spec.FullText())
	}
}
