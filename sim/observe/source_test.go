package observe

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"splitkernel/gmanagers/httpapi"
	"splitkernel/sim/launcher"
)

// TestAnotherManagerIsAsked: the managers' books are asked of one that lives, as long as it answers; then another is chosen, and the next question is answered.
func TestAnotherManagerIsAsked(t *testing.T) {
	var nodes []launcher.NodeInfo
	servers := map[string]*httptest.Server{}
	for _, id := range []string{"g1", "g2", "g3"} {
		mux := http.NewServeMux()
		mux.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
		mux.HandleFunc(httpapi.Prefix+"/status", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(`{"cluster":"` + id + `"}`)) })
		mux.HandleFunc(httpapi.Prefix+"/moves", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(`{"moves":[]}`)) })
		s := httptest.NewServer(mux)
		t.Cleanup(s.Close)
		servers[id] = s
		nodes = append(nodes, launcher.NodeInfo{ID: id, Role: "manager", Metrics: strings.TrimPrefix(s.URL, "http://"), Alive: true})
	}
	nodes = append(nodes, launcher.NodeInfo{ID: "m1", Role: "mcomponent", Metrics: "127.0.0.1:1", Alive: true})
	src := sourceOf("", func(context.Context) (*launcher.Look, error) {
		return &launcher.Look{State: launcher.State{Name: "blue", Nodes: nodes}}, nil
	})
	defer src.Close()
	round := func() (string, error) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if _, err := src.Look(ctx); err != nil {
			t.Fatal(err)
		}
		b, err := src.Books(ctx, 0)
		if err != nil {
			return "", err
		}
		return b.Status.Cluster, nil
	}
	want := func(id string) {
		t.Helper()
		for range 2 { // and stays with it
			if got, err := round(); err != nil || got != id {
				t.Fatalf("%q answers, %v, want %s", got, err, id)
			}
		}
	}
	want("g1")
	servers["g1"].CloseClientConnections()
	servers["g1"].Close()
	if got, err := round(); err == nil {
		t.Fatalf("%s answers for g1, which has just died", got)
	}
	want("g2")
	nodes[1].Alive = false // its owner says so: it is not even asked
	want("g3")
	servers["g3"].CloseClientConnections()
	servers["g3"].Close()
	if got, err := round(); err == nil {
		t.Fatalf("%s answers for g3, which has just died", got)
	}
	if got, err := round(); err == nil || !strings.Contains(err.Error(), "no manager of cluster blue answers: ") || !strings.Contains(err.Error(), "g2 has ended") {
		t.Fatalf("%q answers, %v, want that none does", got, err)
	}
	nodes[1].Alive = true
	want("g2")
}
