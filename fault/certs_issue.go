package fault

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"

	"faultline/clusters"
)

// authority signs certificates. It lives in this process's memory only.
type authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

// ownAuthority is one of the cluster's, from the node itself or else from a
// control-plane node that has its key.
func ownAuthority(ctx context.Context, c *clusters.Cluster, n *clusters.Node, path string) (authority, error) {
	for _, from := range append([]*clusters.Node{n}, c.With(clusters.ControlPlane)...) {
		there, err := exists(ctx, from, path+".key")
		if err != nil {
			return authority{}, err
		}
		if there {
			return readAuthority(ctx, from, path)
		}
	}
	return authority{}, fmt.Errorf("%w: neither %s nor a control-plane node has the authority's key %s.key", clusters.ErrUnsupported, n.Name, path)
}

func exists(ctx context.Context, n *clusters.Node, path string) (bool, error) {
	out, err := n.Exec(ctx, command(existsScript, path)...)
	if err != nil {
		return false, fmt.Errorf("look for %s on %s: %w", path, n.Name, err)
	}
	return string(out) == "yes\n", nil
}

func readAuthority(ctx context.Context, n *clusters.Node, path string) (authority, error) {
	certificate, errCertificate := n.Exec(ctx, "cat", path+".crt")
	key, errKey := n.Exec(ctx, "cat", path+".key")
	if err := errors.Join(errCertificate, errKey); err != nil {
		return authority{}, fmt.Errorf("read the authority %s on %s: %w", path, n.Name, err)
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return authority{}, fmt.Errorf("the authority %s on %s: %w", path, n.Name, err)
	}
	signer, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		return authority{}, fmt.Errorf("the authority %s on %s has a key that cannot sign", path, n.Name)
	}
	return authority{pair.Leaf, signer}, nil
}

// newAuthority is one that nobody knows.
func newAuthority() (authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return authority{}, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "faultline-stranger"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return authority{}, err
	}
	certificate, err := x509.ParseCertificate(der)
	return authority{certificate, key}, err
}

// reissue is the same certificate for the same key, in PEM, but for a change and by
// this authority.
func (a authority) reissue(old *x509.Certificate, change func(*x509.Certificate)) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template := *old
	template.SerialNumber, template.SignatureAlgorithm = serial, x509.UnknownSignatureAlgorithm
	change(&template)
	der, err := x509.CreateCertificate(rand.Reader, &template, a.certificate, old.PublicKey, a.key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}
