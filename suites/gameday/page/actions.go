package page

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"unicode/utf8"
)

const (
	maxText = 2000     // characters of a note or a reason
	maxBody = 32 << 10 // bytes of a request: the longest text, with every character escaped
)

// Actions is what people may do. Errors are shown to them.
type Actions interface {
	// Approve lets the experiment that waits break something.
	Approve(experiment string) error
	// Skip leaves the experiment that waits out.
	Skip(experiment string) error
	// Abort undoes everything at once. It should return before that is done.
	Abort(reason string)
	// Note keeps what somebody wrote down.
	Note(text string) error
}

// The bodies of requests. What check returns is for the people at the page.
type (
	decision struct {
		Experiment string `json:"experiment"`
	}
	abort struct {
		Reason string `json:"reason"`
	}
	note struct {
		Text string `json:"text"`
	}
)

func (d decision) check() error {
	if d.Experiment == "" {
		return errors.New("the request names no experiment")
	}
	return nil
}

func (a abort) check() error { return short(a.Reason) }

// reason is never asked for: an abort must not wait for words.
func (a abort) reason() string {
	return cmp.Or(strings.TrimSpace(a.Reason), "Abort was pressed on the page")
}

func (n note) check() error {
	if strings.TrimSpace(n.Text) == "" {
		return errors.New("the note is empty")
	}
	return short(n.Text)
}

func short(text string) error {
	if n := utf8.RuneCountInString(text); n > maxText {
		return fmt.Errorf("the text has %d characters, and %d at most are kept", n, maxText)
	}
	return nil
}

// post does what a request's body asks for.
func post[T interface{ check() error }](act func(T) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			http.Error(w, fmt.Sprintf("the request cannot be read, or has more than %d bytes: %v", maxBody, err), http.StatusRequestEntityTooLarge)
			return
		}
		body, err := decode[T](text)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if err := act(body); err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
}

// decode takes one JSON value of known fields, and nothing after it.
func decode[T interface{ check() error }](text []byte) (T, error) {
	var body T
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&body); err != nil {
		return body, fmt.Errorf("the request is not understood: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return body, errors.New("the request is not understood: something follows its JSON")
	}
	return body, body.check()
}
