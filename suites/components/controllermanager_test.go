package components

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

func TestNobodyGivesAnIdentity(t *testing.T) {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: shortNamespace, Name: "default"}}
	root := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: shortNamespace, Name: "kube-root-ca.crt"}}
	for name, c := range map[string]struct {
		objects []runtime.Object
		nobody  bool
	}{
		"nothing is there":         {nil, true},
		"the account is there":     {[]runtime.Object{account}, false},
		"the certificate is there": {[]runtime.Object{root}, false},
		"both are there":           {[]runtime.Object{account, root}, false},
	} {
		client := fake.NewClientset(c.objects...)
		if err := nobody(identity)(t.Context(), client); (err == nil) != c.nobody {
			t.Errorf("%s: %v, want success %t", name, err, c.nobody)
		}
		for _, l := range identity {
			if err := l.done(t.Context(), client); len(c.objects) != 1 && (err == nil) != (len(c.objects) == 2) {
				t.Errorf("%s: somebody %s: %v", name, l.name, err)
			}
		}
	}
}

func TestAnAPIThatDoesNotAnswerIsNotNobody(t *testing.T) {
	client := fake.NewClientset()
	client.PrependReactor("*", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewServiceUnavailable("nobody answers")
	})
	for _, l := range append(identity, controlLoops...) {
		if nobody([]loop{l})(t.Context(), client) == nil || l.done(t.Context(), client) == nil {
			t.Errorf("somebody %s: an API without an answer counts", l.name)
		}
	}
}
