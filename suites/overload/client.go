package overload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	. "faultline/suites/drill"
)

// Two service accounts, whose requests are of the same level of priority and of two flows.
const (
	flooderName   = "attempt-flooder"
	neighbourName = "attempt-neighbour"
)

// client lists the configmaps of the drills' namespace as a service account.
type client struct {
	config *rest.Config
	url    string
}

// twoClients makes two service accounts for the time of the spec.
func twoClients(ctx context.Context, d *Drill) (flooder, neighbour client) {
	GinkgoHelper()
	d.Afterwards(deleteClients)
	Expect(d.Attempt("let two service accounts list the configmaps of a namespace", createClients)).To(BeAccepted())
	return clientOf(ctx, d, flooderName), clientOf(ctx, d, neighbourName)
}

func createClients(ctx context.Context, c kubernetes.Interface) error {
	var errs []error
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: flooderName},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: flooderName},
	}
	for _, name := range []string{flooderName, neighbourName} {
		account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}
		_, err := c.CoreV1().ServiceAccounts(Namespace).Create(ctx, account, metav1.CreateOptions{})
		errs = append(errs, err)
		binding.Subjects = append(binding.Subjects, rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: Namespace, Name: name})
	}
	role := &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: flooderName},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"list"}}},
	}
	_, err := c.RbacV1().Roles(Namespace).Create(ctx, role, metav1.CreateOptions{})
	errs = append(errs, err)
	_, err = c.RbacV1().RoleBindings(Namespace).Create(ctx, binding, metav1.CreateOptions{})
	return errors.Join(append(errs, err)...)
}

func deleteClients(ctx context.Context, c kubernetes.Interface) error {
	return errors.Join(
		c.RbacV1().RoleBindings(Namespace).Delete(ctx, flooderName, metav1.DeleteOptions{}),
		c.RbacV1().Roles(Namespace).Delete(ctx, flooderName, metav1.DeleteOptions{}),
		c.CoreV1().ServiceAccounts(Namespace).Delete(ctx, flooderName, metav1.DeleteOptions{}),
		c.CoreV1().ServiceAccounts(Namespace).Delete(ctx, neighbourName, metav1.DeleteOptions{}),
	)
}

func clientOf(ctx context.Context, d *Drill, account string) client {
	GinkgoHelper()
	admin, err := d.Client(d.Front())
	Expect(err).NotTo(HaveOccurred())
	issued, err := admin.CoreV1().ServiceAccounts(Namespace).CreateToken(ctx, account, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	Expect(err).NotTo(HaveOccurred(), "a token of "+account)
	config := rest.AnonymousClientConfig(d.RESTConfig(d.Front()))
	config.BearerToken = issued.Status.Token
	return client{config, config.Host + "/api/v1/namespaces/" + Namespace + "/configmaps"}
}

// connection is one of a client's own: client-go shares those of equal configurations, and an
// API server takes only so many requests at a time through one.
type connection struct {
	http.RoundTripper
	own *http.Transport
}

func (c client) connect() (connection, error) {
	tls, err := rest.TLSConfigFor(c.config)
	if err != nil {
		return connection{}, err
	}
	own := &http.Transport{TLSClientConfig: tls, ForceAttemptHTTP2: true, DialContext: c.config.Dial}
	wrapped, err := rest.HTTPWrappersForConfig(c.config, own)
	return connection{wrapped, own}, err
}

func (c connection) close() { c.own.CloseIdleConnections() }

// answer is what became of a request that was answered.
type answer struct {
	status int
	// retryAfter is when to come back, in seconds; 0 unless the API server said it.
	retryAfter int
	took       time.Duration
}

// ask sends one request through a connection, with a query that begins with a question mark.
func (c client) ask(ctx context.Context, through connection, query string) (answer, error) {
	begun := time.Now()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+query, nil)
	if err != nil {
		return answer{}, err
	}
	response, err := through.RoundTrip(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return answer{}, err
	}
	return answer{response.StatusCode, comeBackAfter(response), time.Since(begun)}, nil
}

func comeBackAfter(response *http.Response) int {
	seconds, err := strconv.Atoi(response.Header.Get("Retry-After"))
	if err != nil {
		return 0
	}
	return seconds
}

// turnedAway tells whether the API server has too many requests and says when to come back.
func (a answer) turnedAway() bool { return a.status == http.StatusTooManyRequests && a.retryAfter > 0 }

// served fails unless a request of the client is.
func served(c client) Request {
	return func(ctx context.Context, _ kubernetes.Interface) error {
		through, err := c.connect()
		if err != nil {
			return err
		}
		defer through.close()
		a, err := c.ask(ctx, through, "")
		if err == nil && a.status != http.StatusOK {
			err = fmt.Errorf("the answer is %d", a.status)
		}
		return err
	}
}

// The requests of one who minds.
const (
	times = 10
	pause = 200 * time.Millisecond
	// mostTime ends a request that nobody answers, as an API server does itself.
	mostTime = time.Minute
)

// inquiry is what became of some requests of a client.
type inquiry struct {
	served, turnedAway, otherwise int
	longest                       time.Duration
	last                          error
}

// askRepeatedly asks one time after the other, and does not come back when it is turned away.
func askRepeatedly(ctx context.Context, c client) inquiry {
	GinkgoHelper()
	through, err := c.connect()
	Expect(err).NotTo(HaveOccurred())
	defer through.close()
	var i inquiry
	for range times {
		asking, cancel := context.WithTimeout(ctx, mostTime)
		a, err := c.ask(asking, through, "")
		cancel()
		i.count(a, err)
		select {
		case <-ctx.Done():
			return i
		case <-time.After(pause):
		}
	}
	return i
}

func (i *inquiry) count(a answer, err error) {
	i.longest = max(i.longest, a.took)
	switch {
	case err == nil && a.status == http.StatusOK:
		i.served++
	case err == nil && a.turnedAway():
		i.turnedAway++
	default:
		i.otherwise++
		i.last = errors.Join(err, fmt.Errorf("the answer is %d", a.status))
	}
}

func (i inquiry) String() string {
	return fmt.Sprintf("%d times it was served, %d times turned away, and %d times answered otherwise or not; the longest took %.2f s",
		i.served, i.turnedAway, i.otherwise, i.longest.Seconds())
}

// mostlyServed allows for a request that waits in its queue for too long (15 s): once in ten it did.
func (i inquiry) mostlyServed() error {
	return Unless(i.served > i.turnedAway+i.otherwise, i.last)
}

func (i inquiry) mostlyTurnedAway() error {
	return Unless(i.turnedAway > i.served+i.otherwise, i.last)
}
