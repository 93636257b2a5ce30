package drill

import (
	"strconv"
	"strings"

	"github.com/onsi/ginkgo/v2"

	"faultline/clusters"
)

// healthScript prints the status with which etcd on this node, on the port $1, answers the
// path $2 (etcd 3.6 and later have livez and readyz).
const healthScript = `cd /etc/kubernetes/pki && curl --silent --output /dev/null --write-out '%{http_code}' --max-time 30 \
  --cacert etcd/ca.crt --cert apiserver-etcd-client.crt --key apiserver-etcd-client.key "https://127.0.0.1:$1/$2"`

// Health asks a member of etcd for one of its health endpoints, and returns the HTTP status.
func (d *Drill) Health(member clusters.Instance, path string) int {
	ginkgo.GinkgoHelper()
	out, err := member.Node.Exec(d.ctx, "sh", "-c", healthScript, "sh", strconv.Itoa(member.Port()), path)
	d.require(err, "no answer of "+member.String())
	status, err := strconv.Atoi(strings.TrimSpace(string(out)))
	d.require(err, "no status from "+member.String())
	return status
}
