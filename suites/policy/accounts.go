package policy

import (
	"context"
	"errors"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"faultline/clusters"
	. "faultline/suites/drill"
)

// Who asks: nobody that the API knows, a service account that is bound to no role, and one
// that may read the configmaps of the drills' namespace.
const (
	anonymous = "anonymous"
	stranger  = "attempt-stranger"
	reader    = "attempt-reader"
)

// readable is a configmap to read.
const readable = "attempt-readable"

// accounts makes the service accounts, which are taken back with the spec.
func accounts(ctx context.Context, d *Drill) subjects {
	GinkgoHelper()
	d.Afterwards(deleteAccounts)
	Expect(d.Attempt("let one of two service accounts read the configmaps of a namespace", createAccounts)).To(BeAccepted())
	nameless := func(e clusters.Endpoint) *rest.Config { return rest.AnonymousClientConfig(d.RESTConfig(e)) }
	all := subjects{anonymous: nameless}
	client, err := d.Client(d.Front())
	Expect(err).NotTo(HaveOccurred())
	for _, name := range []string{stranger, reader} {
		request := &authenticationv1.TokenRequest{}
		issued, err := client.CoreV1().ServiceAccounts(Namespace).CreateToken(ctx, name, request, metav1.CreateOptions{})
		Expect(err).NotTo(HaveOccurred(), "a token of "+name)
		all[name] = func(e clusters.Endpoint) *rest.Config {
			config := nameless(e)
			config.BearerToken = issued.Status.Token
			return config
		}
	}
	return all
}

func createAccounts(ctx context.Context, c kubernetes.Interface) error {
	var errs []error
	for _, name := range []string{stranger, reader} {
		account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}
		_, err := c.CoreV1().ServiceAccounts(Namespace).Create(ctx, account, metav1.CreateOptions{})
		errs = append(errs, err)
	}
	_, err := c.CoreV1().ConfigMaps(Namespace).Create(ctx, configMap(readable), metav1.CreateOptions{})
	errs = append(errs, err)
	role := &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: reader},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get", "list", "watch"}}},
	}
	_, err = c.RbacV1().Roles(Namespace).Create(ctx, role, metav1.CreateOptions{})
	errs = append(errs, err)
	_, err = c.RbacV1().RoleBindings(Namespace).Create(ctx, bindingOf(reader, "Role", reader), metav1.CreateOptions{})
	return errors.Join(append(errs, err)...)
}

// deleteAccounts minds nothing that is missing: the spec may have ended early.
func deleteAccounts(ctx context.Context, c kubernetes.Interface) error {
	now := metav1.DeleteOptions{}
	return errors.Join(
		present(c.RbacV1().RoleBindings(Namespace).Delete(ctx, reader, now)),
		present(c.RbacV1().Roles(Namespace).Delete(ctx, reader, now)),
		present(c.CoreV1().ConfigMaps(Namespace).Delete(ctx, readable, now)),
		present(c.CoreV1().ServiceAccounts(Namespace).Delete(ctx, reader, now)),
		present(c.CoreV1().ServiceAccounts(Namespace).Delete(ctx, stranger, now)),
	)
}

// present forgives the deletion of what is not there.
func present(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

func configMap(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

// bindingOf gives a service account a role in the drills' namespace.
func bindingOf(account, kind, role string) *rbacv1.RoleBinding {
	return &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: account},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: Namespace, Name: account}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kind, Name: role},
	}
}
