package launcher

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestAnsweringManager: one that hangs holds up for as long as it takes to see it, one that has ended not at all; one that is only late is taken if there is no other.
func TestAnsweringManager(t *testing.T) {
	hang := make(chan struct{})
	serve := func(id string, h http.HandlerFunc) NodeInfo {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		return NodeInfo{ID: id, Role: "manager", Metrics: strings.TrimPrefix(s.URL, "http://"), Alive: true}
	}
	paused := serve("g1", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	})
	t.Cleanup(func() { close(hang) }) // before its server is closed, which waits for it
	asked := 0
	late := serve("g2", func(_ http.ResponseWriter, r *http.Request) {
		if asked++; asked == 1 {
			<-r.Context().Done()
		}
	})
	quick := serve("g3", func(http.ResponseWriter, *http.Request) {})
	ended, starting := quick, quick
	ended.Alive, starting.Metrics = false, ""
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, c := range []struct {
		nodes []NodeInfo
		want  string
	}{
		{[]NodeInfo{{ID: "m1", Role: "mcomponent", Alive: true, Metrics: quick.Metrics}, ended, starting, quick}, "g3"},
		{[]NodeInfo{paused, quick}, "g3"},
		{[]NodeInfo{late}, "g2"},
	} {
		if n, err := AnsweringManager(t.Context(), client, "blue", c.nodes); err != nil || n.ID != c.want || n.Metrics == "" {
			t.Errorf("%v, %v, want %s", n, err, c.want)
		}
	}
	if _, err := AnsweringManager(t.Context(), client, "blue", []NodeInfo{ended}); err == nil || err.Error() != "no manager of cluster blue answers: g3 has ended" {
		t.Errorf("%v, want that g3 has ended", err)
	}
}
