package fault

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"faultline/clusters"
)

// KindLoseSigningKey is the fault of a lost key of the service accounts.
const KindLoseSigningKey Kind = "lose-signing-key"

// LoseSigningKey replaces the key with which the control plane signs and checks the
// tokens of service accounts by a new one, the same everywhere, as after a restore
// without the old key: every token of before is refused (401), and pods keep theirs
// until the kubelet renews it, after 80 % of its lifetime of an hour. API servers and
// controller managers read the key at their start only, so they are killed. What is
// signed with the new key becomes void with the undo, and stays in pods that were
// started meanwhile.
//
// Proof: all of them have started anew, and every API server refuses a token that it
// accepted before. Undo: the old key is put back, never over a newer one, and they are
// killed again. Healed: they run and stay, and the token is accepted again.
func LoseSigningKey(c *clusters.Cluster) Fault {
	f := Fault{Kind: KindLoseSigningKey, TTL: DefaultTTL}
	key := sync.OnceValues(newSigningKey)
	for _, n := range c.Nodes {
		bearers := append(n.Instances(clusters.APIServer), n.Instances(clusters.ControllerManager)...)
		if len(bearers) == 0 {
			continue
		}
		f.parts = append(f.parts, part{
			kind: KindLoseSigningKey, target: "service-account key on " + n.Name, node: n, takes: exactly(bearers...),
			plan: func(ctx context.Context, id string) (effect, error) { return planLoseKey(ctx, c, bearers, id, key) },
		})
	}
	return f
}

// newSigningKey is a private key and its public key, in PEM.
func newSigningKey() ([]byte, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	return bytes.Join([][]byte{
		pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}),
		pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}),
	}, nil), nil
}

// signers have a function that restarts who reads the key. A node has the private key
// for the controller manager and the public one, too, for an API server.
const signers = restart + `key=/etc/kubernetes/pki/sa.key
public=/etc/kubernetes/pki/sa.pub
restart_signers() { restart kube-apiserver '*'; restart kube-controller '*'; }
`

// loseKeyScript replaces the key by what it reads, for the fault $1.
const loseKeyScript = enter + armed + replace + signers + `umask 077
cat > "$d/new"
swap "$key" key sed -n '/-BEGIN RSA PRIVATE KEY-/,/-END RSA PRIVATE KEY-/p' "$d/new"
[ ! -e "$public" ] || swap "$public" public sed -n '/-BEGIN PUBLIC KEY-/,/-END PUBLIC KEY-/p' "$d/new"
rm "$d/new"
restart_signers
`

// findKeyScript undoes loseKeyScript.
const findKeyScript = enter + replace + signers + `unswap "$key" key
[ ! -e "$public" ] || unswap "$public" public
[ ! -e "$d/key.saved" ] || restart_signers
rm -f "$d/new"
forget public
forget key
` + leave

func planLoseKey(ctx context.Context, c *clusters.Cluster, bearers clusters.Instances, id string, key func() ([]byte, error)) (effect, error) {
	n := bearers[0].Node
	there, err := exists(ctx, n, pki+"sa.key")
	if err != nil {
		return effect{}, err
	}
	if !there {
		return effect{}, fmt.Errorf("%w: %s has no key of the service accounts in %ssa.key", clusters.ErrUnsupported, n.Name, pki)
	}
	old := make([][]clusters.Process, len(bearers))
	for k, i := range bearers {
		if old[k], err = running(ctx, i); err != nil {
			return effect{}, err
		}
	}
	check, proof := func(context.Context, int) error { return nil }, "what reads the key on "+n.Name+" has started anew"
	if servers := n.Instances(clusters.APIServer); len(servers) > 0 {
		if check, err = tokenCheck(ctx, c, servers); err != nil {
			return effect{}, err
		}
		proof += ", and a token of before is refused (401)"
	}
	input, err := key()
	return effect{
		inject: command(loseKeyScript, id), input: input,
		undo: command(findKeyScript, id),
		prove: func(ctx context.Context) (string, error) {
			for k, i := range bearers {
				if _, err := proveGone(ctx, i, old[k]); err != nil {
					return "", err
				}
			}
			return proof, check(ctx, http.StatusUnauthorized)
		},
		landing: identityLanding,
		recovered: func(ctx context.Context) (time.Time, error) {
			last, err := allStay(ctx, bearers)
			if err != nil {
				return last, err
			}
			err = clusters.Await(ctx, healingPoll, "the old token to be accepted", func(ctx context.Context) error {
				err := check(ctx, http.StatusOK)
				if err != nil {
					last = time.Now()
				}
				return err
			})
			return last, err
		},
	}, err
}

// tokenCheck makes a token, which stays in memory, and a function that compares the
// servers' answers to it.
func tokenCheck(ctx context.Context, c *clusters.Cluster, servers clusters.Instances) (func(context.Context, int) error, error) {
	client, err := c.Client(c.Front())
	if err != nil {
		return nil, err
	}
	lifetime := int64(2 * maxTTL / time.Second)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &lifetime}}
	token, err := client.CoreV1().ServiceAccounts("kube-system").CreateToken(ctx, "default", request, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("make a token to try: %w", err)
	}
	check := func(ctx context.Context, want int) error {
		var errs []error
		for _, i := range servers {
			errs = append(errs, tryToken(ctx, c, i, token.Status.Token, want))
		}
		return errors.Join(errs...)
	}
	return check, check(ctx, http.StatusOK)
}

// tryToken compares an API server's answer to a token, on a connection of its own.
func tryToken(ctx context.Context, c *clusters.Cluster, i clusters.Instance, token string, want int) error {
	servers := c.APIServers()
	endpoint := servers[slices.IndexFunc(servers, func(e clusters.Endpoint) bool { return e.Name == i.Unique() })]
	transport, err := c.Transport(endpoint)
	if err != nil {
		return err
	}
	defer transport.CloseIdleConnections()
	transport.TLSClientConfig.Certificates, transport.TLSClientConfig.GetClientCertificate = nil, nil
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+endpoint.Address+"/version", nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	answer, err := (&http.Client{Transport: transport, Timeout: 5 * time.Second}).Do(request)
	if err != nil {
		return fmt.Errorf("try a token on %s: %w", i, err)
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, answer.Body)
	if answer.StatusCode != want {
		return fmt.Errorf("%s answers %d to a token of before, want %d", i, answer.StatusCode, want)
	}
	return nil
}

// later is the later of two instants.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
