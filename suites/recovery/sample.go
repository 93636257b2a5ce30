package recovery

import (
	"context"
	"errors"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	. "faultline/suites/drill"
)

// The sample is a deployment with a service, and on every node a pod that is their client. All
// its objects bear one of the names.
const (
	sample         = "attempt-sample"
	sampleClient   = "attempt-client"
	sampleReplicas = 2
	samplePort     = 8080
	sampleConfig   = "from a configmap"
	sampleSecret   = "from a secret"
)

func createSample(ctx context.Context, c kubernetes.Interface) error {
	now, meta := metav1.CreateOptions{}, metav1.ObjectMeta{Name: sample}
	_, errAccount := c.CoreV1().ServiceAccounts(Namespace).Create(ctx, &corev1.ServiceAccount{ObjectMeta: meta}, now)
	_, errRole := c.RbacV1().Roles(Namespace).Create(ctx, &rbacv1.Role{
		ObjectMeta: meta,
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get"}}},
	}, now)
	_, errBinding := c.RbacV1().RoleBindings(Namespace).Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: meta,
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: Namespace, Name: sample}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: sample},
	}, now)
	_, errConfig := c.CoreV1().ConfigMaps(Namespace).Create(ctx, &corev1.ConfigMap{ObjectMeta: meta, Data: map[string]string{"value": sampleConfig}}, now)
	_, errSecret := c.CoreV1().Secrets(Namespace).Create(ctx, &corev1.Secret{ObjectMeta: meta, StringData: map[string]string{"value": sampleSecret}}, now)
	_, errService := c.CoreV1().Services(Namespace).Create(ctx, &corev1.Service{
		ObjectMeta: meta,
		Spec: corev1.ServiceSpec{
			Selector: clusters.AppLabels(sample),
			Ports:    []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(samplePort)}},
		},
	}, now)
	_, errDeployment := c.AppsV1().Deployments(Namespace).Create(ctx, sampleDeployment(), now)
	_, errClients := c.AppsV1().DaemonSets(Namespace).Create(ctx, sampleClients(), now)
	return errors.Join(errAccount, errRole, errBinding, errConfig, errSecret, errService, errDeployment, errClients)
}

func sampleDeployment() *appsv1.Deployment {
	replicas := int32(sampleReplicas)
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: sample},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: clusters.AppLabels(sample)},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: clusters.AppLabels(sample)},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{WorkloadContainer(string(clusters.Application), "serve")}},
			},
		},
	}
}

// sampleClients are a pod for every node, because names, services and volumes are each node's own.
func sampleClients() *appsv1.DaemonSet {
	return &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: sampleClient},
		Spec: appsv1.DaemonSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: clusters.AppLabels(sampleClient)},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: clusters.AppLabels(sampleClient)}, Spec: clientSpec()},
		},
	}
}

// clientSpec is of a pod that asks for every target, and has a volume of each kind. Its second container counts in the
// one that was empty.
func clientSpec() corev1.PodSpec {
	client := WorkloadContainer(string(clusters.Application), "serve", "-interval", "250ms")
	for _, t := range sampleTargets {
		client.Args = append(client.Args, "-target", t.name+"="+t.url)
	}
	counter := WorkloadContainer("counter", "heartbeat", "-file", "/scratch/beat")
	pod := corev1.PodSpec{ServiceAccountName: sample, Volumes: []corev1.Volume{
		{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: sample}}}},
		{Name: "secret", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: sample}}},
		{Name: "scratch", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
	}}
	for _, v := range pod.Volumes {
		client.VolumeMounts = append(client.VolumeMounts, corev1.VolumeMount{Name: v.Name, MountPath: "/" + v.Name})
	}
	counter.VolumeMounts = client.VolumeMounts[2:]
	pod.Containers = []corev1.Container{client, counter}
	return pod
}

// removeSample minds nothing that is missing: the spec may have ended early.
func removeSample(ctx context.Context, c kubernetes.Interface) error {
	background := metav1.DeletePropagationBackground
	how := metav1.DeleteOptions{PropagationPolicy: &background}
	var errs []error
	for _, err := range []error{
		c.AppsV1().DaemonSets(Namespace).Delete(ctx, sampleClient, how),
		c.AppsV1().Deployments(Namespace).Delete(ctx, sample, how),
		c.CoreV1().Services(Namespace).Delete(ctx, sample, how),
		c.CoreV1().Secrets(Namespace).Delete(ctx, sample, how),
		c.CoreV1().ConfigMaps(Namespace).Delete(ctx, sample, how),
		c.RbacV1().RoleBindings(Namespace).Delete(ctx, sample, how),
		c.RbacV1().Roles(Namespace).Delete(ctx, sample, how),
		c.CoreV1().ServiceAccounts(Namespace).Delete(ctx, sample, how),
	} {
		if err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
