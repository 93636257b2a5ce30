package clusters

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
)

// RunLabel names the run on everything that it creates: containers, networks and, in clusters
// of others, namespaces.
const RunLabel = "faultline.run"

// namespacePause is the time between two looks at namespaces that are ending.
const namespacePause = 250 * time.Millisecond

// RemoveNamespaces deletes namespaces with everything in them, whoever made them, and waits until
// they are gone. It may be called again, and for what never was. It is for clusters that are ours.
func RemoveNamespaces(ctx context.Context, client kubernetes.Interface, names ...string) error {
	for _, name := range names {
		err := Await(ctx, namespacePause, "the end of namespace "+name, func(ctx context.Context) error {
			return endNamespace(ctx, client, name, metav1.DeleteOptions{})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// RemoveNamespacesOf does so with those of the names that the run has created, and leaves alone
// what others have under the same names.
func RemoveNamespacesOf(ctx context.Context, client kubernetes.Interface, run string, names ...string) error {
	mine := metav1.ListOptions{LabelSelector: labels.Set{RunLabel: run}.String()}
	return Await(ctx, namespacePause, "the end of the namespaces of run "+run, func(ctx context.Context) error {
		found, err := client.CoreV1().Namespaces().List(ctx, mine)
		if err != nil {
			return fmt.Errorf("list the namespaces of run %s: %w", run, err)
		}
		var errs []error
		for _, n := range found.Items {
			if slices.Contains(names, n.Name) {
				// By its UID: another run may create one of that name once this one is gone.
				errs = append(errs, endNamespace(ctx, client, n.Name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(n.UID))}))
			}
		}
		return errors.Join(errs...)
	})
}

// endNamespace asks for the end of a namespace, and fails until that has come.
func endNamespace(ctx context.Context, client kubernetes.Interface, name string, how metav1.DeleteOptions) error {
	err := client.CoreV1().Namespaces().Delete(ctx, name, how)
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil && !apierrors.IsConflict(err):
		return err
	default:
		return fmt.Errorf("namespace %s is not gone yet", name)
	}
}
