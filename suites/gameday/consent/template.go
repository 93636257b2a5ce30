package consent

import (
	_ "embed"
	"fmt"
	"strings"
	"time"
)

// validity is how long the template's consent lasts.
const validity = 8 * time.Hour

//go:embed template.yaml
var template string

// Template is a ConfigMap with a consent for the cluster whose namespace kube-system has the
// UID, for kubectl apply -f -. It allows next to nothing, for eight hours from now on.
func Template(cluster string, now time.Time) string {
	return strings.NewReplacer(
		"$NAMESPACE", Namespace, "$NAME", Name, "$KEY", Key,
		"$CLUSTER", fmt.Sprintf("%q", cluster),
		"$FAMILIES", strings.Join(families(), ", "),
		"$COMPONENTS", strings.Join(components(), ", "),
		"$EXPIRES", now.Add(validity).UTC().Format(time.RFC3339),
	).Replace(template)
}
