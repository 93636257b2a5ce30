package probe

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"faultline/clusters"
	"faultline/reports/record"
)

// auditPause is the time between two attempts to read through an API server
// that is not back yet; auditTimeout bounds one request.
const (
	auditPause   = 500 * time.Millisecond
	auditTimeout = 60 * time.Second
)

// ErrNeverWritten says that an API server shows writes that nobody attempted.
var ErrNeverWritten = errors.New("objects exist that were never written")

// witness is who can tell what became of a ledger's writes.
type witness struct {
	vantage string
	// list lists them all, at one version.
	list func(context.Context) (listing, error)
}

// Audit asks every API server itself for the ledger's objects, or every member of an
// etcd without Kubernetes, and compares: what was acknowledged has to exist in the
// acknowledged version, the list has to be as new as the newest acknowledgement, every
// watch has to have delivered everything. The objects stay; Clear deletes them.
//
// It is for a ledger whose set has been stopped. It tries until ctx ends, so that a
// server may still be on its way back. The account is valid when the error is nil or
// wraps ErrNeverWritten.
func (l *Ledger) Audit(ctx context.Context, c *clusters.Cluster) (record.Audit, error) {
	var witnesses []witness
	if !c.Topology.Kubernetes() {
		for _, m := range c.EtcdMembers() {
			witnesses = append(witnesses, store{c, m}.witness(l))
		}
		return l.audit(ctx, witnesses)
	}
	for _, e := range c.APIServers() {
		witnesses = append(witnesses, doorTo(c, e).witness(l))
	}
	return l.audit(ctx, witnesses)
}

// Clear deletes the ledger's objects. That takes an API server as long as writing them
// at full speed, several milliseconds each.
func (l *Ledger) Clear(ctx context.Context, c *clusters.Cluster) error {
	if !c.Topology.Kubernetes() {
		return l.clearKeys(ctx, store{c, c.EtcdMembers()[0]})
	}
	return l.clear(ctx, doorTo(c, c.Front()))
}

func (l *Ledger) audit(ctx context.Context, witnesses []witness) (record.Audit, error) {
	account := record.Audit{
		Attempted: l.Attempted(), Acknowledged: l.count(acknowledged), Forgone: l.count(forgone), Missed: l.missed(),
		Lost: []string{}, Backwards: []string{}, Through: []string{},
	}
	l.mu.Lock()
	account.Backwards = append(account.Backwards, l.backwards...)
	l.mu.Unlock()
	var foreign []error
	for _, w := range witnesses {
		found, err := w.await(ctx)
		if err != nil {
			return account, fmt.Errorf("audit the writes through %s: %w", w.vantage, err)
		}
		account.Through = append(account.Through, w.vantage)
		if err := l.compare(w.vantage, found, &account); err != nil {
			foreign = append(foreign, err)
		}
	}
	return account, errors.Join(foreign...)
}

// await asks until there is an answer.
func (w witness) await(ctx context.Context) (found listing, err error) {
	err = clusters.Await(ctx, auditPause, "a list of the writes", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, auditTimeout)
		defer cancel()
		found, err = w.list(ctx)
		return err
	})
	return found, err
}

// witness lists the ledger's objects through an API server.
func (d door) witness(l *Ledger) witness {
	return witness{d.vantage, func(ctx context.Context) (listing, error) {
		c, err := d.open(auditTimeout)
		if err != nil {
			return listing{}, err
		}
		defer c.close()
		return listMetadata(ctx, c, "/api/v1/namespaces/"+l.namespace+"/configmaps", l.selector())
	}}
}

// compare adds to the account what one API server's list says.
func (l *Ledger) compare(vantage string, found listing, account *record.Audit) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if version, err := strconv.ParseUint(found.version, 10, 64); err != nil || version < l.highest {
		account.Backwards = append(account.Backwards,
			fmt.Sprintf("%s: lists at version %q, acknowledged up to %d", vantage, found.version, l.highest))
	}
	versions := make(map[int]string, len(found.objects))
	var foreign []string
	for _, o := range found.objects {
		n, ok := l.number(o.name)
		if !ok || n >= len(l.writes) {
			foreign = append(foreign, o.name)
			continue
		}
		versions[n] = o.version
	}
	for n, w := range l.writes {
		if w.state == acknowledged {
			account.Lost = append(account.Lost, l.lost(vantage, n, w, versions)...)
		}
	}
	if len(foreign) > 0 {
		return fmt.Errorf("%s: %w: %d of them, for instance %s", vantage, ErrNeverWritten, len(foreign), foreign[0])
	}
	return nil
}

// lost tells how an acknowledged write is gone; empty when it is there.
func (l *Ledger) lost(vantage string, n int, w entry, versions map[int]string) []string {
	version, exists := versions[n]
	switch {
	case !exists:
		return []string{fmt.Sprintf("%s (through %s)", l.name(n), vantage)}
	case version != strconv.FormatUint(w.version, 10):
		return []string{fmt.Sprintf("%s (through %s: version %s, acknowledged as %d)", l.name(n), vantage, version, w.version)}
	default:
		return nil
	}
}

// clear deletes the objects, in shards side by side: an API server deletes a
// collection one by one. A collection that takes longer than the server's
// time for a request is continued by the next.
func (l *Ledger) clear(ctx context.Context, d door) error {
	d.width = 1
	c, err := d.open(auditTimeout)
	if err != nil {
		return err
	}
	defer c.close()
	group, ctx := errgroup.WithContext(ctx)
	for shard := range shards {
		group.Go(func() error {
			return clusters.Await(ctx, auditPause, "the deletion of the writes", func(ctx context.Context) error {
				return l.clearShard(ctx, c, shard)
			})
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("delete the ledger's objects in namespace %s: %w", l.namespace, err)
	}
	return nil
}

func (l *Ledger) clearShard(ctx context.Context, c *caller, shard int) error {
	ctx, cancel := context.WithTimeout(ctx, auditTimeout)
	defer cancel()
	query := l.selector() + "%2C" + shardLabel + "%3D" + strconv.Itoa(shard)
	r := c.ask(http.MethodDelete, "/api/v1/namespaces/"+l.namespace+"/configmaps", query, mediaMetadataList)
	a, err := c.do(ctx, r, nil)
	if err != nil {
		return err
	}
	defer a.free()
	if o := a.outcome(); o.way != record.Up {
		return &refusalError{way: o.way, detail: o.detail}
	}
	return nil
}

// Backwards tells so far of versions that went back, without asking anybody.
func (l *Ledger) Backwards() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.backwards)
}
