package components

import (
	"errors"
	"testing"

	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
)

func TestOneAccepted(t *testing.T) {
	conflict := apierrors.NewConflict(schema.GroupResource{}, "a", errors.New("modified"))
	for name, c := range map[string]struct {
		answers []error
		want    bool
	}{
		"one":           {[]error{conflict, nil, conflict}, true},
		"two":           {[]error{nil, nil, conflict}, false},
		"none":          {[]error{conflict, conflict, conflict}, false},
		"another error": {[]error{nil, conflict, errors.New("no answer")}, false},
	} {
		if err := oneAccepted(c.answers); (err == nil) != c.want {
			t.Errorf("%s: %v, want success %t", name, err, c.want)
		}
	}
}

func TestLeadsTo(t *testing.T) {
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kubernetes"},
		Endpoints:  []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.1"}}, {Addresses: []string{"10.0.0.2"}}},
	}
	client := fake.NewClientset(slice)
	for address, there := range map[string]bool{"10.0.0.2": true, "10.0.0.3": false} {
		for _, want := range []bool{true, false} {
			if err := leadsTo(address, want)(t.Context(), client); (err == nil) != (there == want) {
				t.Errorf("%s, want it there %t: %v", address, want, err)
			}
		}
	}
}
