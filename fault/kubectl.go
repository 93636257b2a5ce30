package fault

import "faultline/clusters"

// Faults that break what the API holds, and not the API, use kubectl on a control-plane
// node as its administrator. That works without this machine, but not without the API.

// kubectl has the functions for it: api is kubectl with the node's own API server, by the
// name that is in its certificate. again tries a command for 20 s and more: the server
// may be about to restart.
const kubectl = `cache=$(mktemp -d)
trap 'rm -rf "$cache"' EXIT
trap 'exit 143' TERM
api() {
  kubectl --kubeconfig=/etc/kubernetes/admin.conf --server=https://127.0.0.1:6443 --tls-server-name=` + clusters.ServerName + ` \
    --cache-dir="$cache" --request-timeout=5s "$@"
}
again() {
  for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    "$@" && return
    sleep 1
  done
  return 1
}
`

// unlock lets go of the node's lock while an undo asks the API, which may take two minutes and
// more: until then every other undo on the node would fail. The leave to act is withdrawn
// first, so that no late action comes between. Our undo and that of the node's timer may
// come together there, which has to do no harm. An action keeps the lock, because its undo
// has to wait for it.
const unlock = `[ ! -d "$d" ] || : >"$d/undoing"
exec 9<&-
`

// relock takes the lock again, for what ends such an undo.
const relock = lock + `rm -f "$d/undoing"
`

// Kubectl is a command for a node that has an API server: kubectl that asks that server alone, and
// leaves nothing on the node.
func Kubectl(args ...string) []string {
	return append([]string{"sh", "-c", kubectl + `api "$@"`, "sh"}, args...)
}

// administrator is a node from which the API can be used: it has an API server and the
// administrator's kubeconfig.
func administrator(c *clusters.Cluster) *clusters.Node {
	for _, i := range c.Instances(clusters.APIServer) {
		if i.Node.Role == clusters.ControlPlane {
			return i.Node
		}
	}
	return nil
}
