package probe

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Ledger knows every write that was attempted, which of them the cluster
// acknowledged, and what each watch delivered: what the cluster must not forget.
type Ledger struct {
	namespace string
	id        string // of this ledger, in the objects' label and names

	mu        sync.Mutex
	writes    []entry
	highest   uint64 // acknowledged resource version
	backwards []string
	watches   []*delivery
}

type entry struct {
	state   entryState
	version uint64
	at      time.Duration // of the acknowledgement
}

type entryState uint8

const (
	inFlight entryState = iota
	acknowledged
	unknown // without an acknowledgement: it may or may not have been written
	forgone // acknowledged, and newer than the backup that was restored since
)

// delivery is what one watch has delivered, by number of the write.
type delivery struct {
	vantage string
	seen    []bool
	settled int // all writes below are delivered or need not be
}

// ticket is one attempted write.
type ticket struct {
	number int
	// floor is the highest version acknowledged before the write was sent: its
	// own has to be higher.
	floor uint64
}

// Labels of the ledger's objects.
const (
	ledgerLabel = "faultline/ledger"
	shardLabel  = "faultline/shard"
	// shards are deleted side by side. Each waits for etcd's disk most of the time.
	shards = 32
)

func newLedger(namespace string) *Ledger {
	var id [4]byte
	rand.Read(id[:]) // never fails
	return &Ledger{namespace: namespace, id: hex.EncodeToString(id[:])}
}

// name is the name of a write's object.
func (l *Ledger) name(number int) string { return fmt.Sprintf("w-%s-%06d", l.id, number) }

// number is the reverse of name.
func (l *Ledger) number(name string) (int, bool) {
	digits, ok := strings.CutPrefix(name, "w-"+l.id+"-")
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(digits)
	return n, err == nil && n >= 0
}

// selector is the query that selects the ledger's objects.
func (l *Ledger) selector() string { return "labelSelector=" + ledgerLabel + "%3D" + l.id }

// begin takes down that a write is about to be sent.
func (l *Ledger) begin() ticket {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writes = append(l.writes, entry{})
	return ticket{number: len(l.writes) - 1, floor: l.highest}
}

// acknowledge takes down the server's promise.
func (l *Ledger) acknowledge(t ticket, version uint64, at time.Duration, vantage string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writes[t.number] = entry{state: acknowledged, version: version, at: at}
	l.highest = max(l.highest, version)
	if version <= t.floor {
		l.blame(fmt.Sprintf("%s: acknowledged %s as version %d after version %d", vantage, l.name(t.number), version, t.floor))
	}
}

// blame remembers a version that went back; a few tell as much as all.
func (l *Ledger) blame(what string) {
	if len(l.backwards) < 20 {
		l.backwards = append(l.backwards, what)
	}
}

// giveUp takes down that nobody knows what became of the write.
func (l *Ledger) giveUp(t ticket) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writes[t.number].state = unknown
}

// Forgo takes down that a backup is restored which has nothing newer than a version: what
// was acknowledged since is lost, as has to be. It returns how many writes that are.
func (l *Ledger) Forgo(version uint64) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for i, w := range l.writes {
		if w.state == acknowledged && w.version > version {
			l.writes[i].state = forgone
			n++
		}
	}
	return n
}

// Attempted is the number of writes that were sent.
func (l *Ledger) Attempted() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.writes)
}

// Acknowledged is the number of writes that the cluster promised to keep.
func (l *Ledger) Acknowledged() int { return l.count(acknowledged) }

func (l *Ledger) count(state entryState) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, w := range l.writes {
		if w.state == state {
			n++
		}
	}
	return n
}

// watch registers a watch that has to deliver every acknowledged write.
func (l *Ledger) watch(vantage string) *delivery {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := &delivery{vantage: vantage}
	l.watches = append(l.watches, d)
	return d
}

// delivered takes down that a watch showed an object.
func (l *Ledger) delivered(d *delivery, name string) {
	number, ok := l.number(name)
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if number >= len(l.writes) {
		return // never attempted: the audit finds it
	}
	if missing := number + 1 - len(d.seen); missing > 0 {
		d.seen = slices.Grow(d.seen, missing)[:number+1]
	}
	d.seen[number] = true
}

// overdue finds a write that was acknowledged before the instant and that the
// watch has not delivered.
func (l *Ledger) overdue(d *delivery, before time.Duration) (name string, since time.Duration, found bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for d.settled < len(l.writes) && l.settledFor(d, d.settled) {
		d.settled++
	}
	for n := d.settled; n < len(l.writes); n++ {
		if !l.settledFor(d, n) && l.writes[n].state == acknowledged && l.writes[n].at < before {
			return l.name(n), l.writes[n].at, true
		}
	}
	return "", 0, false
}

// settledFor tells whether nothing is to be expected of the watch for the
// write. The caller holds the lock.
func (l *Ledger) settledFor(d *delivery, n int) bool {
	return l.writes[n].state == unknown || l.writes[n].state == forgone || n < len(d.seen) && d.seen[n]
}

// missed counts the acknowledged writes that some watch has not delivered.
func (l *Ledger) missed() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for number, w := range l.writes {
		if w.state == acknowledged && slices.ContainsFunc(l.watches, func(d *delivery) bool { return !l.settledFor(d, number) }) {
			n++
		}
	}
	return n
}
