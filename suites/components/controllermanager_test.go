package components

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"faultline/clusters"
	. "faultline/suites/drill"
)

func TestIdentityIsToldByWhatIsThere(t *testing.T) {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: shortNamespace, Name: "default"}}
	root := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: shortNamespace, Name: "kube-root-ca.crt"}}
	request := func(certificate string) *certificatesv1.CertificateSigningRequest {
		r := &certificatesv1.CertificateSigningRequest{ObjectMeta: metav1.ObjectMeta{Name: newcomer}}
		r.Status.Certificate = []byte(certificate)
		return r
	}
	for name, c := range map[string]struct {
		objects []runtime.Object
		done    int
	}{
		"nothing is there":                {nil, 0},
		"the request is not signed":       {[]runtime.Object{request("")}, 0},
		"the request is signed":           {[]runtime.Object{request("signed")}, 1},
		"the account is there":            {[]runtime.Object{account}, 1},
		"the root certificate is there":   {[]runtime.Object{root}, 1},
		"both are, and nobody has signed": {[]runtime.Object{account, root, request("")}, 2},
		"all are there":                   {[]runtime.Object{account, root, request("signed")}, 3},
	} {
		judgeLoops(t, name, identity, fake.NewClientset(c.objects...), c.done)
	}
}

func TestControlLoopsAreToldByWhatTheyChange(t *testing.T) {
	meta := metav1.ObjectMeta{Namespace: Namespace, Name: Deployment, Labels: clusters.AppLabels(Deployment)}
	deleted := meta
	deleted.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)}
	deployment := func(replicas int32) *appsv1.Deployment {
		return &appsv1.Deployment{ObjectMeta: meta, Status: appsv1.DeploymentStatus{Replicas: replicas}}
	}
	slice := func(endpoints ...discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
		labels := map[string]string{discoveryv1.LabelServiceName: served}
		return &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: served, Labels: labels}, Endpoints: endpoints}
	}
	ofJob := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: job + "-1", Labels: map[string]string{batchv1.JobNameLabel: job}}}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: shortNamespace}}
	left := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: owned}}
	for name, c := range map[string]struct {
		objects []runtime.Object
		done    int
	}{
		"nothing is done": {[]runtime.Object{deployment(1), &corev1.Pod{ObjectMeta: deleted}, namespace, left, slice()}, 0},
		"the pod is made": {[]runtime.Object{deployment(1), &corev1.Pod{ObjectMeta: meta}, namespace, left, slice()}, 1},
		"the rest is":     {[]runtime.Object{deployment(3), ofJob, slice(discoveryv1.Endpoint{Addresses: []string{"10.0.0.1"}})}, len(controlLoops) - 1},
	} {
		judgeLoops(t, name, controlLoops, fake.NewClientset(c.objects...), c.done)
	}
}

// judgeLoops fails unless so many loops have done their work, and nobody has where none have.
func judgeLoops(t *testing.T, name string, loops []loop, client kubernetes.Interface, want int) {
	t.Helper()
	var done []string
	for _, l := range loops {
		if l.done(t.Context(), client) == nil {
			done = append(done, l.name)
		}
	}
	if len(done) != want {
		t.Errorf("%s: done is %q, want %d of them", name, done, want)
	}
	if err := nobody(loops)(t.Context(), client); (err == nil) != (want == 0) {
		t.Errorf("%s: %v, and %d are done", name, err, want)
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
