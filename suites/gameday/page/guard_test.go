package page

import (
	"net/http"
	"strings"
	"testing"
)

func TestOnlyTheTokenOpensThePage(t *testing.T) {
	d := startDay(t)
	for _, path := range []string{"/?token=", "/events?token="} {
		expect(t, d.get(path+d.server.token), http.StatusOK, "")
		expect(t, d.get(path+d.server.token[1:]), http.StatusForbidden, "token")
		expect(t, d.get(path), http.StatusForbidden, "token")
		expect(t, d.get(path, "X-Faultline-Token", d.server.token), http.StatusForbidden, "token")
	}
	expect(t, d.get("/"), http.StatusForbidden, "the whole address that the game day printed")
	expect(t, d.get("/other?token="+d.server.token), http.StatusNotFound, "")
}

func TestOnlyTheTokenLetsPeopleAct(t *testing.T) {
	d := startDay(t)
	for _, path := range []string{"/approve", "/skip", "/abort", "/note"} {
		expect(t, d.do(http.MethodPost, path, "{}"), http.StatusForbidden, "token")
		expect(t, d.do(http.MethodPost, path, "{}", "X-Faultline-Token", "wrong"), http.StatusForbidden, "token")
		// A form of another site could send a query, and a link a GET.
		expect(t, d.do(http.MethodPost, path+"?token="+d.server.token, "{}"), http.StatusForbidden, "token")
		expect(t, d.get(path+"?token="+d.server.token), http.StatusMethodNotAllowed, "")
	}
	if calls := d.calls(); len(calls) > 0 {
		t.Errorf("without the token these were done: %q", calls)
	}
}

// A token is new for each server, and long.
func TestTokensAreRandom(t *testing.T) {
	one, other := startDay(t).server, startDay(t).server
	if one.token == other.token || len(one.token) < 26 { // 26 characters of base32 are 130 bits
		t.Errorf("the tokens are %q and %q", one.token, other.token)
	}
	if want := "/?token=" + one.token; !strings.HasSuffix(one.URL(), want) || !strings.HasPrefix(one.URL(), "http://127.0.0.1:") {
		t.Errorf("the address is %s", one.URL())
	}
}

func TestScriptAndStyleAreFree(t *testing.T) {
	d := startDay(t)
	for path, kind := range map[string]string{"/page.js": "text/javascript", "/page.css": "text/css"} {
		answer := d.get(path)
		expect(t, answer, http.StatusOK, "")
		if got := answer.header.Get("Content-Type"); !strings.HasPrefix(got, kind) {
			t.Errorf("%s is %s", path, got)
		}
		if strings.Contains(answer.body, d.server.token) {
			t.Errorf("%s holds the token", path)
		}
	}
}

// Another site's name may lead to this machine: the browser then sends that name as Host.
func TestOtherNamesAreRefused(t *testing.T) {
	d := startDay(t)
	for host, status := range map[string]int{
		"127.0.0.1:1": http.StatusOK, "127.0.0.2": http.StatusOK, "localhost": http.StatusOK, "localhost:8080": http.StatusOK, "[::1]:80": http.StatusOK, "[::1]": http.StatusOK,
		"evil.example": http.StatusForbidden, "evil.example:80": http.StatusForbidden, "localhost.evil.example": http.StatusForbidden,
		"127.0.0.1.evil.example": http.StatusForbidden, "10.0.0.1": http.StatusForbidden, "0.0.0.0": http.StatusForbidden,
	} {
		text := ""
		if status != http.StatusOK {
			text = "not under another name"
		}
		expect(t, d.get("/?token="+d.server.token, "Host", host), status, text)
		expect(t, d.get("/page.js", "Host", host), status, text)
		if status != http.StatusOK {
			expect(t, d.post("/abort", "{}", "Host", host), status, text)
		}
	}
	if calls := d.calls(); len(calls) > 0 {
		t.Errorf("under another name these were done: %q", calls)
	}
}

func TestOtherOriginsAreRefused(t *testing.T) {
	d := startDay(t)
	own := d.server.listener.Addr().String()
	for _, origin := range []string{"http://evil.example", "null", "https://" + own, "http://127.0.0.1:1", "http://" + own + ".evil.example"} {
		expect(t, d.post("/abort", "{}", "Origin", origin), http.StatusForbidden, "another site")
	}
	if calls := d.calls(); len(calls) > 0 {
		t.Errorf("from other sites these were done: %q", calls)
	}
	expect(t, d.post("/abort", "{}", "Origin", "http://"+own), http.StatusNoContent, "")
	expect(t, d.post("/abort", "{}", "Origin", "http://localhost:9000", "Host", "localhost:9000"), http.StatusNoContent, "") // a tunnel
	if calls := d.calls(); len(calls) != 2 {
		t.Errorf("from its own page this was done: %q", calls)
	}
}

func TestAnswersAreSecured(t *testing.T) {
	d := startDay(t)
	for _, answer := range []answer{
		d.get("/?token=" + d.server.token), d.get("/"), d.get("/page.js"), d.get("/events?token=" + d.server.token),
		d.get("/", "Host", "evil.example"), d.post("/abort", "{}"), d.post("/abort", "no JSON"), d.get("/other"),
	} {
		for name, want := range map[string]string{
			"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
		} {
			if got := answer.header.Get(name); got != want {
				t.Errorf("%s: %s is %q", answer.of, name, got)
			}
		}
		policy := answer.header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'; script-src 'self'; style-src 'self'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: the policy is %q", answer.of, policy)
		}
	}
}
