package recovery

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// identity is a certificate and its key, and may be an authority.
type identity struct {
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
}

// issued is signed by an authority, or by itself. It expires after that time.
func issued(t *testing.T, name string, by *identity, good time.Duration) identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(good), KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if by == nil {
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
		by = &identity{key, template}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.certificate, key.Public(), by.key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return identity{key, certificate}
}

func (i identity) texts(t *testing.T) (certificate, key string) {
	t.Helper()
	der, err := x509.MarshalECPrivateKey(i.key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.certificate.Raw})), string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
}

// authorities are the files of a master's.
const authorities = "ca front-proxy-ca etcd/ca"

const year = 365 * 24 * time.Hour

// kubeletPEM is where a kubelet has its identity.
const kubeletPEM = "var/lib/kubelet/pki/kubelet-client-current.pem"

// keep gives a machine certificate and key as two files.
func (m *machine) keep(path string, i identity) {
	m.t.Helper()
	certificate, key := i.texts(m.t)
	m.write("etc/kubernetes/pki/"+path+".crt", certificate)
	m.write("etc/kubernetes/pki/"+path+".key", key)
}

// keepKubelet gives a machine's kubelet its identity.
func (m *machine) keepKubelet(i identity) {
	m.t.Helper()
	certificate, key := i.texts(m.t)
	m.write(kubeletPEM, certificate+key)
}

// keepKubeconfig gives a machine a kubeconfig.
func (m *machine) keepKubeconfig(name string, authority, i identity) {
	m.t.Helper()
	trusted, _ := authority.texts(m.t)
	certificate, key := i.texts(m.t)
	coded := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	m.write("etc/kubernetes/"+name+".conf", fmt.Sprintf("  certificate-authority-data: %s\n  client-certificate-data: %s\n  client-key-data: %s\n",
		coded(trusted), coded(certificate), coded(key)))
}

// newMaster is a machine with real certificates, all of one authority.
func newMaster(t *testing.T) (*machine, identity) {
	t.Helper()
	m := newMachine(t)
	authority := issued(t, "authority", nil, 10*year)
	for name := range strings.FieldsSeq(authorities) {
		m.keep(name, authority)
	}
	for name := range strings.FieldsSeq("apiserver apiserver-kubelet-client front-proxy-client apiserver-etcd-client etcd/server etcd/peer etcd/healthcheck-client") {
		m.keep(name, issued(t, name, &authority, year))
	}
	for name := range strings.FieldsSeq("admin controller-manager scheduler") {
		m.keepKubeconfig(name, authority, issued(t, name, &authority, year))
	}
	m.keepKubelet(issued(t, "system:node:m1", &authority, year))
	return m, authority
}

func TestRenewRefuses(t *testing.T) {
	ending := func(t *testing.T) *machine {
		m, authority := newMaster(t)
		m.keep("apiserver", issued(t, "apiserver", &authority, 29*24*time.Hour))
		return m
	}
	authorityExpired := func(m *machine) { m.keep("front-proxy-ca", issued(t, "authority", nil, -time.Hour)) }
	m := refusals{
		"certificates that are good for long": {nil, []string{"28"}, "every certificate is good for more than 28 days"},
		"an authority whose key is elsewhere": {lacking("etc/kubernetes/pki/ca.key"), nil, "the key of the authority"},
		"an authority that has expired":       {authorityExpired, nil, "itself has expired"},
		"days that are no number":             {nil, []string{"soon"}, "usage"},
		"too many arguments":                  {nil, []string{"1", "2"}, "usage"},
	}.refuse(t, renewScript, ending)
	asked := m.read("asked")
	if !strings.Contains(asked, "certs renew all") || strings.Count(asked, "stop --timeout 10") != 4 || !strings.HasSuffix(asked, "start kubelet.service\n") {
		t.Errorf("it asked for %q", asked)
	}
	if target, err := os.Readlink(filepath.Join(m.root, kubeletPEM)); err == nil {
		t.Errorf("the kubelet, whose certificate is good, got another: %s", target)
	}
}

func TestRenewRenewsWhatHasExpired(t *testing.T) {
	for name, expire := range map[string]func(*machine, identity){
		"a kubeconfig": func(m *machine, a identity) { m.keepKubeconfig("scheduler", a, issued(t, "scheduler", &a, -time.Hour)) },
		"one of etcd":  func(m *machine, a identity) { m.keep("etcd/peer", issued(t, "etcd/peer", &a, -time.Hour)) },
		"the kubelet":  func(m *machine, a identity) { m.keepKubelet(issued(t, "system:node:m1", &a, -time.Hour)) },
	} {
		m, authority := newMaster(t)
		expire(m, authority)
		if said, err := m.run(renewScript); err != nil {
			t.Fatalf("%s: %v: %s", name, err, said)
		}
		verify := exec.CommandContext(t.Context(), "openssl", "verify", "-CAfile", filepath.Join(m.root, "etc/kubernetes/pki/ca.crt"), filepath.Join(m.root, kubeletPEM))
		if out, err := verify.CombinedOutput(); err != nil {
			t.Errorf("%s: the kubelet's certificate: %v: %s", name, err, out)
		}
		if !strings.Contains(m.read("asked"), "certs renew all") {
			t.Errorf("%s: it asked for %q", name, m.read("asked"))
		}
		if !strings.Contains(m.read(kubeletPEM), "PRIVATE KEY") {
			t.Errorf("%s: the kubelet has no key", name)
		}
	}
}

// robbed is a master, with the archive of it, whose authority may be used to change it since.
func robbed(t *testing.T, certificate, key []byte, rob func(*machine, identity)) *machine {
	t.Helper()
	m, authority := newMaster(t)
	m.write("root/backup.pem", string(certificate))
	if said, err := m.run(backupScript, "/root/backup.archive", "/root/backup.pem"); err != nil {
		t.Fatalf("back up: %v: %s", err, said)
	}
	m.write("root/backup.key", string(key))
	rob(m, authority)
	return m
}

func TestRestoreAuthoritiesRefuses(t *testing.T) {
	key, certificate := testKeys(t)
	other, _ := testKeys(t)
	another := func(m *machine) {
		for name := range strings.FieldsSeq(authorities) {
			m.keep(name, issued(t, "authority", nil, year))
		}
		m.write("etc/kubernetes/pki/sa.key", "another")
		m.write("etc/kubernetes/pki/sa.pub", "another")
	}
	renewed := func(m *machine) { m.write("etc/kubernetes/pki/sa.key", "sa.key") }
	prepare := func(t *testing.T) *machine {
		return robbed(t, certificate, key, func(m *machine, _ identity) { m.write("etc/kubernetes/pki/sa.key", "another") })
	}
	m := refusals{
		"a master that has lost nothing": {renewed, nil, "is as in the archive"},
		"another cluster's archive":      {another, nil, "of another cluster"},
		"another node's archive":         {with("NAME", "m2"), nil, "is of node m1"},
		"no archive":                     {lacking("root/backup.archive"), nil, "missing or empty"},
		"an archive that is none":        {having("root/backup.archive", "none"), nil, "cannot be decrypted"},
		"no key":                         {lacking("root/backup.key"), nil, "there is no key"},
		"another key":                    {having("root/backup.key", string(other)), nil, "another key"},
		"a missing argument":             {nil, []string{"/root/backup.archive"}, "usage"},
	}.refuse(t, restoreAuthoritiesScript, prepare, "/root/backup.archive", "/root/backup.key")
	if m.read("etc/kubernetes/pki/sa.key") != "sa.key" {
		t.Error("the key is not as it was")
	}
	if asked := m.read("asked"); strings.Contains(asked, "^etcd$") {
		t.Errorf("etcd, which has lost nothing, was stopped: %q", asked)
	}
}

func TestRestoreAuthoritiesPutsBackWhatIsLostAlone(t *testing.T) {
	key, certificate := testKeys(t)
	foreign := issued(t, "authority", nil, year)
	for name, c := range map[string]struct {
		rob  func(*machine, identity)
		lost string
	}{
		"an authority":          {func(m *machine, _ identity) { m.remove("etc/kubernetes/pki/front-proxy-ca.crt") }, "pki/front-proxy-ca.crt"},
		"a key":                 {func(m *machine, _ identity) { m.remove("etc/kubernetes/pki/etcd/server.key") }, "pki/etcd/server.crt pki/etcd/server.key"},
		"a foreign certificate": {func(m *machine, _ identity) { m.keep("apiserver", issued(t, "apiserver", &foreign, year)) }, "pki/apiserver.crt pki/apiserver.key"},
		"a kubeconfig":          {func(m *machine, _ identity) { m.remove("etc/kubernetes/admin.conf") }, "admin.conf"},
		"a kubeconfig for another": {func(m *machine, _ identity) {
			m.keepKubeconfig("scheduler", foreign, issued(t, "scheduler", &foreign, year))
		}, "scheduler.conf"},
		"everything outside of etcd": {func(m *machine, _ identity) { m.remove("etc/kubernetes/pki") }, "pki/ca.crt"},
	} {
		m := robbed(t, certificate, key, c.rob)
		said, err := m.run(restoreAuthoritiesScript, "/root/backup.archive", "/root/backup.key")
		if err != nil || !strings.Contains(said, "putting back: "+c.lost) {
			t.Errorf("%s: %v: %s", name, err, said)
		}
		if said, err := m.run(restoreAuthoritiesScript, "/root/backup.archive", "/root/backup.key"); refused(said, err, "is as in the archive") != nil {
			t.Errorf("%s: it is not as it was: %v: %s", name, err, said)
		}
	}

	m := robbed(t, certificate, key, func(m *machine, _ identity) {
		for name := range strings.FieldsSeq(authorities) {
			m.keep(name, foreign)
		}
	})
	if said, err := m.run(restoreAuthoritiesScript, "/root/backup.archive", "/root/backup.key"); err != nil {
		t.Errorf("authorities were made anew, but for the key of service accounts: %v: %s", err, said)
	}
}

func TestRestoreAuthoritiesKeepsWhatWasRenewed(t *testing.T) {
	key, certificate := testKeys(t)
	m := robbed(t, certificate, key, func(m *machine, authority identity) {
		m.keep("apiserver", issued(t, "apiserver", &authority, 2*year))
		m.write("etc/kubernetes/pki/sa.key", "another")
	})
	renewed := m.read("etc/kubernetes/pki/apiserver.crt")
	if said, err := m.run(restoreAuthoritiesScript, "/root/backup.archive", "/root/backup.key"); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	if m.read("etc/kubernetes/pki/apiserver.crt") != renewed {
		t.Error("a certificate that was renewed after the backup was replaced by the one of before")
	}
}
