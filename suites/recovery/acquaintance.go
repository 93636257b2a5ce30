package recovery

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"faultline/clusters"
	. "faultline/suites/drill"
)

// acquaintance is how a worker's kubelet and the API server take each other.
type acquaintance struct {
	sentence string
	// answers are the status of the API server's answer to the kubelet, what curl says on the
	// worker of the API server's certificate (0: it is good, 60: an unknown authority), and
	// the status of the kubelet's answer to the API server.
	answers string
}

var (
	friends           = acquaintance{"know each other", "200 0 200"}
	strangers         = acquaintance{"do not know each other", "401 60 401"}
	refusedByKubelets = acquaintance{"do not know each other in one way: the kubelet refuses the API server", "200 0 401"}
)

// kubeletScript asks the API for the node $1 as its kubelet, and then verifies who answers.
const kubeletScript = `server=$(sed -n 's/^ *server: *//p' /etc/kubernetes/kubelet.conf)
identity=/var/lib/kubelet/pki/kubelet-client-current.pem
quietly='curl --silent --output /dev/null --max-time 10'
$quietly --insecure --write-out '%{http_code} ' --cert "$identity" --key "$identity" "$server/api/v1/nodes/$1"
$quietly --cacert /etc/kubernetes/pki/ca.crt "$server/livez"
echo $?
`

// serverScript asks the kubelet at the address $1 as the API server.
const serverScript = `cd /etc/kubernetes/pki
curl --silent --output /dev/null --max-time 10 --insecure --write-out '%{http_code}\n' \
  --cert apiserver-kubelet-client.crt --key apiserver-kubelet-client.key "https://$1:10250/healthz" || true
`

// acquainted tells for each worker how its kubelet and the API server take each other, and
// fails unless it is as wanted.
func acquainted(ctx context.Context, d *Drill, want acquaintance) error {
	var errs []error
	for _, worker := range Workers(d.Nodes) {
		answers, err := exchange(ctx, d.With(clusters.ControlPlane)[0], worker)
		if answers != want.answers {
			err = errors.Join(fmt.Errorf("their answers are %q, want %q", answers, want.answers), err)
		}
		errs = append(errs, d.Told(fmt.Sprintf("the API server and the kubelet of %s %s", worker.Name, want.sentence), err))
	}
	return errors.Join(errs...)
}

// exchange lets both ask each other.
func exchange(ctx context.Context, master, worker *clusters.Node) (answers string, err error) {
	asked, errAsked := worker.Exec(ctx, "sh", "-c", kubeletScript, "sh", worker.Name)
	asks, errAsks := master.Exec(ctx, "sh", "-c", serverScript, "sh", worker.Address)
	return strings.Join(strings.Fields(string(asked)+" "+string(asks)), " "), errors.Join(errAsked, errAsks)
}
