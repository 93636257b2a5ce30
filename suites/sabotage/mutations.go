package sabotage

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
	"faultline/suites/recovery"
)

// mutationTime is how long a mutation may take to be in effect.
const mutationTime = 2 * time.Minute

// withFlag adds a flag to every instance of a component.
func withFlag(component clusters.Component, flag string) Mutation {
	return func(_ context.Context, d *Drill) error {
		d.Inject(fault.SetFlag(flag, d.Instances(component)...).Losing(component))
		return nil
	}
}

// spare is the number of an instance that no layout has.
const spare = 9

// withAnother starts one more instance of an elected component on the first master. It
// takes part in no election, so that it acts at once.
func withAnother(component clusters.Component) Mutation {
	return func(ctx context.Context, d *Drill) error {
		first := d.Instances(component)[0]
		another := clusters.Instance{Component: component, Node: first.Node, Copy: spare}
		pod, err := manifestOf(ctx, first)
		if err != nil {
			return err
		}
		pod.Name = another.Name()
		container := &pod.Spec.Containers[0]
		container.Env = append(container.Env, corev1.EnvVar{Name: clusters.CopyVariable, Value: strconv.Itoa(spare)})
		// Nobody asks it how it is: its port is another than the probes know.
		container.Ports, container.LivenessProbe, container.ReadinessProbe, container.StartupProbe = nil, nil, nil, nil
		// Of a flag that is given twice the last counts.
		container.Command = append(container.Command, "--leader-elect=false", fmt.Sprintf("--secure-port=%d", another.Port()))
		text, err := yaml.Marshal(pod)
		if err != nil {
			return err
		}
		if err := another.Node.WriteFile(ctx, another.Manifest(), text); err != nil {
			return err
		}
		return awaitProcess(ctx, another)
	}
}

func manifestOf(ctx context.Context, i clusters.Instance) (*corev1.Pod, error) {
	text, err := i.Node.Exec(ctx, "cat", i.Manifest())
	if err != nil {
		return nil, err
	}
	pod := &corev1.Pod{}
	if err := yaml.UnmarshalStrict(text, pod); err != nil {
		return nil, fmt.Errorf("manifest of %s: %w", i, err)
	}
	return pod, nil
}

func awaitProcess(ctx context.Context, i clusters.Instance) error {
	ctx, cancel := context.WithTimeout(ctx, mutationTime)
	defer cancel()
	return clusters.Await(ctx, 250*time.Millisecond, i.String()+" to run", func(ctx context.Context) error {
		_, err := i.Process(ctx)
		return err
	})
}

// cut keeps nodes from reaching each other.
func cut(nodes func(*Drill) (a, b []*clusters.Node)) Mutation {
	return func(_ context.Context, d *Drill) error {
		d.Inject(fault.Partition(nodes(d)))
		return nil
	}
}

// followers are the members of etcd beside its leader, each on its own.
func followers(d *Drill) (one, other []*clusters.Node) {
	rest := d.EtcdMembers().Except(d.Leader(clusters.Etcd))
	return []*clusters.Node{rest[0].Node}, []*clusters.Node{rest[1].Node}
}

// idleBalancer is the load balancer that does not have the shared address, and all that is
// behind it.
func idleBalancer(d *Drill) (balancer, masters []*clusters.Node) {
	holder := d.AddressHolder()
	idle := slices.DeleteFunc(d.With(clusters.Balancer), func(n *clusters.Node) bool { return n == holder })
	return idle, d.With(clusters.ControlPlane)
}

// silent stops the kubelet of a node, by its number among those of a role.
func silent(number int, role clusters.Role) Mutation {
	return func(_ context.Context, d *Drill) error {
		d.Inject(fault.StopService(d.With(role)[number].Instances(clusters.Kubelet)...))
		return nil
	}
}

// quotaScript has a kubelet take limits of CPU time for nothing.
const quotaScript = `echo 'cpuCFSQuota: false' >> /var/lib/kubelet/config.yaml && systemctl restart kubelet`

// withoutQuotas lets pods of masters have more CPU time than their limits.
func withoutQuotas(ctx context.Context, d *Drill) error {
	for _, n := range d.With(clusters.ControlPlane) {
		if _, err := n.Exec(ctx, "sh", "-c", quotaScript); err != nil {
			return err
		}
	}
	return nil
}

// encryptedSecrets configures encryption at rest.
func encryptedSecrets(ctx context.Context, d *Drill) error {
	flag, err := recovery.PlaceEncryption(ctx, d)
	if err != nil {
		return err
	}
	return withFlag(clusters.APIServer, flag)(ctx, d)
}

// knowingDNS lets DNS servers know the API's name by themselves.
func knowingDNS(ctx context.Context, d *Drill) error {
	client, err := d.Client(d.Front())
	if err != nil {
		return err
	}
	service, err := client.CoreV1().Services("default").Get(ctx, "kubernetes", metav1.GetOptions{})
	if err != nil {
		return err
	}
	maps := client.CoreV1().ConfigMaps("kube-system")
	config, err := maps.Get(ctx, "coredns", metav1.GetOptions{})
	if err != nil {
		return err
	}
	hosts := fmt.Sprintf("ready\n    hosts {\n        %s kubernetes.default.svc.cluster.local\n        fallthrough\n    }\n", service.Spec.ClusterIP)
	config.Data["Corefile"] = strings.Replace(config.Data["Corefile"], "ready\n", hosts, 1)
	if _, err := maps.Update(ctx, config, metav1.UpdateOptions{}); err != nil {
		return err
	}
	return restartDNS(ctx, client)
}

// restartDNS replaces the DNS servers, and waits until the new ones are ready.
func restartDNS(ctx context.Context, client kubernetes.Interface) error {
	pods := client.CoreV1().Pods("kube-system")
	servers := metav1.ListOptions{LabelSelector: "k8s-app=kube-dns"}
	before, err := pods.List(ctx, servers)
	if err != nil {
		return err
	}
	if err := pods.DeleteCollection(ctx, metav1.DeleteOptions{}, servers); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, mutationTime)
	defer cancel()
	return clusters.Await(ctx, 250*time.Millisecond, "the DNS servers that know a name", func(ctx context.Context) error {
		now, err := pods.List(ctx, servers)
		if err != nil {
			return err
		}
		if len(now.Items) != len(before.Items) {
			return fmt.Errorf("there are %d pods", len(now.Items))
		}
		for _, p := range now.Items {
			if p.DeletionTimestamp != nil || !clusters.PodReady(&p) {
				return fmt.Errorf("pod %s is not ready", p.Name)
			}
		}
		return nil
	})
}

// awaitedCloud marks a node as one that waits for a cloud. The mark repels nobody, so that
// everything else works.
func awaitedCloud(ctx context.Context, d *Drill) error {
	client, err := d.Client(d.Front())
	if err != nil {
		return err
	}
	node, err := client.CoreV1().Nodes().Get(ctx, d.Nodes[0].Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	node.Spec.Taints = append(node.Spec.Taints, corev1.Taint{Key: "node.cloudprovider.kubernetes.io/uninitialized", Effect: corev1.TaintEffectPreferNoSchedule})
	_, err = client.CoreV1().Nodes().Update(ctx, node, metav1.UpdateOptions{})
	return err
}

// everybodyRules makes every account an administrator.
func everybodyRules(ctx context.Context, d *Drill) error {
	client, err := d.Client(d.Front())
	if err != nil {
		return err
	}
	_, err = client.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "attempt-everybody"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "system:authenticated"}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
	}, metav1.CreateOptions{})
	return err
}

// nobodyIsThrottled exempts every client from priority and fairness, by the first rule that
// anybody may add.
func nobodyIsThrottled(ctx context.Context, d *Drill) error {
	client, err := d.Client(d.Front())
	if err != nil {
		return err
	}
	_, err = client.FlowcontrolV1().FlowSchemas().Create(ctx, &flowcontrolv1.FlowSchema{
		ObjectMeta: metav1.ObjectMeta{Name: "attempt-everybody"},
		Spec: flowcontrolv1.FlowSchemaSpec{
			PriorityLevelConfiguration: flowcontrolv1.PriorityLevelConfigurationReference{Name: flowcontrolv1.PriorityLevelConfigurationNameExempt},
			MatchingPrecedence:         2,
			Rules: []flowcontrolv1.PolicyRulesWithSubjects{{
				Subjects: []flowcontrolv1.Subject{{Kind: flowcontrolv1.SubjectKindGroup, Group: &flowcontrolv1.GroupSubject{Name: "system:authenticated"}}},
				ResourceRules: []flowcontrolv1.ResourcePolicyRule{{
					Verbs: []string{"*"}, APIGroups: []string{"*"}, Resources: []string{"*"}, ClusterScope: true, Namespaces: []string{"*"},
				}},
			}},
		},
	}, metav1.CreateOptions{})
	return err
}
