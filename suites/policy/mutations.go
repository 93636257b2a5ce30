package policy

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"faultline/clusters"
	"faultline/fault"
	. "faultline/suites/drill"
)

// The policy itself is changed so that a claim is not true any more, as in suites/sabotage.
var _ = Describe("An experiment notices that", Topology(topology), Nightly, Sabotage, func() {
	DescribeTable("the policy is another:",
		func(ctx SpecContext, mutation Mutation, experiment func(context.Context, *Drill), complaint string) {
			d := On(ctx, topology, WithMutation(mutation))
			failure := InterceptGomegaFailure(func() { experiment(ctx, d) })
			Expect(failure).To(MatchError(ContainSubstring(complaint)))
		},
		Entry("every account may do anything", Label("mutation:SEC"),
			Mutation(everybodyRules), AccessIsDecidedAlike, "is allowed, which nobody has granted"),
		Entry("nobody looks after quotas", Label("mutation:CONF"),
			Mutation(withoutQuotas), QuotasDivide, "larger than the quota is allowed, which nobody has granted"),
	)
})

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

func withoutQuotas(_ context.Context, d *Drill) error {
	d.Inject(fault.SetFlag("--disable-admission-plugins=ResourceQuota", d.Instances(clusters.APIServer)...).Losing(clusters.APIServer))
	return nil
}
