package probe

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"faultline/clusters"
)

// keyPrefix is before every key of the probes in an etcd without Kubernetes.
const keyPrefix = "/faultline/"

// store asks one member of an etcd without Kubernetes. It does without the client's
// repetitions, which would hide in which way a member is down.
type store struct {
	cluster *clusters.Cluster
	member  clusters.Instance
}

func (s store) kv(ctx context.Context) (etcdserverpb.KVClient, error) {
	client, err := s.cluster.EtcdClient(ctx, s.member)
	if err != nil {
		return nil, err
	}
	return etcdserverpb.NewKVClient(client.ActiveConnection()), nil
}

// addStore makes the probes of an etcd without Kubernetes. The store is one thing, seen
// through each member: its samples are shared among them.
func (s *Set) addStore(c *clusters.Cluster) {
	members := c.EtcdMembers()
	shared := s.opts.Interval * time.Duration(len(members))
	for _, m := range members {
		through := store{c, m}
		s.add(s.timeline(Put, m.Unique(), shared), (&putter{through, s.clock, s.ledger}).take)
		s.add(s.timeline(LinearizableRead, m.Unique(), shared), through.reading(false))
		s.add(s.timeline(SerializableRead, m.Unique(), shared), through.reading(true))
	}
}

// putter writes one small key a sample, of a name that is never used twice.
type putter struct {
	store
	clock  Clock
	ledger *Ledger
}

func (p *putter) take(ctx context.Context) outcome {
	kv, err := p.kv(ctx)
	if err != nil {
		return failed(err)
	}
	t := p.ledger.begin()
	answer, err := kv.Put(ctx, &etcdserverpb.PutRequest{
		Key: []byte(keyPrefix + p.ledger.name(t.number)), Value: []byte(strconv.Itoa(t.number)),
	})
	if err != nil {
		p.ledger.giveUp(t)
		return failed(err)
	}
	p.ledger.acknowledge(t, uint64(answer.Header.Revision), p.clock.Now(), p.member.Unique())
	return up
}

// reading reads a key that need not exist: that the store answers is what counts.
func (s store) reading(serializable bool) taker {
	return func(ctx context.Context) outcome {
		kv, err := s.kv(ctx)
		if err != nil {
			return failed(err)
		}
		_, err = kv.Range(ctx, &etcdserverpb.RangeRequest{Key: []byte(keyPrefix + anchor), Serializable: serializable})
		if err != nil {
			return failed(err)
		}
		return up
	}
}

// keys are those of the ledger's writes, as a range.
func (l *Ledger) keys() (from, to []byte) {
	prefix := keyPrefix + "w-" + l.id + "-"
	return []byte(prefix), []byte(clientv3.GetPrefixRangeEnd(prefix))
}

// witness tells what the member has of the ledger's writes. It asks the majority, so that
// is everything.
func (s store) witness(l *Ledger) witness {
	return witness{s.member.Unique(), func(ctx context.Context) (listing, error) {
		kv, err := s.kv(ctx)
		if err != nil {
			return listing{}, err
		}
		from, to := l.keys()
		answer, err := kv.Range(ctx, &etcdserverpb.RangeRequest{Key: from, RangeEnd: to, KeysOnly: true})
		if err != nil {
			return listing{}, err
		}
		all := listing{version: strconv.FormatInt(answer.Header.Revision, 10)}
		for _, kv := range answer.Kvs {
			all.objects = append(all.objects, object{
				name: string(kv.Key[len(keyPrefix):]), version: strconv.FormatInt(kv.ModRevision, 10),
			})
		}
		return all, nil
	}}
}

// clearKeys deletes the ledger's keys.
func (l *Ledger) clearKeys(ctx context.Context, s store) error {
	kv, err := s.kv(ctx)
	if err == nil {
		from, to := l.keys()
		_, err = kv.DeleteRange(ctx, &etcdserverpb.DeleteRangeRequest{Key: from, RangeEnd: to})
	}
	if err != nil {
		return fmt.Errorf("delete the ledger's keys through %s: %w", s.member, err)
	}
	return nil
}
