package existing

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"faultline/clusters"
)

// ByCommand reaches nodes with a command of the user's own, such as
//
//	ssh -o BatchMode=yes root@{address}
//
// in which {name} and {address} stand for the node's. It is run by a shell of this machine,
// with what to run on the node as one more word, which a shell of the node has to read. It
// needs no API server, and reaches machines beside Kubernetes.
func ByCommand(template string, nodes []*clusters.Node) (clusters.Shell, error) {
	if !strings.Contains(template, "{address}") && !strings.Contains(template, "{name}") {
		return nil, errors.New("the command that reaches nodes has to say which node: use {address} or {name} in it")
	}
	byName := map[string]*clusters.Node{}
	for _, n := range nodes {
		byName[n.Name] = n
	}
	return func(ctx context.Context, node string, stdin io.Reader, argv ...string) ([]byte, error) {
		n, ok := byName[node]
		if !ok {
			return nil, fmt.Errorf("no node %q was discovered", node)
		}
		out, err := clusters.LocalShell(ctx, node, stdin, "sh", "-c", fill(template, n)+` "$1"`, "faultline", clusters.Quote(argv))
		if err != nil {
			return nil, fmt.Errorf("on node %s: %w", node, err)
		}
		return out, nil
	}, nil
}

func fill(template string, n *clusters.Node) string {
	return strings.NewReplacer("{name}", clusters.Quote([]string{n.Name}), "{address}", clusters.Quote([]string{n.Address})).Replace(template)
}
