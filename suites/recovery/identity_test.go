package recovery

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"testing"

	"k8s.io/client-go/rest"
)

// serverOf accepts one token, and returns who may ask it: with that token, and trusting it.
func serverOf(t *testing.T, token string) *rest.Config {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api" || r.Header.Get("Authorization") != "Bearer "+token {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	t.Cleanup(server.Close)
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return &rest.Config{Host: server.URL, BearerToken: token, TLSClientConfig: rest.TLSClientConfig{CAData: authority}}
}

func TestWhoIsAnswered(t *testing.T) {
	known := serverOf(t, "good")
	unknown := rest.CopyConfig(known)
	unknown.BearerToken = "bad"
	_, other, err := keyPair()
	if err != nil {
		t.Fatal(err)
	}
	nowhere := rest.CopyConfig(known)
	nowhere.Host = "https://127.0.0.1:1"
	for name, c := range map[string]struct {
		who      *rest.Config
		ok       bool
		refused  bool
		stranger bool
	}{
		"who is known":               {known, true, false, false},
		"who is not":                 {unknown, false, true, false},
		"who trusts somebody else":   {trusting(known, other), false, false, true},
		"who finds nobody to ask":    {nowhere, false, false, false},
		"who trusts the right one":   {trusting(trusting(known, other), known.CAData), true, false, false},
		"who is neither, but trusts": {trusting(unknown, known.CAData), false, true, false},
	} {
		for what, held := range map[string]struct{ got, want bool }{
			"accepted":               {answered(c.who, http.StatusOK)(t.Context(), nil) == nil, c.ok},
			"refused":                {answered(c.who, http.StatusUnauthorized)(t.Context(), nil) == nil, c.refused},
			"answered by a stranger": {answeredByAStranger(c.who)(t.Context(), nil) == nil, c.stranger},
		} {
			if held.got != held.want {
				t.Errorf("%s is %s: %t, want %t", name, what, held.got, held.want)
			}
		}
	}
}
