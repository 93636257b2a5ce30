package fault

import (
	"context"
	"fmt"
	"strings"

	"faultline/clusters"
)

// lackingScript prints those of its arguments that are no programs.
const lackingScript = `for program; do command -v "$program" > /dev/null || echo "$program"; done
`

// need refuses a node without the programs that an action or, worse, only its undo runs there.
func need(ctx context.Context, n *clusters.Node, programs ...string) error {
	out, err := n.Exec(ctx, command(lackingScript, programs...)...)
	if err != nil {
		return fmt.Errorf("look for %s on node %s: %w", strings.Join(programs, ", "), n.Name, err)
	}
	if lacking := strings.Fields(string(out)); len(lacking) > 0 {
		return fmt.Errorf("%w: node %s has no %s", clusters.ErrUnsupported, n.Name, strings.Join(lacking, ", "))
	}
	return nil
}
