package policy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"faultline/clusters"
	. "faultline/suites/drill"
)

// invitation is what a machine joins a cluster with: a bootstrap token, which tells the cluster
// who comes, and the hash of an authority's key, which tells the machine to whom.
type invitation struct{ token, hash string }

// invite makes an invitation for a time, as an administrator does.
func invite(ctx context.Context, master *clusters.Node, ttl time.Duration) (invitation, error) {
	out, err := master.Exec(ctx, "kubeadm", "token", "create", "--kubeconfig=/etc/kubernetes/admin.conf", "--print-join-command", "--ttl="+ttl.String())
	if err != nil {
		return invitation{}, err
	}
	return readInvitation(string(out))
}

// readInvitation finds it in the command that kubeadm recommends.
func readInvitation(command string) (invitation, error) {
	words := strings.Fields(command)
	after := func(flag string) string {
		if at := slices.Index(words, flag); at >= 0 && at+1 < len(words) {
			return words[at+1]
		}
		return ""
	}
	i := invitation{token: after("--token"), hash: after("--discovery-token-ca-cert-hash")}
	if id, secret, _ := strings.Cut(i.token, "."); id == "" || secret == "" || !strings.HasPrefix(i.hash, "sha256:") {
		return invitation{}, errors.New("kubeadm recommends no command with a token and the hash of an authority")
	}
	return i, nil
}

// id is the part of the token that is no secret.
func (i invitation) id() string {
	id, _, _ := strings.Cut(i.token, ".")
	return id
}

// withdraw minds no token that has expired, and so is gone.
func (i invitation) withdraw(ctx context.Context, c kubernetes.Interface) error {
	return present(c.CoreV1().Secrets(metav1.NamespaceSystem).Delete(ctx, "bootstrap-token-"+i.id(), metav1.DeleteOptions{}))
}

// newcomer is a machine that is no node yet.
const newcomer = "a machine with a token"

// howToJoin is what API servers tell newcomers.
var howToJoin = read("read how the cluster is made", "/api/v1/namespaces/kube-system/configmaps/kubeadm-config")

// answers fails unless every API server has this status for whoever bears the token.
func (i invitation) answers(d *Drill, want int) Request {
	bearer := newRights(subjects{newcomer: func(e clusters.Endpoint) *rest.Config {
		config := rest.AnonymousClientConfig(d.RESTConfig(e))
		config.BearerToken = i.token
		return config
	}})
	return func(ctx context.Context, _ kubernetes.Interface) error {
		for _, e := range d.APIServers() {
			host, client, err := bearer.client(newcomer, e)
			if err != nil {
				return err
			}
			if status, said := howToJoin.send(ctx, client, host); status != want {
				return fmt.Errorf("through %s the answer is %d %.200s", e.Name, status, said)
			}
		}
		return nil
	}
}

// joinScript has this machine join with the configuration that it reads.
const joinScript = `umask 077
config=$(mktemp)
trap 'rm "$config"' EXIT
cat > "$config"
kubeadm join --config="$config" > /var/log/kubeadm-join.log 2>&1 || { tail -n 25 /var/log/kubeadm-join.log >&2; exit 1; }`

// join has a machine join as the node that it was laid out as. It gives up when the cluster has
// not shown for so long that it knows the token.
func (i invitation) join(ctx context.Context, machine *clusters.Node, patience time.Duration) error {
	config, err := machine.Exec(ctx, "cat", clusters.KubeadmConfig)
	if err != nil {
		return err
	}
	config, err = i.into(config, patience)
	if err != nil {
		return fmt.Errorf("%s on %s: %w", clusters.KubeadmConfig, machine.Name, err)
	}
	_, err = machine.ExecInput(ctx, bytes.NewReader(config), "sh", "-c", joinScript)
	return err
}

// into is the part of kubeadm's configuration with which a machine joins, by this invitation.
func (i invitation) into(config []byte, patience time.Duration) ([]byte, error) {
	for document := range strings.SplitSeq(string(config), "\n---") {
		object := map[string]any{}
		if err := yaml.Unmarshal([]byte(document), &object); err != nil {
			return nil, err
		}
		if object["kind"] != "JoinConfiguration" {
			continue
		}
		bootstrap := []string{"discovery", "bootstrapToken"}
		unstructured.RemoveNestedField(object, append(bootstrap, "unsafeSkipCAVerification")...)
		err := errors.Join(
			unstructured.SetNestedField(object, i.token, append(bootstrap, "token")...),
			unstructured.SetNestedStringSlice(object, []string{i.hash}, append(bootstrap, "caCertHashes")...),
			unstructured.SetNestedField(object, patience.String(), "timeouts", "discovery"),
		)
		if err != nil {
			return nil, err
		}
		return yaml.Marshal(object)
	}
	return nil, errors.New("there is no JoinConfiguration")
}

// refusedToJoin fails unless kubeadm has given up because nobody knows its token: it finds no
// signature with that, or is not let in.
func refusedToJoin(err error) error {
	if err == nil {
		return errors.New("it has joined")
	}
	return Unless(strings.Contains(err.Error(), "could not find a JWS signature") || strings.Contains(err.Error(), "Unauthorized"), err)
}

// issued fails unless the cluster has given whoever bore the token a certificate.
func (i invitation) issued(ctx context.Context, c kubernetes.Interface) error {
	list, err := c.CertificatesV1().CertificateSigningRequests().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	asked := slices.DeleteFunc(list.Items, func(r certificatesv1.CertificateSigningRequest) bool {
		return r.Spec.Username != "system:bootstrap:"+i.id()
	})
	given := slices.ContainsFunc(asked, func(r certificatesv1.CertificateSigningRequest) bool {
		return len(r.Status.Certificate) > 0 && slices.ContainsFunc(r.Status.Conditions, func(c certificatesv1.CertificateSigningRequestCondition) bool {
			return c.Type == certificatesv1.CertificateApproved
		})
	})
	return Unless(given, fmt.Errorf("it has asked %d times", len(asked)))
}
