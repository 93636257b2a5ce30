package fault

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"faultline/clusters"
)

// verdict is what whoever checks a certificate finds.
type verdict string

const (
	accepted        verdict = "accepted"
	expired         verdict = "expired"
	ofNoAuthority   verdict = "signed by an unknown authority"
	unauthenticated verdict = "unknown to the API (401)"
	forbidden       verdict = "without rights in the API (403)"
	turnedAway      verdict = "turned away by etcd"
)

// refusals is how what checks a certificate refuses one that has expired, or that is
// of an unknown authority. Only a client's side says why.
func (k keeping) refusals() (of struct{ expired, foreign verdict }) {
	switch {
	case k.server == "":
		of.expired, of.foreign = expired, ofNoAuthority
	case k.authority == etcdCA:
		of.expired, of.foreign = turnedAway, turnedAway
	default:
		of.expired, of.foreign = unauthenticated, unauthenticated
	}
	return of
}

// judge asks, from the node, whoever checks the certificate.
func (k keeping) judge(ctx context.Context) (verdict, error) {
	if k.server == "" {
		return k.judgeShown(ctx)
	}
	return k.judgeClient(ctx)
}

// shownScript prints the certificate that is shown on the address $1, whether or not it
// then wants one of the client.
const shownScript = `command -v openssl > /dev/null || { echo "no openssl"; exit; }
timeout 5 openssl s_client -connect "$1" < /dev/null 2> /dev/null | sed -n '/-BEGIN CERTIFICATE-/,/-END CERTIFICATE-/p'`

// judgeShown verifies what a handshake shows, as a client in Go does.
func (k keeping) judgeShown(ctx context.Context) (verdict, error) {
	ca, err := readCertificate(ctx, k.node, k.authority+".crt")
	if err != nil {
		return "", err
	}
	out, err := k.node.Exec(ctx, command(shownScript, k.address)...)
	if err != nil {
		return "", err
	}
	if strings.TrimSpace(string(out)) == "no openssl" {
		return "", fmt.Errorf("%w: node %s has no openssl to look at a handshake with", clusters.ErrUnsupported, k.node.Name)
	}
	shown, err := parseCertificate(out)
	if err != nil {
		return "", fmt.Errorf("what %s shows: %w", k.address, err)
	}
	return verify(shown, ca)
}

func verify(shown, ca *x509.Certificate) (verdict, error) {
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	_, err := shown.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case err == nil:
		return accepted, nil
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return expired, nil
	case errors.As(err, &unknown):
		return ofNoAuthority, nil
	default:
		return "", err
	}
}

// askScript asks the URL $1 with the certificate in $2 and the key in $3, and prints the
// status or, where there is none, why. In TLS 1.2 a server refuses a client within the
// handshake; in 1.3 it does so after it, and its alert may be lost with the connection.
const askScript = `part() {
  case "$2" in
    *.conf) sed -n "s/^ *client-$1-data: *//p" "$2" | base64 -d ;;
    *) cat "$2" ;;
  esac
}
curl --silent --show-error --insecure --tls-max 1.2 --max-time 5 --output /dev/null --write-out '%{http_code}\n' \
  --cert <(part certificate "$2") --key <(part key "$3") "$1" 2>&1 || true`

// judgeClient shows the certificate to the server.
func (k keeping) judgeClient(ctx context.Context) (verdict, error) {
	out, err := k.node.Exec(ctx, "bash", "-c", askScript, "faultline", k.server, k.file, k.key)
	if err != nil {
		return "", err
	}
	return verdictOf(string(out))
}

// verdictOf reads curl's answer. As it verifies nothing itself, its error 60 is the
// server's alert that the certificate has expired.
func verdictOf(answer string) (verdict, error) {
	words := strings.Fields(answer)
	if len(words) == 0 {
		return "", errors.New("no answer")
	}
	switch {
	case strings.Contains(answer, " alert "), strings.Contains(answer, "curl: (60)"):
		return turnedAway, nil
	case words[0] == "200":
		return accepted, nil
	case words[0] == "401":
		return unauthenticated, nil
	case words[0] == "403":
		return forbidden, nil
	default:
		return "", fmt.Errorf("unexpected answer: %s", strings.Join(words, " "))
	}
}
