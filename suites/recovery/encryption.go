package recovery

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"

	"faultline/clusters"
	. "faultline/suites/drill"
)

// encryption lets API servers encrypt secrets with a key, and read those that are not encrypted.
const encryption = `apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [secrets]
  providers:
  - secretbox:
      keys:
      - {name: key, secret: %s}
  - identity: {}
`

const (
	// encryptionPath is in the folder of certificates, which API servers see.
	encryptionPath = "/etc/kubernetes/pki/encryption.yaml"
	// encryptedMark is what the API server puts before whatever it has encrypted.
	encryptedMark = "k8s:enc:secretbox:"
)

// PlaceEncryption brings a configuration of encryption at rest to the masters, with a key that nobody
// else has, and returns the flag that lets an API server use it. Sabotage runs use it too.
func PlaceEncryption(ctx context.Context, d *Drill) (flag string, err error) {
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails
	config := fmt.Sprintf(encryption, base64.StdEncoding.EncodeToString(key[:]))
	for _, n := range d.With(clusters.ControlPlane) {
		if err := n.WriteFile(ctx, encryptionPath, []byte(config)); err != nil {
			return "", err
		}
	}
	return "--encryption-provider-config=" + encryptionPath, nil
}
