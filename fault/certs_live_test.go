package fault

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"faultline/clusters"
	"faultline/clusters/clustertest"
)

// TestHumanContract takes identities and leases away on a real cluster, and makes people's
// mistakes there.
func TestHumanContract(t *testing.T) {
	clustertest.NeedFull(t)
	c := liveCluster(t)
	t.Run("sabotage", func(t *testing.T) {
		mustNotLand(t, c, ForeignCA(ServingCertificate, c.Instances(clusters.APIServer)[0]), DeleteKey(ClientCertificate, c.Instances(clusters.Kubelet)[0]),
			LoseSigningKey(c), StealLease(c, clusters.Scheduler), DeleteLease(c, clusters.ControllerManager),
			FailClosedWebhook(c, "pods"), DeleteManifests(c.Nodes[0]), Erase(c.Nodes[0]),
			SetFlag("--leader-elect=false", c.Instances(clusters.Scheduler)[0]))
	})
	t.Run("identity", func(t *testing.T) { contractIdentity(t, c) })
	t.Run("mistakes", func(t *testing.T) { contractMistakes(t, c) })
	mustReturn(t, c)
}

// contractIdentity judges by handshakes from this machine, by logs and by the answers to
// the token of a pod.
func contractIdentity(t *testing.T, c *clusters.Cluster) {
	server, etcd := c.Instances(clusters.APIServer)[0], c.EtcdMembers()[0]
	scheduler, manager, kubelet := c.Instances(clusters.Scheduler)[0], c.Instances(clusters.ControllerManager)[0], c.Instances(clusters.Kubelet)[0]

	t.Run("the API server's certificate expires", func(t *testing.T) {
		i := landLive(t, liveInjector(t, c), ExpireCertificate(c, ServingCertificate, server))
		var invalid x509.CertificateInvalidError
		eventually(t, "an expired certificate", 10*time.Second, server, func(ctx context.Context, server clusters.Instance) error {
			if err := greet(ctx, server, server.Port()); !errors.As(err, &invalid) || invalid.Reason != x509.Expired {
				return fmt.Errorf("got %w, want an expired certificate", errors.Join(err, errors.New("a greeting")))
			}
			return nil
		})
		undoIdentity(t, c, i, server)
		eventually(t, "a good certificate", 10*time.Second, server, func(ctx context.Context, server clusters.Instance) error {
			return greet(ctx, server, server.Port())
		})
	})
	t.Run("the scheduler's kubeconfig is revoked", func(t *testing.T) {
		i := landLive(t, liveInjector(t, c), RevokeKubeconfig(c, scheduler))
		eventually(t, "a log of what is forbidden", 30*time.Second, scheduler, logs("faultline:nobody"))
		undoIdentity(t, c, i, scheduler)
		mustBeLed(t, c, clusters.Scheduler)
	})
	t.Run("the controller manager meets a foreign authority", func(t *testing.T) {
		i := landLive(t, liveInjector(t, c), ForeignCA(ClientCertificate, manager))
		eventually(t, "a log of what is not known", 30*time.Second, manager, logs("Unauthorized"))
		undoIdentity(t, c, i, manager)
		mustBeLed(t, c, clusters.ControllerManager)
	})
	t.Run("the kubelet's certificate expires, and the node undoes it", func(t *testing.T) {
		i := landLive(t, liveInjector(t, c), ExpireCertificate(c, ClientCertificate, kubelet).WithTTL(30*time.Second))
		eventually(t, "a log of the missing bootstrap kubeconfig", 15*time.Second, kubelet, logs("bootstrap-kubelet.conf"))
		eventually(t, "a clean node", time.Until(i.Deadline())+10*time.Second, kubelet, spotless)
		if time.Now().Before(i.Deadline().Add(-2 * time.Second)) {
			t.Error("undone long before the deadline")
		}
		eventually(t, "an answer", 30*time.Second, kubelet, answers)
		undoIdentity(t, c, i, kubelet)
	})
	t.Run("the signing key is lost, and recovered by another process", func(t *testing.T) {
		token := podToken(t, server)
		mustAnswer(t, server, token, "200")
		dead := NewInjector(c, testJournal(t))
		landLive(t, dead, LoseSigningKey(c))
		if err := dead.journal.Close(); err != nil {
			t.Fatal(err)
		}
		mustAnswer(t, server, token, "401")
		var out strings.Builder
		if report, err := Recover(t.Context(), []string{dead.journal.Path()}, shellForCluster(c), &out); err != nil || len(report.Undone) != 1 {
			t.Errorf("%+v, %v: %s", report, err, out.String())
		}
		mustAnswer(t, server, token, "200")
		eventually(t, "a clean node", 15*time.Second, server, spotless)
	})
	if clustertest.Full() {
		t.Run("every other certificate", func(t *testing.T) { contractCertificates(t, c, server, etcd, scheduler, manager, kubelet) })
	}
}

// contractCertificates breaks the other certificates in every way.
func contractCertificates(t *testing.T, c *clusters.Cluster, server, etcd, scheduler, manager, kubelet clusters.Instance) {
	for _, f := range []struct {
		fault  Fault
		target clusters.Instance
	}{
		{ForeignCA(ServingCertificate, server), server},
		{DeleteKey(ServingCertificate, server), server},
		{ExpireCertificate(c, ClientCertificate, server), server},
		{ForeignCA(ClientCertificate, server), server},
		{DeleteKey(ClientCertificate, server), server},
		{ExpireCertificate(c, KubeletClientCertificate, server), server},
		{ForeignCA(KubeletClientCertificate, server), server},
		{ExpireCertificate(c, ServingCertificate, etcd), etcd},
		{ForeignCA(ServingCertificate, etcd), etcd},
		{DeleteKey(ServingCertificate, etcd), etcd},
		{ExpireCertificate(c, PeerCertificate, etcd), etcd},
		{ForeignCA(PeerCertificate, etcd), etcd},
		{ExpireCertificate(c, ClientCertificate, scheduler), scheduler},
		{DeleteKey(ClientCertificate, scheduler), scheduler},
		{RevokeKubeconfig(c, manager), manager},
		{ForeignCA(ClientCertificate, kubelet), kubelet},
		{RevokeKubeconfig(c, kubelet), kubelet},
		{DeleteKey(ClientCertificate, kubelet), kubelet},
	} {
		t.Run(f.fault.String(), func(t *testing.T) {
			i := landLive(t, liveInjector(t, c), f.fault)
			if f.fault.Kind == KindDeleteKey && f.target.Component != clusters.Kubelet {
				eventually(t, "silence", 10*time.Second, f.target, silent)
			}
			// Who checks these is not the API.
			elsewhere := strings.HasPrefix(f.fault.Targets()[0], string(PeerCertificate)) || strings.HasPrefix(f.fault.Targets()[0], string(KubeletClientCertificate))
			if (f.target == server || f.target == etcd) && !elsewhere {
				eventually(t, "no API", 20*time.Second, server, func(ctx context.Context, _ clusters.Instance) error {
					if ready(ctx, c) == nil {
						return errors.New("the API is ready")
					}
					return nil
				})
			}
			undoIdentity(t, c, i, f.target)
			mustReturn(t, c)
		})
	}
}

// mustNotLand injects faults that do nothing, all at once, and does not wait for long.
func mustNotLand(t *testing.T, c *clusters.Cluster, faults ...Fault) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	in := liveInjector(t, c)
	in.Sabotage.SkipInject = true
	err := each(faults, func(_ int, f Fault) error {
		if _, err := in.Inject(ctx, meant(f)); !errors.Is(err, ErrNotLanded) {
			return fmt.Errorf("%s: got %w, want ErrNotLanded", f, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	for _, f := range faults {
		eventually(t, "a clean node", 15*time.Second, clusters.Instance{Component: clusters.Etcd, Node: f.parts[0].node}, spotless)
	}
}

// undoIdentity undoes twice and waits for healing.
func undoIdentity(t *testing.T, c *clusters.Cluster, i *Injection, target clusters.Instance) {
	t.Helper()
	start := time.Now()
	if err := errors.Join(i.Undo(t.Context()), i.Undo(t.Context())); err != nil {
		t.Fatal(err)
	}
	undone := time.Since(start)
	healLive(t, c, i)
	t.Logf("%s: undone in %s, healed after %s", i.Fault, undone, i.Instants().Healed.Sub(start))
	eventually(t, "a clean node", 15*time.Second, target, spotless)
}

// spotless says that nothing of a fault is on the node, also where certificates are.
func spotless(ctx context.Context, i clusters.Instance) error {
	out, err := i.Node.Exec(ctx, "sh", "-c", `find /etc/kubernetes /var/lib/kubelet/pki /var/lib/etcd -name '*faultline*' 2>/dev/null || true`)
	if left := strings.TrimSpace(string(out)); err == nil && left != "" {
		err = fmt.Errorf("left on %s: %s", i.Node.Name, left)
	}
	return errors.Join(err, unarmed(ctx, i))
}

// greet shakes hands with a server, from this machine, and trusts the cluster's authority.
func greet(ctx context.Context, i clusters.Instance, port int) error {
	roots := x509.NewCertPool()
	ca, err := i.Node.Exec(ctx, "cat", clusterCA+".crt")
	if err != nil || !roots.AppendCertsFromPEM(ca) {
		return fmt.Errorf("no authority: %w", err)
	}
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: clusters.ServerName}}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(i.Node.Address, strconv.Itoa(port)))
	if err != nil {
		return err
	}
	return conn.Close()
}

// logs wants a text in the last lines of the instance's log.
func logs(text string) func(context.Context, clusters.Instance) error {
	return func(ctx context.Context, i clusters.Instance) error {
		out, err := i.Log(ctx, 200)
		if err == nil && !strings.Contains(string(out), text) {
			err = fmt.Errorf("the log of %s has no %q", i, text)
		}
		return err
	}
}

// mustBeLed wants a leader of the cluster's own with a fresh lease.
func mustBeLed(t *testing.T, c *clusters.Cluster, component clusters.Component) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := clusters.Await(ctx, 200*time.Millisecond, "a leader of "+string(component), func(ctx context.Context) error {
		client, err := c.Client(c.Front())
		if err != nil {
			return err
		}
		lease, err := client.CoordinationV1().Leases("kube-system").Get(ctx, string(component), metav1.GetOptions{})
		if err != nil {
			return err
		}
		if time.Since(lease.Spec.RenewTime.Time) > freshLease || strings.HasPrefix(*lease.Spec.HolderIdentity, "faultline-"+string(KindStealLease)) {
			return fmt.Errorf("the lease is held by %q since %s", *lease.Spec.HolderIdentity, lease.Spec.RenewTime)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// podToken is the token that some pod on the node has been given.
func podToken(t *testing.T, i clusters.Instance) string {
	t.Helper()
	out, err := i.Node.Exec(t.Context(), "sh", "-c", `for file in /var/lib/kubelet/pods/*/volumes/kubernetes.io~projected/*/token; do cat "$file"; exit; done`)
	if err != nil || len(out) == 0 {
		t.Fatalf("no pod has a token: %v", err)
	}
	return string(out)
}

// mustAnswer asks an API server from its own node.
func mustAnswer(t *testing.T, i clusters.Instance, token, want string) {
	t.Helper()
	eventually(t, "the status "+want, 90*time.Second, i, func(ctx context.Context, i clusters.Instance) error {
		out, err := i.Node.Exec(ctx, "curl", "-sk", "-m", "2", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Authorization: Bearer "+token, "https://127.0.0.1:6443/version")
		if err == nil && string(out) != want {
			err = fmt.Errorf("the API answers %s", out)
		}
		return err
	})
}

// TestIdentitiesBesideTheCluster takes the certificate of an etcd that is a service.
func TestIdentitiesBesideTheCluster(t *testing.T) {
	clustertest.NeedFull(t)
	if os.Getenv("FAULTLINE_LIVE_TESTS") == "" {
		t.Skip("set FAULTLINE_LIVE_TESTS=1 to break real members")
	}
	c := clustertest.New(t, clusters.BareEtcd(3))
	contractMembers(t, c)
	member := c.EtcdMembers()[2]
	if err := ExpireCertificate(c, ServingCertificate, member).Available(t.Context()); !errors.Is(err, clusters.ErrUnsupported) {
		t.Errorf("no node has the authority's key: got %v", err)
	}
	if err := ForeignCA(PeerCertificate, member).Available(t.Context()); err == nil || !strings.Contains(err.Error(), "name the serving certificate") {
		t.Errorf("a certificate for peers: got %v", err)
	}
	for _, f := range []Fault{ForeignCA(ServingCertificate, member), DeleteKey(ServingCertificate, member)} {
		i := landLive(t, liveInjector(t, c), f)
		if _, err := c.EtcdStatus(t.Context(), c.EtcdMembers()[0]); err != nil {
			t.Errorf("another member: %v", err)
		}
		eventually(t, "a member that is cut off", 10*time.Second, member, func(ctx context.Context, member clusters.Instance) error {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			if _, err := c.EtcdStatus(ctx, member); err == nil {
				return errors.New("it answers")
			}
			return nil
		})
		undoIdentity(t, c, i, member)
		mustReturn(t, c)
	}
}
