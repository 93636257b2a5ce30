package policy

import (
	"context"
	"errors"
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	. "faultline/suites/drill"
)

// makeNamespace makes a namespace with labels. A spec that ends early leaves it deleted; any
// other waits for its end with endNamespaces.
func makeNamespace(d *Drill, name string, labels map[string]string) {
	GinkgoHelper()
	d.Afterwards(deleteNamespaces(name))
	Expect(d.Attempt("create the namespace "+name, func(ctx context.Context, c kubernetes.Interface) error {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
		_, err := c.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{})
		return err
	})).To(BeAccepted())
}

// endNamespaces deletes namespaces and waits until they are gone: the next experiment would
// find them.
func endNamespaces(d *Drill, names ...string) {
	GinkgoHelper()
	Expect(d.Attempt("delete what was created", deleteNamespaces(names...))).To(BeAccepted())
	Expect(d.BecomesTrue("it is gone", d.Timing.Binding(), namespacesGone(names...))).To(Succeed())
}

func deleteNamespaces(names ...string) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		var errs []error
		for _, name := range names {
			errs = append(errs, present(c.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{})))
		}
		return errors.Join(errs...)
	}
}

func namespacesGone(names ...string) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		for _, name := range names {
			list, err := c.CoreV1().Namespaces().List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name})
			if err != nil {
				return err
			}
			if len(list.Items) > 0 {
				return fmt.Errorf("the namespace %s is %s", name, list.Items[0].Status.Phase)
			}
		}
		return nil
	}
}

// podsIn is the path of a namespace's pods.
func podsIn(namespace string) string { return "/api/v1/namespaces/" + namespace + "/pods" }
