package probe

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"

	"faultline/reports/record"
)

func TestClassify(t *testing.T) {
	tests := []struct {
		status  int
		message string
		want    record.Way
	}{
		{200, "", record.Up},
		{201, "etcdserver: a message in a good answer", record.Up},
		{500, "etcdserver: request timed out", record.EtcdError},
		{500, "etcdserver: request timed out, possibly due to previous leader failure", record.EtcdError},
		{500, "etcdserver: request timed out, possibly due to connection lost", record.EtcdError},
		{500, "etcdserver: leader changed", record.EtcdError},
		{500, "etcdserver: no leader", record.EtcdError},
		{500, "etcdserver: too many requests", record.EtcdError},
		{500, "etcdserver: mvcc: database space exceeded", record.EtcdError},
		{500, "rpc error: code = Unavailable desc = etcdserver: rpc not supported for learner", record.EtcdError},
		{500, "rpc error: code = Unavailable desc = error reading from server: EOF", record.EtcdError},
		{500, "rpc error: code = DeadlineExceeded desc = latest balancer error: connection refused", record.EtcdError},
		{500, "context deadline exceeded", record.EtcdError},
		{500, "The list operation against configmaps could not be completed at this time, please try again.", record.EtcdError},
		{500, "raft proposal dropped", record.EtcdError},
		{503, "rpc error: code = Unavailable desc = transport is closing: etcdserver: server stopped", record.EtcdError},
		{504, "Timeout: request did not complete within requested timeout - context deadline exceeded", record.EtcdError},
		{504, "Timeout: request did not complete within the allotted timeout", record.EtcdError},
		{504, "", record.EtcdError},
		{504, "Timeout: Too large resource version: 812, current: 790", record.NotReady},
		{500, "[+]ping ok\n[-]etcd failed: reason withheld\n[+]poststarthook/start-apiextensions ok\nreadyz check failed", record.EtcdError},
		{500, "[+]ping ok\n[-]etcd-readiness failed: reason withheld\nreadyz check failed", record.EtcdError},
		{500, "[+]etcd ok\n[-]poststarthook/rbac/bootstrap-roles failed: reason withheld\nreadyz check failed", record.NotReady},
		{500, "[+]etcd ok\n[-]shutdown failed: reason withheld\nreadyz check failed", record.NotReady},
		{429, "storage is (re)initializing", record.NotReady},
		{429, "storage is (re)initializing: etcdserver: no leader", record.NotReady},
		{429, "Too many requests, please try again later.", record.NotReady},
		{503, "apiserver is shutting down", record.NotReady},
		{503, "the server is currently unable to handle the request", record.NotReady},
		{403, `configmaps is forbidden: User "kubernetes-admin" cannot list resource "configmaps" in API group "" in the namespace "x"`, record.NotReady},
		{403, `configmaps is forbidden: User "a" cannot get resource: RBAC: clusterrole.rbac.authorization.k8s.io "cluster-admin" not found`, record.NotReady},
		{403, `configmaps "w" is forbidden: not yet ready to handle request`, record.NotReady},
		{403, `configmaps "w" is forbidden: status unknown for quota: q, resource: configmaps, /v1 not yet synced`, record.NotReady},
		{403, `configmaps "w" is forbidden: exceeded quota: q, requested: configmaps=1`, record.OtherDown},
		{401, "Unauthorized", record.OtherDown},
		{404, `configmaps "anchor" not found`, record.OtherDown},
		{409, `configmaps "w-1" already exists`, record.OtherDown},
		{422, "invalid", record.OtherDown},
		{500, `Internal error occurred: failed calling webhook "x"`, record.OtherDown},
		{502, "bad gateway", record.OtherDown},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%d %s", test.status, test.message), func(t *testing.T) {
			asStatus := fmt.Appendf(nil, `{"kind":"Status","message":%q,"code":%d}`, test.message, test.status)
			for _, body := range [][]byte{asStatus, []byte(test.message)} {
				way, detail := Classify(test.status, body)
				if way != test.want {
					t.Errorf("%q is %s, want %s", body, way, test.want)
				}
				if (detail == "") != (way == record.Up) {
					t.Errorf("%s has the detail %q", way, detail)
				}
			}
		})
	}
}

func TestClassifyError(t *testing.T) {
	dial := func(err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", err)}
	}
	tests := []struct {
		err  error
		want record.Way
	}{
		{nil, record.Up},
		{dial(syscall.ECONNREFUSED), record.Refused},
		{dial(syscall.EHOSTUNREACH), record.Refused},
		{dial(syscall.ENETUNREACH), record.Refused},
		{&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, record.Refused},
		{&url.Error{Op: "Get", URL: "https://x", Err: io.EOF}, record.Refused},
		{fmt.Errorf("http2: client connection force closed: %w", io.ErrUnexpectedEOF), record.Refused},
		{errors.New("http2: server sent GOAWAY and closed the connection; LastStreamID=1999, ErrCode=NO_ERROR"), record.Refused},
		{errors.New("http2: client conn could not be established"), record.Refused},
		{errors.New("stream error: stream ID 7; INTERNAL_ERROR; received from peer"), record.TimedOut},
		{errors.New("stream error: stream ID 7; REFUSED_STREAM; received from peer"), record.Refused},
		{errors.New("http: server closed idle connection"), record.Refused},
		{dial(syscall.ETIMEDOUT), record.TimedOut},
		{context.DeadlineExceeded, record.TimedOut},
		{&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, record.TimedOut},
		{errors.New("net/http: TLS handshake timeout"), record.TimedOut},
		{errors.New("http2: client connection lost"), record.TimedOut},
		// As the client in the cluster sends them.
		{errors.New(`Get "http://10.96.0.9/": dial tcp 10.96.0.9:80: connect: connection refused`), record.Refused},
		{errors.New(`Get "https://kubernetes.default.svc/version": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`), record.TimedOut},
		{errors.New(`Get "https://kubernetes.default.svc/version": dial tcp: lookup kubernetes.default.svc on 10.96.0.10:53: read udp 10.244.1.2:4-\u003e10.96.0.10:53: i/o timeout`), record.TimedOut},
		{errors.New("too many samples are waiting already"), record.TimedOut},
		{errors.New("dial tcp: lookup kubernetes.default.svc on 10.96.0.10:53: no such host"), record.OtherDown},
		{x509.UnknownAuthorityError{}, record.OtherDown},
		// As a member of etcd answers them.
		{errors.New("rpc error: code = Unavailable desc = etcdserver: no leader"), record.EtcdError},
		{errors.New("rpc error: code = Unavailable desc = etcdserver: request timed out"), record.EtcdError},
		{errors.New("rpc error: code = DeadlineExceeded desc = context deadline exceeded"), record.TimedOut},
		{errors.New(`rpc error: code = Unavailable desc = connection error: desc = "transport: Error while dialing: dial tcp 172.18.0.2:2379: connect: connection refused"`), record.Refused},
	}
	for _, test := range tests {
		t.Run(fmt.Sprint(test.err), func(t *testing.T) {
			if way, _ := ClassifyError(test.err); way != test.want {
				t.Errorf("%s, want %s", way, test.want)
			}
		})
	}
}

func TestDetailIsShortAndTellsWhatFailed(t *testing.T) {
	_, detail := Classify(500, []byte("[+]ping ok\n[-]etcd failed: reason withheld\nreadyz check failed"))
	if detail != "Internal Server Error: [-]etcd failed: reason withheld; readyz check failed" {
		t.Errorf("detail %q", detail)
	}
	_, detail = Classify(500, []byte(strings.Repeat("é", 1000)))
	if len(detail) > maxDetail+4 || !strings.HasSuffix(detail, "…") {
		t.Errorf("a long message is kept as %d bytes", len(detail))
	}
}
