package probe

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"

	"faultline/clusters"
	"faultline/reports/record"
)

// maxDetail bounds the text that is kept of a failure.
const maxDetail = 240

// etcdMessages are what an API server says when its store fails it.
var etcdMessages = []string{
	"etcdserver:",
	"raft proposal dropped",
	"context deadline exceeded",
	"request timed out",
	"leader changed",
	"no leader",
	"rpc error: code = unavailable",
	"rpc error: code = deadlineexceeded",
	"etcdclient: no available endpoints",
	"[-]etcd",
	// apierrors.NewServerTimeout, which the storage layer makes of an unreachable store.
	"could not be completed at this time, please try again",
	"request did not complete within",
}

// notReadyMessages are what an API server says while it starts, catches up or ends.
var notReadyMessages = []string{
	"storage is (re)initializing",
	"too large resource version",
	"not yet ready to handle request",
	"not yet synced",
	"apiserver is shutting down",
	"apiserver not ready",
	"check failed", // of /readyz and /livez
}

// Classify tells in which way an answer is up or down. The body is that of a
// Kubernetes Status or plain text.
func Classify(status int, body []byte) (record.Way, string) {
	if status >= 200 && status < 300 {
		return record.Up, ""
	}
	message := statusMessage(status, body)
	return classifyStatus(status, strings.ToLower(message)), message
}

func classifyStatus(status int, message string) record.Way {
	switch status {
	case http.StatusTooManyRequests:
		return record.NotReady
	case http.StatusForbidden:
		return classifyForbidden(message)
	case http.StatusInternalServerError, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
	default:
		return record.OtherDown
	}
	switch {
	case containsAny(message, "[-]etcd"): // before the end of the same text: "readyz check failed"
		return record.EtcdError
	case containsAny(message, notReadyMessages...):
		return record.NotReady
	case containsAny(message, etcdMessages...), status == http.StatusGatewayTimeout:
		return record.EtcdError
	case status == http.StatusServiceUnavailable:
		return record.NotReady
	default:
		return record.OtherDown
	}
}

// classifyForbidden knows the refusals of an API server that has not read its
// roles yet: to an administrator it says "cannot" only then. Admission plugins
// refuse with other words, for good reasons.
func classifyForbidden(message string) record.Way {
	if containsAny(message, notReadyMessages...) || containsAny(message, "rbac:", `" cannot `) {
		return record.NotReady
	}
	return record.OtherDown
}

// statusMessage is the message of a Status, or the text itself, after the code.
func statusMessage(status int, body []byte) string {
	var s struct {
		Message string `json:"message"`
	}
	text := strings.TrimSpace(string(body))
	if json.Unmarshal(body, &s) == nil && s.Message != "" {
		text = s.Message
	}
	if failing := clusters.FailingChecks(text); failing != "" {
		text = failing
	}
	return shorten(strings.TrimSpace(http.StatusText(status) + ": " + text))
}

// ClassifyError tells in which way a request without an answer failed.
func ClassifyError(err error) (record.Way, string) {
	if err == nil {
		return record.Up, ""
	}
	return classifyError(err), shorten(err.Error())
}

func classifyError(err error) record.Way {
	var netError net.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		return record.TimedOut
	case errors.As(err, &netError) && netError.Timeout():
		return record.TimedOut
	case isAny(err, syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE,
		syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed):
		return record.Refused
	default:
		return classifyText(strings.ToLower(err.Error()))
	}
}

// classifyText judges an error of which only the text is left: by HTTP/2, which
// wraps nothing, or by the client in the cluster, which sends it as text.
func classifyText(text string) record.Way {
	switch {
	case strings.Contains(text, "etcdserver:"):
		return record.EtcdError
	// An API server resets a stream so when its own time for the request is over.
	case strings.Contains(text, "internal_error"):
		return record.TimedOut
	case containsAny(text, "deadline exceeded", "timeout", "timed out", "client connection lost", "too many samples are waiting"):
		return record.TimedOut
	case containsAny(text, "connection refused", "connection reset", "broken pipe", "no route to host", "network is unreachable",
		"host is down", "eof", "goaway", "server closed", "use of closed network connection", "stream error", "client conn", "stream ended"):
		return record.Refused
	default:
		return record.OtherDown
	}
}

func containsAny(text string, parts ...string) bool {
	for _, part := range parts {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

func isAny(err error, targets ...error) bool {
	for _, target := range targets {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

func shorten(text string) string {
	if len(text) <= maxDetail {
		return text
	}
	return strings.ToValidUTF8(text[:maxDetail], "") + "…"
}
