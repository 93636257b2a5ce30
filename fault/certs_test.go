package fault

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"faultline/clusters"
)

// testCertificate is one of an authority, for a server and a user.
func testCertificate(t *testing.T, ca authority) (*x509.Certificate, crypto.Signer) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "kube-apiserver", Organization: []string{"o"}},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, DNSNames: []string{"kubernetes"}, IPAddresses: []net.IP{net.IPv4(10, 0, 0, 1).To4()},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.certificate, key.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c, key
}

func testAuthority(t *testing.T) authority {
	t.Helper()
	ca, err := newAuthority()
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func TestForgedCertificates(t *testing.T) {
	own, stranger := testAuthority(t), testAuthority(t)
	old, key := testCertificate(t, own)
	cases := map[string]struct {
		ca     authority
		change func(*x509.Certificate)
		want   verdict
		name   string
	}{
		"unchanged": {own, func(*x509.Certificate) {}, accepted, "kube-apiserver"},
		"expired":   {own, expire, expired, "kube-apiserver"},
		"foreign":   {stranger, func(*x509.Certificate) {}, ofNoAuthority, "kube-apiserver"},
		"demoted":   {own, demote, accepted, "faultline:nobody"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			text, err := c.ca.reissue(old, c.change)
			if err != nil {
				t.Fatal(err)
			}
			forged, err := parseCertificate(text)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := verify(forged, own.certificate); err != nil || got != c.want {
				t.Errorf("it is %q, %v; want %q", got, err, c.want)
			}
			if forged.Subject.CommonName != c.name || len(forged.DNSNames) != 1 || len(forged.IPAddresses) != 1 {
				t.Errorf("it is of %v for %v and %v", forged.Subject, forged.DNSNames, forged.IPAddresses)
			}
			if forged.NotAfter.Sub(forged.NotBefore).Round(time.Minute) != 2*time.Hour || forged.SerialNumber.Cmp(old.SerialNumber) == 0 {
				t.Errorf("from %s to %s, number %s", forged.NotBefore, forged.NotAfter, forged.SerialNumber)
			}
			if public, ok := forged.PublicKey.(*ecdsa.PublicKey); !ok || !public.Equal(key.Public()) {
				t.Error("it is for another key")
			}
		})
	}
}

func TestVerdicts(t *testing.T) {
	for answer, want := range map[string]verdict{
		"200\n": accepted, "401\n": unauthenticated, "403\n": forbidden,
		"curl: (56) OpenSSL SSL_read: error:0A000412:SSL routines::sslv3 alert bad certificate, errno 0\n000\n": turnedAway,
		"000\ncurl: (56) OpenSSL SSL_read: error:0A000418:SSL routines::tlsv1 alert unknown ca, errno 0\n":      turnedAway,
	} {
		if got, err := verdictOf(answer); err != nil || got != want {
			t.Errorf("%q: got %q, %v; want %q", answer, got, err, want)
		}
	}
	for _, answer := range []string{"", "500\n", "curl: (7) Failed to connect to 10.0.0.1 port 6443: Connection refused\n000\n"} {
		if got, err := verdictOf(answer); err == nil {
			t.Errorf("%q: got %q, want an error", answer, got)
		}
	}
}

// TestCertificatesAreJudged lets the scripts look at a server that wants a certificate of
// its clients, as etcd does.
func TestCertificatesAreJudged(t *testing.T) {
	for _, tool := range []string{"openssl", "curl", "bash"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("this machine has no %s, which every node has", tool)
		}
	}
	own, stranger := testAuthority(t), testAuthority(t)
	known := x509.NewCertPool()
	known.AddCert(own.certificate)
	c, key := testCertificate(t, own)
	bearer, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name string, blocks ...[]byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, bytes.Join(blocks, nil), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("ca.crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: own.certificate.Raw}))
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: bearer})
	n := &clusters.Node{Name: "n"}
	(&clusters.Cluster{Nodes: []*clusters.Node{n}}).Reach(func(ctx context.Context, _ string, in io.Reader, argv ...string) ([]byte, error) {
		return sandbox{env: os.Environ()}.run(ctx, in, argv...)
	})

	for name, f := range map[string]struct {
		ca            authority
		change        func(*x509.Certificate)
		shown, client verdict
	}{
		"good":    {own, func(*x509.Certificate) {}, accepted, accepted},
		"expired": {own, expire, expired, turnedAway},
		"foreign": {stranger, func(*x509.Certificate) {}, ofNoAuthority, turnedAway},
	} {
		text, err := f.ca.reissue(c, f.change)
		if err != nil {
			t.Fatal(err)
		}
		pair, err := tls.X509KeyPair(text, private)
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: known, ClientAuth: tls.RequireAndVerifyClientCert}
		server.StartTLS()
		t.Cleanup(server.Close)
		k := keeping{node: n, authority: filepath.Join(dir, "ca"), address: server.Listener.Addr().String()}
		if got, err := k.judge(t.Context()); err != nil || got != f.shown {
			t.Errorf("%s: what is shown is %q, %v; want %q", name, got, err, f.shown)
		}
		config := "    client-certificate-data: " + base64.StdEncoding.EncodeToString(text) + "\n    client-key-data: " + base64.StdEncoding.EncodeToString(private) + "\n"
		for _, file := range []string{write("client.pem", text, private), write("client.conf", []byte(config))} {
			k.server, k.file, k.key = server.URL, file, file
			if got, err := k.judge(t.Context()); err != nil || got != f.client {
				t.Errorf("%s: the client of %s is %q, %v; want %q", name, file, got, err, f.client)
			}
			if there, err := k.hasKey(t.Context()); err != nil || !there {
				t.Errorf("%s has a key: %t, %v", file, there, err)
			}
			if read, err := k.read(t.Context()); err != nil || !bytes.Equal(read.Raw, pair.Certificate[0]) {
				t.Errorf("%s has another certificate, %v", file, err)
			}
		}
	}
}

func TestCertificatesThatDoNotExist(t *testing.T) {
	b := newBench(t)
	at := func(c clusters.Component) clusters.Instance { return b.cluster.Instances(c)[0] }
	for name, c := range map[string]struct {
		f    Fault
		want string
	}{
		"a scheduler's serving certificate": {ForeignCA(ServingCertificate, at(clusters.Scheduler)), "has no serving certificate"},
		"a kubelet's peers":                 {DeleteKey(PeerCertificate, at(clusters.Kubelet)), "has no peer certificate"},
		"etcd as a client":                  {ExpireCertificate(b.cluster, ClientCertificate, at(clusters.Etcd)), "has no client certificate"},
		"an unknown use":                    {ForeignCA("mail", at(clusters.APIServer)), "has no mail certificate"},
		"the container runtime":             {RevokeKubeconfig(b.cluster, at(clusters.ContainerRuntime)), "has no client certificate"},
		"twice": {ForeignCA(ServingCertificate, at(clusters.APIServer), clusters.Instance{Component: clusters.APIServer, Node: b.cluster.Nodes[0], Copy: 2}),
			"is named twice"},
		"no node": {ForeignCA(ServingCertificate, clusters.Instance{Component: clusters.APIServer}), "has no node"},
	} {
		if _, err := b.Inject(t.Context(), meant(c.f)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		}
	}
	if len(b.changes()) > 0 {
		t.Errorf("changed %v", b.changes())
	}
}

func TestTheGuardKnowsWhomACertificateTakes(t *testing.T) {
	b := newBench(t)
	servers := b.cluster.Instances(clusters.APIServer)
	err := b.guard(t.Context(), &Injection{injector: b.Injector, Fault: ForeignCA(ServingCertificate, servers...)})
	if err == nil || !strings.Contains(err.Error(), `.Losing("kube-apiserver")`) {
		t.Errorf("every API server: got %v", err)
	}
	if err := b.guard(t.Context(), &Injection{injector: b.Injector, Fault: ForeignCA(ServingCertificate, servers[1:]...)}); err != nil {
		t.Errorf("all but one: %v", err)
	}
}

// kept is a file in a sandbox, as a component keeps its certificate.
func kept(t *testing.T, s sandbox, file, content string) (clusters.Instance, keeping) {
	t.Helper()
	if err := os.MkdirAll(s.path("kubernetes/pki"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.write(file, content)
	if err := os.Chmod(s.path(file), 0o600); err != nil {
		t.Fatal(err)
	}
	_, i := s.victim()
	path := s.path(file)
	return i, keeping{node: i.Node, file: path, key: path, restarts: processes{s.name, ""}}
}

const (
	testPEM    = "-----BEGIN CERTIFICATE-----\nold\n-----END CERTIFICATE-----\n-----BEGIN EC PRIVATE KEY-----\nsecret\n-----END EC PRIVATE KEY-----\n"
	testConfig = "users:\n- user:\n    client-certificate-data: b2xk\n    client-key-data: c2VjcmV0\n"
)

func TestScriptsReplaceCertificates(t *testing.T) {
	fresh := "-----BEGIN CERTIFICATE-----\nnew\n-----END CERTIFICATE-----\n"
	for name, c := range map[string]struct {
		file, content, replaced, keyless string
		separate                         bool
	}{
		"a kubeconfig": {
			file: "kubernetes/scheduler.conf", content: testConfig,
			replaced: strings.Replace(testConfig, "b2xk", base64.StdEncoding.EncodeToString([]byte(fresh)), 1),
			keyless:  "users:\n- user:\n    client-certificate-data: b2xk\n",
		},
		"certificate and key in PEM": {
			file: "kubernetes/pki/kubelet.pem", content: testPEM,
			replaced: fresh + testPEM[strings.Index(testPEM, "-----BEGIN EC"):], keyless: testPEM[:strings.Index(testPEM, "-----BEGIN EC")],
		},
		"a certificate alone": {file: "kubernetes/pki/apiserver.crt", content: "old\n", replaced: fresh, separate: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSandbox(t)
			i, k := kept(t, s, c.file, c.content)
			if c.separate {
				k.key, k.restarts.copies = "elsewhere", "*"
			}
			content := func() string {
				text, err := os.ReadFile(k.file)
				if err != nil {
					return err.Error()
				}
				return string(text)
			}
			for want, filter := range map[string][]string{c.replaced: k.replacing([]byte(fresh)), c.keyless: k.withoutKey()} {
				s.start()
				p, err := i.Process(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				e := armedFile(t, s, k)
				if err := e.rewrite(filter); err != nil {
					t.Fatal(err)
				}
				if got := content(); got != want && (want != "" || !strings.Contains(got, "no such file")) {
					t.Errorf("it is %q, want %q", got, want)
				}
				if _, there, _ := watch(t.Context(), i, p); there {
					t.Error("the process was not killed")
				}
				s.start()
				p, _ = i.Process(t.Context())
				s.fire()
				if got := content(); got != c.content {
					t.Errorf("after the undo it is %q", got)
				}
				if info, err := os.Stat(k.file); err != nil || info.Mode().Perm() != 0o600 {
					t.Errorf("after the undo: %v, %v", info, err)
				}
				if _, there, _ := watch(t.Context(), i, p); there {
					t.Error("the process was not killed by the undo")
				}
				if err := errors.Join(e.undo(), e.undo()); err != nil || content() != c.content || len(s.leftovers()) > 0 {
					t.Errorf("undone again: %v, %q, left over %v", err, content(), s.leftovers())
				}
			}
		})
	}
}

// fileFault runs the scripts for files on a sandbox.
type fileFault struct {
	s sandbox
	k keeping
}

func armedFile(t *testing.T, s sandbox, k keeping) fileFault {
	t.Helper()
	e := effect{id: "file-x-0", undo: command(putBackScript, "file-x-0", k.file, k.restarts.name, k.restarts.copies)}
	if _, err := s.shell(t.Context(), "", nil, e.armCommands(time.Minute)[0]...); err != nil {
		t.Fatal(err)
	}
	return fileFault{s, k}
}

func (f fileFault) rewrite(filter []string) error {
	args := append([]string{"file-x-0", f.k.file, f.k.restarts.name, f.k.restarts.copies}, filter...)
	_, err := f.s.shell(f.s.t.Context(), "", nil, command(rewriteScript, args...)...)
	return err
}

func (f fileFault) undo() error {
	_, err := f.s.shell(f.s.t.Context(), "", nil, command(putBackScript, "file-x-0", f.k.file, f.k.restarts.name, f.k.restarts.copies, f.k.authority)...)
	return err
}

func TestScriptsPutFilesBackFromAnyPoint(t *testing.T) {
	s := newSandbox(t)
	_, k := kept(t, s, "kubernetes/scheduler.conf", testConfig)
	content := func() string { text, _ := os.ReadFile(k.file); return string(text) }
	mustBe := func(when, want string, err error) {
		t.Helper()
		if err != nil || content() != want || len(s.leftovers()) > 0 {
			t.Errorf("%s: %v; content %q, left over %v", when, err, content(), s.leftovers())
		}
	}
	f := fileFault{s, k}
	if err := f.rewrite(k.withoutKey()); err == nil || !strings.Contains(err.Error(), "not armed") {
		t.Errorf("unarmed: %v", err)
	}
	mustBe("unarmed", testConfig, nil)

	armedFile(t, s, k)
	mustBe("armed only", testConfig, f.undo())

	armedFile(t, s, k)
	s.write("state/file-x-0/copy", "use")
	mustBe("while it was copied", testConfig, f.undo())

	armedFile(t, s, k)
	s.write("state/file-x-0/file.saved", testConfig)
	s.write("kubernetes/.faultline-file-x-0", "use")
	s.write("state/file-x-0/file.ours", "use")
	mustBe("before it was replaced", testConfig, f.undo())
	if _, err := os.Stat(s.path("kubernetes/.faultline-file-x-0")); err == nil {
		t.Error("the hidden file is left")
	}

	armedFile(t, s, k)
	s.write("state/file-x-0/file.saved", testConfig)
	if err := os.Remove(k.file); err != nil {
		t.Fatal(err)
	}
	mustBe("after it was removed", testConfig, f.undo())

	armedFile(t, s, k)
	if err := f.rewrite([]string{"cat"}); err == nil || !strings.Contains(err.Error(), "nothing to replace") {
		t.Errorf("a filter that changes nothing: %v", err)
	}
	mustBe("after a filter that changes nothing", testConfig, f.undo())

	armedFile(t, s, k)
	if err := f.rewrite(k.withoutKey()); err != nil {
		t.Fatal(err)
	}
	s.write("kubernetes/scheduler.conf", "renewed\n")
	if err := f.undo(); err == nil || !strings.Contains(err.Error(), "somebody put another") || content() != "renewed\n" {
		t.Errorf("a newer file: %v; content %q", err, content())
	}
	if saved, err := os.ReadFile(s.path("state/file-x-0/file.saved")); err != nil || string(saved) != testConfig {
		t.Errorf("a newer file: the old one is not kept: %q, %v", saved, err)
	}
}

// A certificate that somebody renews while the fault holds stays: who looks after a cluster does so.
func TestScriptsKeepARenewedCertificate(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("this machine has no openssl, which every node has")
	}
	own, stranger := testAuthority(t), testAuthority(t)
	c, _ := testCertificate(t, own)
	config := func(ca authority, change func(*x509.Certificate)) string {
		text, err := ca.reissue(c, change)
		if err != nil {
			t.Fatal(err)
		}
		return "    client-certificate-data: " + base64.StdEncoding.EncodeToString(text) + "\n    client-key-data: a2V5\n"
	}
	asItIs := func(*x509.Certificate) {}
	for name, test := range map[string]struct {
		now   string
		stays bool
	}{
		"renewed":               {config(own, asItIs), true},
		"renewed, and expired":  {config(own, expire), false},
		"of another authority":  {config(stranger, asItIs), false},
		"without a certificate": {"renewed\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSandbox(t)
			_, k := kept(t, s, "kubernetes/scheduler.conf", testConfig)
			k.authority = s.path("kubernetes/ca")
			s.write("kubernetes/ca.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: own.certificate.Raw})))
			f := fileFault{s, k}
			armedFile(t, s, k)
			if err := f.rewrite(k.withoutKey()); err != nil {
				t.Fatal(err)
			}
			s.write("kubernetes/scheduler.conf", test.now)
			err := f.undo()
			content, _ := os.ReadFile(k.file)
			if (err == nil) != test.stays || string(content) != test.now || test.stays && len(s.leftovers()) > 0 {
				t.Errorf("%v; left over %v; content %q", err, s.leftovers(), content)
			}
		})
	}
}

func TestScriptsReplaceTheSigningKey(t *testing.T) {
	s := newSandbox(t)
	_, k := kept(t, s, "kubernetes/pki/sa.key", "old key\n")
	s.write("kubernetes/pki/sa.pub", "old public\n")
	key, err := newSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	// No process of this machine may be taken for a component of Kubernetes.
	run := func(script string, input string) error {
		script = strings.NewReplacer("kube-apiserver", "no-such-server", "kube-controller", "no-such-manager").Replace(script)
		_, err := s.shell(t.Context(), "", strings.NewReader(input), command(script, "key-x-0")...)
		return err
	}
	read := func() string {
		private, _ := os.ReadFile(k.file)
		public, _ := os.ReadFile(s.path("kubernetes/pki/sa.pub"))
		return string(private) + string(public)
	}
	e := effect{id: "key-x-0", undo: command("exit")}
	if _, err := s.shell(t.Context(), "", nil, e.armCommands(time.Minute)[0]...); err != nil {
		t.Fatal(err)
	}
	if err := run(loseKeyScript, string(key)); err != nil || read() != string(key) {
		t.Errorf("%v; %q", err, read())
	}
	if err := errors.Join(run(findKeyScript, ""), run(findKeyScript, "")); err != nil || read() != "old key\nold public\n" || len(s.leftovers()) > 0 {
		t.Errorf("%v; %q, left over %v", err, read(), s.leftovers())
	}
}

// TestTheActionReadsItsInput shows that what is secret need not be an argument.
func TestTheActionReadsItsInput(t *testing.T) {
	var read string
	n := &clusters.Node{Name: "n"}
	c := &clusters.Cluster{Nodes: []*clusters.Node{n}}
	c.Reach(func(_ context.Context, _ string, in io.Reader, argv ...string) ([]byte, error) {
		text, err := io.ReadAll(in)
		read = string(text) + strings.Join(argv, " ")
		return nil, err
	})
	if err := (effect{node: n, inject: []string{"act"}, input: []byte("secret ")}).act(t.Context()); err != nil || read != "secret act" {
		t.Errorf("%q, %v", read, err)
	}
}
