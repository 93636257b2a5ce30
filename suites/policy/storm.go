package policy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"faultline/clusters"
	. "faultline/suites/drill"
)

// gusts is how many pods each API server is asked for in a storm: one alone could fill the
// quota.
const gusts = 2 * few

// census is what became of a storm.
type census struct {
	accepted, exceeded int
	failed             []error
}

// stormThrough sends a storm of pods, which ask for one share each, at a namespace.
func stormThrough(ctx context.Context, d *Drill, namespace string, s share, servers []clusters.Endpoint) census {
	GinkgoHelper()
	ctx, cancel := context.WithTimeout(ctx, d.Timing.Binding().Upper)
	defer cancel()
	var doors []corev1client.PodInterface
	for _, e := range servers {
		client, err := d.Client(e)
		Expect(err).NotTo(HaveOccurred())
		doors = append(doors, client.CoreV1().Pods(namespace))
	}
	return storm(ctx, doors, s)
}

// storm asks for pods through every door at once, and counts the answers.
func storm(ctx context.Context, doors []corev1client.PodInterface, s share) census {
	var mu sync.Mutex
	var seen census
	var wg sync.WaitGroup
	for _, pods := range doors {
		wg.Go(func() {
			for range gusts {
				err := insist(ctx, pods, s)
				mu.Lock()
				seen.count(err)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return seen
}

// insist creates a pod. API servers that count at the same time get into each other's way, and
// tell the client of the one that lost too often to try again.
func insist(ctx context.Context, pods corev1client.PodInterface, s share) error {
	for {
		_, err := pods.Create(ctx, idlePod(asking(s.times(1))), metav1.CreateOptions{})
		if !apierrors.IsConflict(err) || ctx.Err() != nil {
			return err
		}
	}
}

func (s *census) count(err error) {
	switch {
	case err == nil:
		s.accepted++
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), "exceeded quota"):
		s.exceeded++
	default:
		s.failed = append(s.failed, err)
	}
}

// keeps fails unless exactly so many pods were accepted as there was room for, and all others
// exceeded the quota.
func (s *census) keeps(room int) error {
	switch {
	case len(s.failed) > 0:
		return fmt.Errorf("some failed otherwise, as with: %w", s.failed[0])
	case s.accepted != room:
		return fmt.Errorf("there was room for %d", room)
	case s.exceeded == 0:
		return errors.New("it was no storm")
	}
	return nil
}

func (s *census) String() string {
	return fmt.Sprintf("%d pods were accepted, %d exceeded the quota, %d failed otherwise", s.accepted, s.exceeded, len(s.failed))
}
