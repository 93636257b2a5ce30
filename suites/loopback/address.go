// Package loopback serves pages to people on this machine only, and keeps other sites out that a
// browser on this machine has open.
package loopback

import (
	"fmt"
	"net"
	"strconv"
)

// Free is a free port of the loopback address.
const Free = "127.0.0.1:0"

// Address is where to listen for host and port of the text. It refuses a host that is not on
// loopback, and a port that no machine has.
func Address(text string) (string, error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return "", fmt.Errorf("address %q: want a host and a port, as 127.0.0.1:8080: %w", text, err)
	}
	if !local(host) {
		return "", fmt.Errorf("address %q is not on loopback, and the page is not for everybody: use 127.0.0.1, and from elsewhere a tunnel (ssh -L)", text)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", fmt.Errorf("address %q: want a port from 0 to 65535, not %q", text, port)
	}
	if host == "localhost" { // whatever this machine takes it for
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}

// local tells whether a host is this machine's own loopback.
func local(host string) bool { return host == "localhost" || net.ParseIP(host).IsLoopback() }
