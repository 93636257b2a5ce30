package probe

import (
	"context"
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
)

// setupPause is the time between two tries to create what the probes need.
const setupPause = 250 * time.Millisecond

// flowSchema names the rule that exempts the probes from API priority and
// fairness. Writes that hang on a lost store would otherwise use up the seats
// of the same user's reads from the cache, and the probes would disturb what
// they measure.
const flowSchema = "faultline-probe"

// ledgerNamespace keeps the ledger's many objects away from those that are read.
func ledgerNamespace(namespace string) string { return namespace + "-ledger" }

// Namespaces are those of the probes of every cluster.
func Namespaces() []string {
	ns := Options{}.withDefaults().Namespace
	return []string{ns, ledgerNamespace(ns)}
}

// furnish creates what the probes ask for. What exists already is kept.
func (s *Set) furnish(ctx context.Context, client kubernetes.Interface) error {
	ns, run := s.opts.Namespace, s.cluster.Run
	type step struct {
		what   string
		create func(context.Context) error
	}
	steps := []step{
		{"namespace " + ns, createNamespace(client, run, ns)},
		{"namespace " + ledgerNamespace(ns), createNamespace(client, run, ledgerNamespace(ns))},
		{"the service account", func(ctx context.Context) error {
			account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: serviceAccount}}
			_, err := client.CoreV1().ServiceAccounts(ns).Create(ctx, account, metav1.CreateOptions{})
			return err
		}},
		{"the object to read", func(ctx context.Context) error {
			_, err := client.CoreV1().ConfigMaps(ns).Create(ctx, anchorObject(), metav1.CreateOptions{})
			return err
		}},
		{"the deployment to reconcile", func(ctx context.Context) error {
			_, err := client.AppsV1().Deployments(ns).Create(ctx, emptyDeployment(s.ledger.id), metav1.CreateOptions{})
			return err
		}},
	}
	if !s.opts.Unprivileged {
		steps = append(steps, step{"the flow schema", createFlowSchema(client)})
	}
	for _, step := range steps {
		err := clusters.Await(ctx, setupPause, "the creation of "+step.what, func(ctx context.Context) error {
			if err := step.create(ctx); err != nil && !apierrors.IsAlreadyExists(err) {
				return err
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("prepare the probes: %w", err)
		}
	}
	return nil
}

// createNamespace names the run on the namespace, so that only that run removes it from a
// cluster of others.
func createNamespace(client kubernetes.Interface, run, name string) func(context.Context) error {
	return func(ctx context.Context) error {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
			clusters.RunLabel: run,
			// Host ports are not for restricted pods.
			"pod-security.kubernetes.io/enforce": "privileged",
		}}}
		_, err := client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{})
		return err
	}
}

func anchorObject() *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: anchor, Labels: map[string]string{anchorLabel: "true"}},
		Data:       map[string]string{"is": "read by probes"},
	}
}

// emptyDeployment has no pods: only its controller's attention is wanted.
func emptyDeployment(id string) *appsv1.Deployment {
	labels := map[string]string{taskLabel: id}
	none := int32(0)
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: deploymentName(id), Labels: labels},
		Spec: appsv1.DeploymentSpec{
			Replicas: &none,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "none", Image: "faultline.invalid/none"}}},
			},
		},
	}
}

func createFlowSchema(client kubernetes.Interface) func(context.Context) error {
	return func(ctx context.Context) error {
		review, err := client.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
		if err != nil {
			return fmt.Errorf("ask who we are: %w", err)
		}
		_, err = client.FlowcontrolV1().FlowSchemas().Create(ctx, exemption(review.Status.UserInfo.Username), metav1.CreateOptions{})
		return err
	}
}

func exemption(user string) *flowcontrolv1.FlowSchema {
	return &flowcontrolv1.FlowSchema{
		ObjectMeta: metav1.ObjectMeta{Name: flowSchema},
		Spec: flowcontrolv1.FlowSchemaSpec{
			PriorityLevelConfiguration: flowcontrolv1.PriorityLevelConfigurationReference{Name: flowcontrolv1.PriorityLevelConfigurationNameExempt},
			MatchingPrecedence:         10,
			Rules: []flowcontrolv1.PolicyRulesWithSubjects{{
				Subjects: []flowcontrolv1.Subject{{Kind: flowcontrolv1.SubjectKindUser, User: &flowcontrolv1.UserSubject{Name: user}}},
				ResourceRules: []flowcontrolv1.ResourcePolicyRule{{
					Verbs: []string{"*"}, APIGroups: []string{"*"}, Resources: []string{"*"},
					ClusterScope: true, Namespaces: []string{"*"},
				}},
				NonResourceRules: []flowcontrolv1.NonResourcePolicyRule{{Verbs: []string{"*"}, NonResourceURLs: []string{"*"}}},
			}},
		},
	}
}

// clear removes what the set created, except its namespaces and the ledger's
// objects, which an audit still has to find.
func (s *Set) clear(ctx context.Context, client kubernetes.Interface) error {
	now := int64(0)
	ns := s.opts.Namespace
	mine := metav1.ListOptions{LabelSelector: taskLabel + "=" + s.ledger.id}
	immediately := metav1.DeleteOptions{GracePeriodSeconds: &now}
	background := metav1.DeletePropagationBackground
	err := errors.Join(
		client.CoreV1().Pods(ns).DeleteCollection(ctx, immediately, mine),
		ignoreMissing(client.AppsV1().Deployments(ns).Delete(ctx, deploymentName(s.ledger.id), metav1.DeleteOptions{PropagationPolicy: &background})),
		ignoreMissing(client.FlowcontrolV1().FlowSchemas().Delete(ctx, flowSchema, metav1.DeleteOptions{})),
	)
	if err != nil {
		return fmt.Errorf("clean up after the probes: %w", err)
	}
	return nil
}

func ignoreMissing(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// Remove deletes the probes' namespaces that the cluster's run has created, with everything in
// them, and waits until they are gone. It is for a cluster that lives on without the suite.
func Remove(ctx context.Context, c *clusters.Cluster, opts Options) error {
	client, err := c.Client(c.Front())
	if err != nil {
		return err
	}
	ns := opts.withDefaults().Namespace
	return clusters.RemoveNamespacesOf(ctx, client, c.Run, ns, ledgerNamespace(ns))
}
