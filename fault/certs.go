package fault

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"time"

	"faultline/clusters"
)

// The faults on certificates and what else identifies a component.
const (
	KindExpireCertificate Kind = "expire-certificate"
	KindForeignCA         Kind = "foreign-ca"
	KindDeleteKey         Kind = "delete-key"
	KindRevokeKubeconfig  Kind = "revoke-kubeconfig"
)

var certificateEntries = []Entry{
	{KindExpireCertificate, "identity", "certificates of any component but containerd", "the authority's key on a control-plane node",
		"the certificate is put back", "whoever checks it calls it expired"},
	{KindForeignCA, "identity", "certificates of any component but containerd", "",
		"the certificate is put back", "whoever checks it knows no such authority"},
	{KindDeleteKey, "identity", "keys of any component but containerd", "",
		"the key is put back", "the key and the process are gone"},
	{KindRevokeKubeconfig, "identity", "kubelets, schedulers and controller managers", "the authority's key on a control-plane node",
		"the certificate is put back", "the API forbids what the component does"},
	{KindLoseSigningKey, "identity", "the key of the service accounts", "",
		"the key is put back", "every API server refuses an older token"},
}

// identityLanding covers a process that the kubelet restarts after some back-off.
const identityLanding = 2 * time.Minute

// ExpireCertificate puts a certificate that expired an hour ago in the place of the
// instances' own: the same key, names and authority, as when nobody has renewed it. The
// cluster's authority signs it in this process; its key is read from a control-plane
// node and is kept nowhere.
//
// What reads the file again by itself: API servers their serving certificate (inotify,
// and each minute), etcd and its clients every certificate, with each handshake.
// Connections that exist go on, however, and a kubeconfig is read at the start only. So
// the process is killed: everybody has to shake hands again. A kubelet whose
// certificate has expired ends at once, because it finds no bootstrap kubeconfig, and
// systemd tries again and again; pods run on.
//
// Proof: of a serving or peer certificate, that a handshake shows it and that it
// has expired; of a client's, that the server refuses it (401 of the API or of the node's
// kubelet, an alert of etcd). Undo: the file is put back, never over a newer one, which stays
// when it is good, and the process is killed once more where it would not read it by itself.
// Healed: the process runs and stays, and whoever checks the certificate accepts it.
func ExpireCertificate(c *clusters.Cluster, use Use, instances ...clusters.Instance) Fault {
	return onCertificates(KindExpireCertificate, use, instances, func(ctx context.Context, i clusters.Instance, k keeping, id string) (effect, error) {
		ca, err := ownAuthority(ctx, c, i.Node, k.authority)
		if err != nil {
			return effect{}, err
		}
		return planForgery(ctx, i, k, id, forgery{ca, expire, k.refusals().expired})
	})
}

// ForeignCA puts a certificate of an unknown authority in the place of the instances'
// own: the same key, names and dates, as after a restore of the wrong backup, or of an
// interceptor. The authority is made for this and forgotten.
//
// When it is noticed, proof, undo and healing are those of ExpireCertificate; here the
// authority is unknown to whoever checks the certificate. A kubelet runs on with such a
// certificate, and its node is lost.
func ForeignCA(use Use, instances ...clusters.Instance) Fault {
	return onCertificates(KindForeignCA, use, instances, func(ctx context.Context, i clusters.Instance, k keeping, id string) (effect, error) {
		ca, err := newAuthority()
		if err != nil {
			return effect{}, err
		}
		return planForgery(ctx, i, k, id, forgery{ca, func(*x509.Certificate) {}, k.refusals().foreign})
	})
}

// RevokeKubeconfig takes the rights of the kubelets, schedulers or controller managers
// away. Kubernetes knows no revoked certificates, and an API server that starts restores
// the bindings of its own components. So the kubeconfig gets a certificate of the
// cluster's own authority for a user without rights: its bearer is known and may do
// nothing, as when the bindings are removed.
//
// Proof: the API answers 403 to the component's own request. Undo and healing are those
// of ExpireCertificate.
func RevokeKubeconfig(c *clusters.Cluster, instances ...clusters.Instance) Fault {
	return onCertificates(KindRevokeKubeconfig, ClientCertificate, instances, func(ctx context.Context, i clusters.Instance, k keeping, id string) (effect, error) {
		ca, err := ownAuthority(ctx, c, i.Node, k.authority)
		if err != nil {
			return effect{}, err
		}
		return planForgery(ctx, i, k, id, forgery{ca, demote, forbidden})
	})
}

// DeleteKey removes the private key of the instances' certificate and kills the process.
// Without its key an etcd does not come up again.
//
// Proof: neither the key nor the process of before is there. Undo: the key is put back,
// never over a newer one, and the process is killed where it would not read it by
// itself. Healed: as with ExpireCertificate.
func DeleteKey(use Use, instances ...clusters.Instance) Fault {
	return onCertificates(KindDeleteKey, use, instances, planDeleteKey)
}

// expire makes a certificate end an hour ago. It keeps its lifetime.
func expire(t *x509.Certificate) {
	lifetime := t.NotAfter.Sub(t.NotBefore)
	t.NotAfter = time.Now().Add(-time.Hour)
	t.NotBefore = t.NotAfter.Add(-lifetime)
}

// demote makes a certificate that of a user without rights.
func demote(t *x509.Certificate) {
	t.RawSubject, t.Subject = nil, pkix.Name{CommonName: "faultline:nobody"}
}

// onCertificates is a fault that does the same to one certificate of each instance.
func onCertificates(kind Kind, use Use, instances []clusters.Instance,
	plan func(context.Context, clusters.Instance, keeping, string) (effect, error)) Fault {
	bearers := make([]clusters.Instance, len(instances))
	for n, i := range instances {
		if use != ClientCertificate {
			i.Copy = 0 // copies on a node share the file
		}
		bearers[n] = i
	}
	f := onInstances(kind, bearers, func(ctx context.Context, i clusters.Instance, id string) (effect, error) {
		k, err := keptFor(ctx, i, use)
		if err != nil {
			return effect{}, err
		}
		if err := k.mustBeGood(ctx); err != nil {
			return effect{}, err
		}
		return plan(ctx, i, k, id)
	})
	for n, i := range bearers {
		f.parts[n].target = fmt.Sprintf("%s certificate of %s", use, f.parts[n].target)
		if use != ClientCertificate && i.Node != nil {
			f.parts[n].takes = exactly(i.Node.Instances(i.Component)...)
		}
	}
	return f
}

// forgery is a certificate that replaces another one.
type forgery struct {
	ca     authority
	change func(*x509.Certificate)
	// want is what whoever checks it has to find.
	want verdict
}

func planForgery(ctx context.Context, i clusters.Instance, k keeping, id string, f forgery) (effect, error) {
	old, err := k.read(ctx)
	if err != nil {
		return effect{}, err
	}
	forged, err := f.ca.reissue(old, f.change)
	if err != nil {
		return effect{}, fmt.Errorf("issue another certificate of %s: %w", i, err)
	}
	return planKept(ctx, i, k, id, k.file, k.replacing(forged), func(ctx context.Context) (string, error) {
		got, err := k.judge(ctx)
		if err == nil && got != f.want {
			err = fmt.Errorf("%s is %s, want it %s", k.file, got, f.want)
		}
		return fmt.Sprintf("%s on %s is %s", k.file, i.Node.Name, f.want), err
	})
}

func planDeleteKey(ctx context.Context, i clusters.Instance, k keeping, id string) (effect, error) {
	return planKept(ctx, i, k, id, k.key, k.withoutKey(), func(ctx context.Context) (string, error) {
		there, err := k.hasKey(ctx)
		if err == nil && there {
			err = fmt.Errorf("%s still has its key", k.key)
		}
		return fmt.Sprintf("the key in %s on %s is gone", k.key, i.Node.Name), err
	})
}

// planKept rewrites a file with a filter, none removes it, and kills the process.
func planKept(ctx context.Context, i clusters.Instance, k keeping, id, file string, filter []string,
	prove func(context.Context) (string, error)) (effect, error) {
	p, err := running(ctx, i)
	if err != nil {
		return effect{}, err
	}
	restarted := k.restarts
	if k.reloads {
		restarted.name = ""
	}
	return effect{
		inject: command(rewriteScript, append([]string{id, file, k.restarts.name, k.restarts.copies}, filter...)...),
		undo:   command(putBackScript, id, file, restarted.name, restarted.copies, k.authority),
		prove: func(ctx context.Context) (string, error) {
			gone, err := proveGone(ctx, i, p)
			if err != nil {
				return "", err
			}
			proof, err := prove(ctx)
			return proof + ", " + gone, err
		},
		landing:   identityLanding,
		recovered: func(ctx context.Context) (time.Time, error) { return k.recovered(ctx, i) },
	}, nil
}
