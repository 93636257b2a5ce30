package existing

import (
	"encoding/pem"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
)

func TestManifestIsAsMeanAsItCan(t *testing.T) {
	found, err := discoverIn(t, cluster{masters: 1, workers: 1}, "https://10.0.0.1:6443", "")
	if err != nil {
		t.Fatal(err)
	}
	found.Cluster.Run = "r1"
	pods := NewPods(&Target{}, found)
	text, err := pods.Manifest("", 90*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"faultline.run: r1", "activeDeadlineSeconds: 5400", "automountServiceAccountToken: false", "image: registry.k8s.io/pause:3.10", "imagePullPolicy: Never", "nodeName: n2",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the manifest lacks %q:\n%s", want, text)
		}
	}
	for _, no := range []string{"kind: ClusterRole", "kind: RoleBinding"} {
		if strings.Contains(text, no) {
			t.Errorf("the manifest has %q", no)
		}
	}
	named, err := pods.Manifest("registry.example.org/tools:1", time.Hour)
	if err != nil || !strings.Contains(named, "image: registry.example.org/tools:1") || !strings.Contains(named, "imagePullPolicy: IfNotPresent") {
		t.Errorf("with an image of the user's: %v\n%s", err, named)
	}
	found.kubelets["n2"] = kubelet{}
	if _, err := pods.Manifest("", time.Hour); err == nil || !strings.Contains(err.Error(), "n2") {
		t.Errorf("a node that does not tell its images: %v", err)
	}
}

func TestPresentImage(t *testing.T) {
	for _, test := range []struct {
		images []string
		want   string
	}{
		{[]string{"docker.io/app:1", "registry.k8s.io/kube-proxy:v1", "registry.k8s.io/pause:3"}, "registry.k8s.io/pause:3"},
		{[]string{"docker.io/app:1", "registry.k8s.io/kube-proxy:v1"}, "registry.k8s.io/kube-proxy:v1"},
		{[]string{"docker.io/app:1"}, "docker.io/app:1"},
		{[]string{"docker.io/app@sha256:1"}, ""},
		{nil, ""},
	} {
		var n corev1.Node
		for _, i := range test.images {
			n.Status.Images = append(n.Status.Images, corev1.ContainerImage{Names: []string{i}})
		}
		if got := presentImage(n); got != test.want {
			t.Errorf("%v: %q, want %q", test.images, got, test.want)
		}
	}
}

func TestOnlyAKnownKubeletIsShownACertificate(t *testing.T) {
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: otherAuthority(t, "n1")})
	admin := &rest.Config{TLSClientConfig: rest.TLSClientConfig{CertData: []byte("cert"), KeyData: []byte("key")}, BearerToken: "secret"}
	config, err := kubelet{Address: "10.0.0.1", Port: 10250, Certificate: certificate}.direct(admin)
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != "https://10.0.0.1:10250" || config.ServerName != "n1" || string(config.CAData) != string(certificate) || config.Insecure || config.BearerToken != "" {
		t.Errorf("the way to the kubelet: %+v", config)
	}
	if _, err := (kubelet{Address: "10.0.0.1"}).direct(admin); err == nil {
		t.Error("a kubelet whose certificate nobody knows is trusted")
	}
	if _, err := (kubelet{Certificate: certificate}).direct(&rest.Config{BearerToken: "secret"}); err == nil {
		t.Error("a token is to be sent to a kubelet")
	}
}
