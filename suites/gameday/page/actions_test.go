package page

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestActionsAreDone(t *testing.T) {
	d := startDay(t)
	expect(t, d.post("/approve", `{"experiment": "e1"}`), http.StatusNoContent, "")
	expect(t, d.post("/skip", `{"experiment": "e2"}`), http.StatusNoContent, "")
	expect(t, d.post("/note", `{"text": "<b>seen</b>"}`), http.StatusNoContent, "")
	expect(t, d.post("/abort", `{"reason": "customers called"}`), http.StatusNoContent, "")
	expect(t, d.post("/abort", `{}`), http.StatusNoContent, "")
	expect(t, d.post("/abort", `{"reason": " "}`), http.StatusNoContent, "")
	want := []string{"approve e1", "skip e2", "note: <b>seen</b>", "abort: customers called", "abort: Abort was pressed on the page", "abort: Abort was pressed on the page"}
	if got := d.calls(); !slices.Equal(got, want) {
		t.Errorf("done was %q, want %q", got, want)
	}
}

func TestErrorsOfActionsAreTold(t *testing.T) {
	d := startDay(t)
	d.refuse(errors.New("it is over already"))
	expect(t, d.post("/approve", `{"experiment": "e1"}`), http.StatusConflict, "it is over already")
	expect(t, d.post("/skip", `{"experiment": "e1"}`), http.StatusConflict, "it is over already")
	expect(t, d.post("/note", `{"text": "seen"}`), http.StatusConflict, "it is over already")
}

func TestMalformedRequestsAreRefused(t *testing.T) {
	d := startDay(t)
	for _, path := range []string{"/approve", "/skip", "/abort", "/note"} {
		for body, text := range map[string]string{
			``: "not understood", `no JSON`: "not understood", `[]`: "not understood", `{"experiment": 1, "reason": 1, "text": 1}`: "not understood",
			`{"more": "of it"}`: "unknown field",
			`{} {}`:             "something follows", `{} }`: "something follows",
		} {
			expect(t, d.post(path, body), http.StatusBadRequest, text)
		}
		expect(t, d.post(path, `{}`+strings.Repeat(" ", maxBody)), http.StatusRequestEntityTooLarge, "more than 32768 bytes")
	}
	for _, path := range []string{"/approve", "/skip"} {
		expect(t, d.post(path, `{}`), http.StatusBadRequest, "names no experiment")
		expect(t, d.post(path, `null`), http.StatusBadRequest, "names no experiment")
	}
	if calls := d.calls(); len(calls) > 0 {
		t.Errorf("done was %q", calls)
	}
}

// Length is counted in characters, however many bytes they take.
func TestNotesHaveALength(t *testing.T) {
	d := startDay(t)
	for _, character := range []string{"a", "ä", `\ud83d\ude00`} {
		expect(t, d.post("/note", `{"text": "`+strings.Repeat(character, maxText)+`"}`), http.StatusNoContent, "")
		expect(t, d.post("/note", `{"text": "`+strings.Repeat(character, maxText+1)+`"}`), http.StatusBadRequest, "2001 characters")
	}
	for _, body := range []string{`{}`, `{"text": ""}`, `{"text": " \n\t"}`} {
		expect(t, d.post("/note", body), http.StatusBadRequest, "empty")
	}
	expect(t, d.post("/abort", `{"reason": "`+strings.Repeat("a", maxText+1)+`"}`), http.StatusBadRequest, "2001 characters")
	if calls := d.calls(); len(calls) != 3 {
		t.Errorf("%d notes were taken, want 3", len(calls))
	}
}
