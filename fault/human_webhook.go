package fault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"

	"faultline/clusters"
)

// webhookLanding covers API servers that learn of a new webhook from their watch.
const webhookLanding = 30 * time.Second

// FailClosedWebhook registers an admission webhook that nobody answers and that must not
// fail (failurePolicy Fail), for the creation and change of these resources ("pods",
// "leases", "deployments" ...; "*" is all, and subresources such as "pods/status" are none of
// them): the API refuses each of them. With leases it
// takes the leaders of the control plane and the heartbeats of the nodes. Reading and
// deleting go on, and what exists runs on.
//
// Proof: every API server refuses a change of an object of each resource, which it only
// tries (dryRun), because of the webhook. Undo: the webhook is deleted, by the API server
// of the same node: registrations of webhooks are never subject to webhooks. Healed:
// every API server accepts the change, and schedulers and controller managers have
// their leaders.
func FailClosedWebhook(c *clusters.Cluster, resources ...string) Fault {
	p := part{
		kind: KindFailClosedWebhook, target: "the admission of " + strings.Join(resources, ", "), node: administrator(c),
		takes: func(c *clusters.Cluster) clusters.Instances {
			if !slices.Contains(resources, "leases") && !slices.Contains(resources, "*") {
				return nil
			}
			return append(c.Instances(clusters.Scheduler), c.Instances(clusters.ControllerManager)...)
		},
	}
	p.plan = func(ctx context.Context, id string) (effect, error) {
		if err := checkResources(resources); err != nil {
			return effect{}, err
		}
		samples, err := samplesOf(ctx, c, resources)
		if err != nil {
			return effect{}, err
		}
		name := "faultline-" + id
		hook, err := json.Marshal(deadWebhook(name, resources))
		if err != nil {
			return effect{}, err
		}
		if err := tryAll(ctx, c, samples, nil); err != nil {
			return effect{}, fmt.Errorf("the API must accept changes before they are blocked: %w", err)
		}
		return effect{
			inject: command(registerScript, id), input: hook,
			undo: command(unregisterScript, id, name),
			prove: func(ctx context.Context) (string, error) {
				blocked := func(err error) error {
					if err != nil && strings.Contains(err.Error(), "failed calling webhook") && strings.Contains(err.Error(), webhookName) {
						return nil
					}
					return errors.Join(errors.New("a change is not refused because of the webhook"), err)
				}
				return fmt.Sprintf("every API server refuses changes of %s: their webhook does not answer", strings.Join(resources, ", ")),
					tryAll(ctx, c, samples, blocked)
			},
			landing: webhookLanding,
			recovered: func(ctx context.Context) (time.Time, error) {
				last := time.Now()
				err := clusters.Await(ctx, healingPoll, "every API server to accept changes", func(ctx context.Context) error {
					last = time.Now()
					return tryAll(ctx, c, samples, nil)
				})
				for _, component := range []clusters.Component{clusters.Scheduler, clusters.ControllerManager} {
					if err == nil && len(c.Instances(component)) > 0 {
						var since time.Time
						since, err = led(ctx, c, component)
						last = later(last, since)
					}
				}
				return last, err
			},
		}, nil
	}
	return Fault{Kind: KindFailClosedWebhook, TTL: DefaultTTL, parts: []part{p}}
}

// resourceName is what the API calls a resource. Subresources have to be named apart, "*"
// does not include them, and there is no way to try a change of each.
var resourceName = regexp.MustCompile(`^(\*|[a-z]+)$`)

func checkResources(resources []string) error {
	if len(resources) == 0 {
		return errors.New(`no resource given: name at least one, such as "pods", or "*"`)
	}
	for n, r := range resources {
		if !resourceName.MatchString(r) {
			return fmt.Errorf(`%q is no name of a resource: want the plural in small letters, such as "pods", or "*"`, r)
		}
		if slices.Contains(resources[:n], r) {
			return fmt.Errorf("%s is named twice", r)
		}
	}
	return nil
}

// webhookName names the webhook in the API's own messages.
const webhookName = "nobody.faultline.invalid"

// deadWebhook has a URL on which nothing listens: API servers use their node's network.
func deadWebhook(name string, resources []string) *admissionv1.ValidatingWebhookConfiguration {
	fail, none := admissionv1.Fail, admissionv1.SideEffectClassNone
	url, timeout := "https://127.0.0.1:1/", int32(1)
	return &admissionv1.ValidatingWebhookConfiguration{
		TypeMeta:   metav1.TypeMeta{APIVersion: "admissionregistration.k8s.io/v1", Kind: "ValidatingWebhookConfiguration"},
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Webhooks: []admissionv1.ValidatingWebhook{{
			Name:                    webhookName,
			ClientConfig:            admissionv1.WebhookClientConfig{URL: &url},
			FailurePolicy:           &fail,
			SideEffects:             &none,
			TimeoutSeconds:          &timeout,
			AdmissionReviewVersions: []string{"v1"},
			Rules: []admissionv1.RuleWithOperations{{
				Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
				Rule:       admissionv1.Rule{APIGroups: []string{"*"}, APIVersions: []string{"*"}, Resources: resources},
			}},
		}},
	}
}

// registerScript creates what it reads, for the fault $1.
const registerScript = enter + armed + kubectl + `cat > "$d/webhook"
again api apply --filename="$d/webhook" --server-side
rm "$d/webhook"
`

// unregisterScript undoes registerScript: it deletes the webhook $2.
const unregisterScript = enter + kubectl + unlock + `again api delete validatingwebhookconfiguration "$2" --ignore-not-found
` + relock + `rm -f "$d/webhook"
` + leave

// sample is an object to try changes on.
type sample struct {
	resource        schema.GroupVersionResource
	namespace, name string
}

// samplesOf finds an object of each resource. For all of them a configuration will do.
func samplesOf(ctx context.Context, c *clusters.Cluster, resources []string) ([]sample, error) {
	client, err := c.Client(c.Front())
	if err != nil {
		return nil, err
	}
	lists, err := client.Discovery().ServerPreferredResources()
	if err != nil {
		return nil, fmt.Errorf("list the API's resources: %w", err)
	}
	known, err := discovery.GroupVersionResources(discovery.FilteredBy(discovery.SupportsAllVerbs{Verbs: []string{"list", "patch"}}, lists))
	if err != nil {
		return nil, err
	}
	var samples []sample
	for _, resource := range resources {
		if resource == "*" {
			resource = "configmaps"
		}
		s, err := sampleOf(ctx, c, known, resource)
		if err != nil {
			return nil, err
		}
		samples = append(samples, s)
	}
	return samples, nil
}

func sampleOf(ctx context.Context, c *clusters.Cluster, known map[schema.GroupVersionResource]struct{}, resource string) (sample, error) {
	client, err := metadata.NewForConfig(c.RESTConfig(c.Front()))
	if err != nil {
		return sample{}, err
	}
	for gvr := range known {
		if gvr.Resource != resource {
			continue
		}
		list, err := client.Resource(gvr).List(ctx, metav1.ListOptions{Limit: 1})
		if err != nil {
			return sample{}, fmt.Errorf("list %s: %w", resource, err)
		}
		if len(list.Items) > 0 {
			return sample{gvr, list.Items[0].Namespace, list.Items[0].Name}, nil
		}
	}
	return sample{}, fmt.Errorf("%w: the API has no object of the resource %q to prove with that its changes are blocked", clusters.ErrUnsupported, resource)
}

// tryAll tries a change of every sample by every API server, and judges the answers.
func tryAll(ctx context.Context, c *clusters.Cluster, samples []sample, judge func(error) error) error {
	patch := []byte(`{"metadata":{"annotations":{"faultline/try":"yes"}}}`)
	for _, e := range c.APIServers() {
		client, err := metadata.NewForConfig(c.RESTConfig(e))
		if err != nil {
			return err
		}
		for _, s := range samples {
			options := metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}}
			_, err := client.Resource(s.resource).Namespace(s.namespace).Patch(ctx, s.name, types.MergePatchType, patch, options)
			if judge != nil {
				err = judge(err)
			}
			if err != nil {
				return fmt.Errorf("%s through %s: %w", s.resource.Resource, e.Name, err)
			}
		}
	}
	return nil
}
