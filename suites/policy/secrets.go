package policy

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	. "faultline/suites/drill"
)

// Two secrets, and the pods that mount them: on the worker in question, and on another one.
const (
	own     = "attempt-own"
	foreign = "attempt-foreign"
)

// handSecretsOut makes both, with a pod for each.
func handSecretsOut(owner, other *clusters.Node) Request {
	return func(ctx context.Context, c kubernetes.Interface) error {
		for name, n := range map[string]*clusters.Node{own: owner, foreign: other} {
			secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, StringData: map[string]string{"for": n.Name}}
			if _, err := c.CoreV1().Secrets(Namespace).Create(ctx, secret, metav1.CreateOptions{}); err != nil {
				return err
			}
			pod := idlePod(boundTo(n.Name), mounting(name))
			if _, err := c.CoreV1().Pods(Namespace).Create(ctx, pod, metav1.CreateOptions{}); err != nil {
				return err
			}
		}
		return nil
	}
}

// takeSecretsBack minds nothing that is missing: the spec may have ended early.
func takeSecretsBack(ctx context.Context, c kubernetes.Interface) error {
	for _, name := range []string{own, foreign} {
		if err := present(c.CoreV1().Pods(Namespace).Delete(ctx, name, metav1.DeleteOptions{})); err != nil {
			return err
		}
		if err := present(c.CoreV1().Secrets(Namespace).Delete(ctx, name, metav1.DeleteOptions{})); err != nil {
			return err
		}
	}
	return nil
}
