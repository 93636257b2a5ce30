package probe

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"faultline/reports/record"
)

// writer creates one small ConfigMap a sample. Names are never used twice, so
// every success is a new entry of the ledger.
type writer struct {
	clock   Clock
	vantage string
	caller  *caller
	create  request
	ledger  *Ledger
}

func newWriter(clock Clock, d door, ledger *Ledger, timeout time.Duration) (*writer, error) {
	c, err := d.open(timeout)
	if err != nil {
		return nil, err
	}
	query := "fieldValidation=Ignore&" + serverTimeout(timeout)
	create := c.ask(http.MethodPost, "/api/v1/namespaces/"+ledger.namespace+"/configmaps", query, mediaMetadata)
	return &writer{clock: clock, vantage: d.vantage, caller: c, create: create.sending(mediaJSON), ledger: ledger}, nil
}

func (w *writer) take(ctx context.Context) outcome {
	t := w.ledger.begin()
	a, err := w.caller.do(ctx, w.create, w.ledger.manifest(t.number))
	if err != nil {
		w.ledger.giveUp(t)
		return failed(err)
	}
	defer a.free()
	o := a.outcome()
	if o.way != record.Up {
		w.ledger.giveUp(t)
		return o
	}
	version, ok := scanVersion(a.body)
	if a.status != http.StatusCreated || !ok {
		w.ledger.giveUp(t)
		return outcome{way: record.OtherDown, detail: "the answer to a write is no created object: " + statusMessage(a.status, a.body)}
	}
	w.ledger.acknowledge(t, version, w.clock.Now(), w.vantage)
	return up
}

// manifest is the object of a write.
func (l *Ledger) manifest(number int) []byte {
	b := make([]byte, 0, 256)
	b = append(b, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"`...)
	b = append(b, l.name(number)...)
	b = append(b, `","labels":{"`+ledgerLabel+`":"`...)
	b = append(b, l.id...)
	b = append(b, `","`+shardLabel+`":"`...)
	b = strconv.AppendInt(b, int64(number%shards), 10)
	b = append(b, `"}},"data":{"number":"`...)
	b = strconv.AppendInt(b, int64(number), 10)
	return append(b, `"}}`...)
}
