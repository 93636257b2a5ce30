package clusters

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// RemoveNamespaces deletes namespaces with everything in them, and waits until they are gone. It
// may be called again, and for what never was.
func RemoveNamespaces(ctx context.Context, client kubernetes.Interface, names ...string) error {
	for _, name := range names {
		err := Await(ctx, 250*time.Millisecond, "the end of namespace "+name, func(ctx context.Context) error {
			err := client.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{})
			switch {
			case apierrors.IsNotFound(err):
				return nil
			case err != nil && !apierrors.IsConflict(err):
				return err
			default:
				return fmt.Errorf("namespace %s is not gone yet", name)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}
