package cli

import (
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"splitkernel/sim/dashboard"
)

// pressButtons presses those of the page of a cluster that is up, as the page does, and serves a second page at its address.
func pressButtons(t *testing.T, dir, address string) {
	t.Helper()
	at, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	token, ok := strings.CutPrefix(at.Fragment, "token=")
	if !ok {
		t.Fatalf("the page with control is at %s, want a token", address)
	}
	for _, c := range []struct {
		do, body string
		status   int
		want     string
	}{
		{"drain", `{"node":"s1"}`, 409, "s1 is the last active sComponent"},
		{"undrain", `{"node":"s1"}`, 200, "s1 is open again"},
		{"drain", `{"node":"s9"}`, 409, "s9"},
		{"add", `{"role":"king"}`, 409, "king"},
		{"fault", `{"fault":"pause s1 for 10ms"}`, 200, "was stopped"},
		{"fault", `{"fault":"explode s1"}`, 409, "explode"},
		{"kill", `{"node":"g9"}`, 409, "g9"},
		{"heal", `{}`, 200, "faults were ended"},
	} {
		q, err := http.NewRequest("POST", "http://"+at.Host+"/control/"+c.do, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		q.Header = http.Header{"Origin": {"http://" + at.Host}, dashboard.TokenHeader: {token}, "Content-Type": {"application/json"}}
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
		res, err := client.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != c.status || !strings.Contains(string(text), c.want) {
			t.Errorf("%s %s: %d %s (%v), want %d with %q", c.do, c.body, res.StatusCode, text, err, c.status, c.want)
		}
	}
	execute(t, dir, "up", "--cluster", small(t), "--name", "green", "--out", filepath.Join(dir, "green"), "--dashboard="+at.Host).want(t, exitFailed, at.Host+" is taken")
	execute(t, dir, "run", sample(t), "--on", "blue", "--dashboard="+at.Host).want(t, exitFailed, at.Host+" is taken")
}
