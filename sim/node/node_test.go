package node

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"splitkernel/configs"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// laptop gives the configuration of one of laptop's nodes as the launcher writes it.
func laptop(t *testing.T, id string, set ...string) *Config {
	t.Helper()
	c, err := configs.LoadCluster("laptop", configs.Overrides{Set: set})
	if err != nil {
		t.Fatal(err)
	}
	cfg := &Config{ClusterID: "laptop-1", Node: c.Resolve(id), DataDir: t.TempDir(), RuntimeDir: t.TempDir()}
	for _, n := range c.Nodes {
		role, _ := configs.ParseRole(n.Role)
		cfg.Peers = append(cfg.Peers, Peer{wire.NodeID(n.ID), role, "inproc:" + n.ID})
	}
	return cfg
}

// TestConfigurationsSurviveTheFile: every role's settings arrive as they were resolved.
func TestConfigurationsSurviveTheFile(t *testing.T) {
	for _, id := range []string{"g1", "p1", "m1", "s1"} {
		cfg := laptop(t, id, "mcomponent.memory_bytes=8MiB", "nodes.p1.cores=3", "token=secret")
		path := filepath.Join(t.TempDir(), "node.json")
		if err := WriteConfig(path, cfg); err != nil {
			t.Fatal(err)
		}
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("mode %v (%v), want 0600: it holds the token", st.Mode(), err)
		}
		got, err := ReadConfig(path)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, cfg) {
			t.Errorf("%s is read as\n%+v\nwant\n%+v", id, got, cfg)
		}
	}
}

// placing is a component that takes long payloads into memory of its own.
type placing struct {
	netlayer.Handler
	room     []byte
	unplaced int
}

func (p *placing) Place(_ *netlayer.Request, n int) [][]byte { return [][]byte{p.room[:n]} }
func (p *placing) Unplace(*netlayer.Request)                 { p.unplaced++ }

// TestLongPayloadsGoToTheComponent: what stands between the server of a node and its component lets a component say where pages go, or else they are copied.
func TestLongPayloadsGoToTheComponent(t *testing.T) {
	c := &placing{room: make([]byte, 2*wire.PageSize)}
	var h netlayer.Handler = &mux{part: &part{handler: c}}
	p, ok := h.(netlayer.Placer)
	if !ok {
		t.Fatal("the server of a node does not ask its component where pages go")
	}
	if b := p.Place(&netlayer.Request{}, len(c.room)); len(b) != 1 || &b[0][0] != &c.room[0] {
		t.Error("pages do not go where the component wants them")
	}
	if p.Unplace(&netlayer.Request{}); c.unplaced != 1 {
		t.Error("the component did not hear that pages did not come")
	}
	if b := (&mux{part: &part{handler: struct{ netlayer.Handler }{}}}).Place(&netlayer.Request{}, 1); b != nil {
		t.Error("there is a place at a component that gives none")
	}
}

func TestForeignConfigurationsAreRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.json")
	if err := os.WriteFile(path, []byte(`{"ClusterID": "x", "Colour": "blue"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadConfig(path); err == nil || !strings.Contains(err.Error(), "not the configuration of a node of this version") {
		t.Errorf("unknown field: %v", err)
	}
	if _, err := ReadConfig(path + ".missing"); err == nil {
		t.Error("a missing file is read")
	}
}

func TestPeersOfANode(t *testing.T) {
	cfg := laptop(t, "m2")
	if self, err := cfg.Self(); err != nil || self.ID != "m2" || self.Role != wire.RoleMemory {
		t.Errorf("self %+v (%v), want m2", self, err)
	}
	if ms := cfg.Managers(); len(ms) != 3 || ms[0].ID != "g1" {
		t.Errorf("managers %+v, want g1 to g3", ms)
	}
	cfg.Peers = cfg.Peers[:1]
	if _, err := cfg.Self(); err == nil {
		t.Error("a node that is not among its peers knows its address")
	}
}

// TestAServerHasTheWorkersThatItsRoleNeeds: with fewer, requests that wait for each other would stand still.
func TestAServerHasTheWorkersThatItsRoleNeeds(t *testing.T) {
	few := laptop(t, "p1", "netlayer.server.workers=1").Node.Netlayer.Server.Workers
	for _, id := range []string{"g1", "m1"} {
		if n := laptop(t, id, "netlayer.server.workers=1").Node.Netlayer.Server.Workers; n <= few {
			t.Errorf("%s has %d workers, want more than the %d that the file says", id, n, few)
		}
	}
}

func TestAnOrphanIsTold(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	r, w := io.Pipe()
	watchParent(r, cancel)
	if _, err := w.Write([]byte("ignored")); err != nil {
		t.Fatal(err)
	}
	if ctx.Err() != nil {
		t.Error("told while the launcher lives")
	}
	w.Close()
	<-ctx.Done()
	if !errors.Is(context.Cause(ctx), errOrphan) {
		t.Errorf("cause %v, want that the launcher has died", context.Cause(ctx))
	}
}

// echo is a component that answers everything.
type echo struct{ served *[]wire.Op }

func (echo) Inline(wire.Op) bool { return true }

func (e echo) Serve(_ context.Context, req *netlayer.Request, _ *netlayer.Reply) error {
	*e.served = append(*e.served, req.Op)
	return nil
}

// TestTheMuxAnswersForTheNode asks over a connection, as others do.
func TestTheMuxAnswersForTheNode(t *testing.T) {
	cfg := laptop(t, "m1")
	var served []wire.Op
	pt := &part{handler: echo{&served}, counters: func() []wire.Counter { return nil }}
	stats := wire.NodeStatsRep{Node: "m1", Role: wire.RoleMemory, Epoch: 7, Counters: []wire.Counter{{Name: "fetches", Value: 3}}}
	m := &mux{part: pt, stats: func() wire.NodeStatsRep { return stats }}
	if m.Inline(wire.OpNodeStats) || !m.Inline(wire.OpMiss) {
		t.Error("counting must not be inline, and a miss must be as the component says")
	}
	l, err := netlayer.Listen("inproc:node-test")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- netlayer.NewServer(m, cfg.serverOptions(nil)).Serve(ctx, l) }()
	peer := netlayer.NewPeer("inproc:node-test", cfg.peerOptions(nil))
	var got wire.NodeStatsRep
	if err := peer.Control(ctx, wire.OpNodeStats, 0, &wire.NodeStatsReq{}, &got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, stats) {
		t.Errorf("stats %+v, want %+v", got, stats)
	}
	if err := peer.Control(ctx, wire.OpOwners, 0, &wire.OwnersReq{}, nil); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := errors.Join(<-done, peer.Close()); err != nil {
		t.Error(err)
	}
	if len(served) != 1 || served[0] != wire.OpOwners {
		t.Errorf("the component served %v, want its own operation only", served)
	}
}

// TestMonitorForOthers: an address that other machines reach serves no profiles; one that is taken is told.
func TestMonitorForOthers(t *testing.T) {
	m, err := newMonitor("0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	m.serve(nil, nil, nil)
	for _, page := range []string{"/debug/pprof/cmdline", "/links"} {
		if code, _ := fetch(t, m, page); code != 404 {
			t.Errorf("%s gives %d, want 404", page, code)
		}
	}
	if code, _ := fetch(t, m, "/healthz"); code != 200 {
		t.Errorf("/healthz gives %d", code)
	}
	if other, err := newMonitor(m.addr()); err == nil || !strings.Contains(err.Error(), "http_listen") {
		t.Errorf("a taken address: %v, %v", other, err)
	}
	if err := m.close(); err != nil {
		t.Error(err)
	}
}

// TestLogLevel: the level of the log is told, and changed by who may.
func TestLogLevel(t *testing.T) {
	m, err := newMonitor("")
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	var level slog.LevelVar
	var epoch atomic.Uint32
	epoch.Store(7)
	log := slog.New(epochHandler{slog.NewJSONHandler(&text, nil), &epoch, &level}).With("node", "m1")
	m.level = logLevels(&level, "secret", log)
	m.serve(nil, nil, nil)
	ask := func(method, body string, header ...string) (int, string) {
		t.Helper()
		q, err := http.NewRequest(method, "http://"+m.addr()+LogLevelPath, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		q.Close = true
		for i := 0; i < len(header); i += 2 {
			if q.Header.Set(header[i], header[i+1]); header[i] == "Host" {
				q.Host = header[i+1]
			}
		}
		res, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		answer, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, strings.TrimSpace(string(answer))
	}
	token := []string{"Authorization", "Bearer secret"}
	for _, c := range []struct {
		name, method, body string
		header             []string
		code               int
		answer             string
		level              slog.Level // after it
	}{
		{"ask", "GET", "", token, 200, `{"level":"info"}`, slog.LevelInfo},
		{"no token", "PUT", `{"level":"debug"}`, nil, 401, "the cluster has a token", slog.LevelInfo},
		{"a web page", "PUT", `{"level":"debug"}`, append([]string{"Origin", "http://127.0.0.1"}, token...), 403, "no web page", slog.LevelInfo},
		{"a name that points here", "PUT", `{"level":"debug"}`, append([]string{"Host", "evil.example"}, token...), 403, "loopback", slog.LevelInfo},
		{"no level", "PUT", `{"level":"loud"}`, token, 400, `log level "loud", want one of debug, info, warn, error`, slog.LevelInfo},
		{"no body", "PUT", "", token, 400, `want a body such as {"level":"debug"}`, slog.LevelInfo},
		{"another key", "PUT", `{"level":"debug","x":1}`, token, 400, "want a body", slog.LevelInfo},
		{"another method", "POST", `{"level":"debug"}`, token, 405, "want GET or PUT", slog.LevelInfo},
		{"less", "PUT", `{"level":"error"}`, token, 200, `{"level":"error"}`, slog.LevelError},
		{"more", "PUT", `{"level":"debug"}`, token, 200, `{"level":"debug"}`, slog.LevelDebug},
	} {
		code, answer := ask(c.method, c.body, c.header...)
		if code != c.code || !strings.Contains(answer, c.answer) || level.Level() != c.level {
			t.Errorf("%s: %d %s, level %s, want %d %s, level %s", c.name, code, answer, level.Level(), c.code, c.answer, c.level)
		}
	}
	log.Debug("seen")
	level.Set(slog.LevelWarn)
	log.Info("not seen")
	for _, want := range []string{`"msg":"log level","node":"m1","level":"error","was":"info","member_epoch":7`, `"level":"debug","was":"error"`, `"msg":"seen"`} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %s in the log:\n%s", want, text.String())
		}
	}
	if strings.Contains(text.String(), "not seen") {
		t.Errorf("what is below the level is written:\n%s", text.String())
	}
	if err := m.close(); err != nil {
		t.Error(err)
	}
}

func TestMonitor(t *testing.T) {
	m, err := newMonitor("")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.close(); err != nil {
		t.Errorf("close before serve: %v", err)
	}
	if m, err = newMonitor(""); err != nil {
		t.Fatal(err)
	}
	m.serve(func(w io.Writer) { io.WriteString(w, "more 1\n") }, http.NotFoundHandler(), func() []netlayer.LinkUse {
		return []netlayer.LinkUse{{Addr: "unix:/m1.sock", In: 3, Out: 4}}
	})
	if code, body := fetch(t, m, "/links"); code != 200 || string(body) != `[{"addr":"unix:/m1.sock","in":3,"out":4}]`+"\n" {
		t.Errorf("/links gives %d %s", code, body)
	}
	if code, _ := fetch(t, m, "/readyz"); code != 503 {
		t.Errorf("/readyz of a starting node gives %d, want 503", code)
	}
	m.ready.Store(true)
	if code, _ := fetch(t, m, "/readyz"); code != 200 {
		t.Errorf("/readyz gives %d, want 200", code)
	}
	_, body := fetch(t, m, "/metrics")
	if !bytes.Contains(body, []byte("\nsplitkernel_node_ready 1\n")) || !bytes.HasSuffix(body, []byte("\nmore 1\n")) {
		t.Errorf("/metrics gives\n%s", body)
	}
	if code, _ := fetch(t, m, "/debug/pprof/cmdline"); code != 200 {
		t.Errorf("pprof gives %d", code)
	}
	if code, _ := fetch(t, m, "/api/v1/status"); code != 404 {
		t.Errorf("the API gives %d", code)
	}
	if err := m.close(); err != nil {
		t.Error(err)
	}
}
