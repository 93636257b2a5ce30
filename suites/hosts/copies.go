package hosts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"

	"faultline/clusters"
	. "faultline/suites/drill"
)

// logCopy is a log as somebody has it who is not on its node.
type logCopy struct {
	mu   sync.Mutex
	text strings.Builder
	end  error
}

// follow copies the log of a teller through an API server, from its first line on, until the
// spec ends.
func follow(ctx context.Context, d *Drill, e clusters.Endpoint, t *teller) *logCopy {
	GinkgoHelper()
	client, err := d.Client(e)
	Expect(err).NotTo(HaveOccurred())
	stream, err := client.CoreV1().Pods(Namespace).GetLogs(t.pod.Name, &corev1.PodLogOptions{Follow: true}).Stream(ctx)
	Expect(err).NotTo(HaveOccurred())
	c := &logCopy{}
	go func() {
		defer stream.Close()
		_, err := io.Copy(c, stream)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.end = errors.Join(err, errors.New("the stream has ended"))
	}()
	return c
}

// Write implements io.Writer.
func (c *logCopy) Write(part []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.Write(part)
}

// lines are the whole lines of the copy.
func (c *logCopy) lines() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return wholeLines(c.text.String())
}

func wholeLines(text string) []string {
	whole := text[:strings.LastIndex(text, "\n")+1]
	return slices.Collect(strings.Lines(whole))
}

func (c *logCopy) hasLines(least int) Request {
	return func(context.Context, kubernetes.Interface) error {
		return Unless(len(c.lines()) >= least, errors.New(c.String()))
	}
}

// completes fails unless the copy has every line that was written, but for the last one, which
// nobody may have had the time to send.
func (c *logCopy) completes(written []string) error {
	if len(written) < 2 {
		return fmt.Errorf("only %d lines were written", len(written))
	}
	have := c.lines()
	common := min(len(have), len(written))
	return Unless(len(have) >= len(written)-1 && slices.Equal(have[:common], written[:common]),
		fmt.Errorf("%d lines were written, the last %s", len(written), strings.TrimSpace(written[len(written)-1])))
}

func (c *logCopy) String() string {
	lines := c.lines()
	c.mu.Lock()
	defer c.mu.Unlock()
	text := fmt.Sprintf("the copy has %d lines", len(lines))
	if len(lines) > 0 {
		text += ", the last " + strings.TrimSpace(lines[len(lines)-1])
	}
	if c.end != nil {
		text += ", and " + c.end.Error()
	}
	return text
}

// written is what the teller has logged before its node was lost, by the node's own disk.
func (t *teller) written(ctx context.Context) []string {
	GinkgoHelper()
	folder := fmt.Sprintf("/var/log/pods/%s_%s_%s/%s", Namespace, t.pod.Name, t.pod.UID, t.pod.Spec.Containers[0].Name)
	out, err := t.node.Exec(ctx, "cat", folder+"/0.log")
	Expect(err).NotTo(HaveOccurred())
	var lines []string
	for _, line := range wholeLines(string(out)) {
		lines = append(lines, said(line))
	}
	return lines
}

// said is a line without what the container runtime puts before it: an instant, the stream, and
// whether the line is whole.
func said(line string) string {
	parts := strings.SplitN(line, " ", 4)
	return parts[len(parts)-1]
}
