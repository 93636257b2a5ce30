package drill

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
)

// newConnections are so many that, where one of three endpoints is dead, all miss it once in 200 000 times.
const newConnections = 30

// connectScript makes $2 connections to the API at the address $1, a few at a time, and prints the
// status of each answer; 000 where there is none.
const connectScript = `seq "$2" | xargs -P 6 -I@ curl --silent --insecure --output /dev/null --write-out '%{http_code} ' --max-time 2 "https://$1/livez"; true`

// AllConnect fails unless every new connection to the API by the service named kubernetes, from a
// node, is answered. Its kube-proxy leads them as it leads those of its pods.
func AllConnect(from *clusters.Node) Request {
	return connect(from, func(unanswered int) bool { return unanswered == 0 })
}

// SomeConnect fails unless some of them are answered, and some are not.
func SomeConnect(from *clusters.Node) Request {
	return connect(from, func(unanswered int) bool { return unanswered > 0 && unanswered < newConnections })
}

func connect(from *clusters.Node, is func(unanswered int) bool) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		service, err := c.CoreV1().Services(metav1.NamespaceDefault).Get(ctx, "kubernetes", metav1.GetOptions{})
		if err != nil {
			return err
		}
		out, err := from.Exec(ctx, "sh", "-c", connectScript, "sh", service.Spec.ClusterIP, strconv.Itoa(newConnections))
		if err != nil {
			return err
		}
		answers := strings.Fields(string(out))
		unanswered := len(slices.DeleteFunc(answers, func(status string) bool { return status != "000" }))
		return Unless(len(answers) == newConnections && is(unanswered),
			fmt.Errorf("of %d new connections from %s to %s %d were not answered", len(answers), from.Name, service.Spec.ClusterIP, unanswered))
	}
}
