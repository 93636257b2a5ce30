package page

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	interval = 500 * time.Millisecond
	// patience is how long a page may read nothing before its stream ends.
	patience = 10 * time.Second
)

// events streams snapshots until the page goes away or the server is closed.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	stream := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	event := "retry: 1000\n" + s.event()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if err := send(w, stream, event); err != nil {
			return // the page is gone
		}
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
			event = s.event()
		}
	}
}

func send(w io.Writer, stream *http.ResponseController, event string) error {
	if err := stream.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := io.WriteString(w, event); err != nil {
		return err
	}
	return stream.Flush()
}

// event is the snapshot, or why there is none: a page that is not told would look lively and
// be old.
func (s *Server) event() string {
	snapshot, err := json.Marshal(s.snapshot())
	if err != nil { // JSON knows no NaN
		why, _ := json.Marshal(err.Error()) // a string always has a JSON form
		return fmt.Sprintf("event: trouble\ndata: %s\n\n", why)
	}
	return fmt.Sprintf("data: %s\n\n", snapshot)
}
