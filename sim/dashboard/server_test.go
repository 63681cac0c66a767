package dashboard

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"splitkernel/netlayer/wire"
	"splitkernel/sim/observe"
)

// feed publishes what a test gives it.
type feed struct {
	updates chan *observe.Snapshot
	series  []observe.Sample
}

func newFeed() *feed { return &feed{updates: make(chan *observe.Snapshot)} }

func (f *feed) Subscribe() (<-chan *observe.Snapshot, func(), error) {
	return f.updates, func() {}, nil
}
func (f *feed) Series() []observe.Sample { return f.series }

// give has the server take a snapshot.
func (f *feed) give(t *testing.T, s *observe.Snapshot) {
	t.Helper()
	select {
	case f.updates <- s:
	case <-time.After(wait):
		t.Fatal("the server takes no snapshot")
	}
}

// wait bounds what a test waits for.
const wait = 30 * time.Second

// controls remembers what it was asked.
type controls struct {
	mu    sync.Mutex
	asked []Action
	err   error
}

func (c *controls) Do(_ context.Context, a Action) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, a)
	return "done: " + a.Do, c.err
}

// serve runs a server until the test ends.
func serve(t *testing.T, o Options) *Server {
	t.Helper()
	s, err := Listen(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(wait):
			t.Error("the server does not end")
		}
	})
	return s
}

// base is the URL without the token.
func base(s *Server) string {
	url, _, _ := strings.Cut(s.URL(), "#")
	return strings.TrimSuffix(url, "/")
}

// ask makes a request and gives status and body.
func ask(t *testing.T, method, url string, header map[string]string, body string) (int, http.Header, string) {
	t.Helper()
	q, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range header {
		if name == "Host" {
			q.Host = value
			continue
		}
		q.Header.Set(name, value)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: wait}
	res, err := client.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(text)
}

// listener reads the events of a page.
type listener struct {
	t    *testing.T
	body io.ReadCloser
	in   *bufio.Reader
}

func open(t *testing.T, s *Server) *listener {
	t.Helper()
	res, err := http.Get(base(s) + "/events")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%s, %s", res.Status, res.Header.Get("Content-Type"))
	}
	l := &listener{t, res.Body, bufio.NewReaderSize(res.Body, 1<<20)}
	if line, err := l.in.ReadString('\n'); err != nil || !strings.HasPrefix(line, ":") {
		t.Fatalf("the stream begins with %q, %v", line, err)
	}
	return l
}

// next reads one event into out, unless that is nil.
func (l *listener) next(kind string, out any) {
	l.t.Helper()
	for {
		line, err := l.in.ReadString('\n')
		if err != nil {
			l.t.Fatal(err)
		}
		name, is := strings.CutPrefix(strings.TrimSpace(line), "event: ")
		if !is {
			continue
		}
		if name != kind {
			l.t.Fatalf("event %s, want %s", name, kind)
		}
		data, err := l.in.ReadString('\n')
		if err != nil {
			l.t.Fatal(err)
		}
		if out == nil {
			return
		}
		if err := json.Unmarshal([]byte(strings.TrimPrefix(data, "data: ")), out); err != nil {
			l.t.Fatal(err)
		}
		return
	}
}

// snapshot is a cluster of n components of each kind, with events up to a number.
func snapshot(n int, events uint64) *observe.Snapshot {
	s := &observe.Snapshot{
		Time: time.Unix(1_700_000_000, 0).UTC(), Cluster: "test", Nodes: []observe.Node{}, Leaders: []observe.Leader{}, VNodes: []observe.VNode{},
		Links: []observe.Link{}, Owns: []observe.Own{}, Moves: []observe.Move{}, Faults: []observe.Fault{}, Events: []observe.Event{}, Warnings: []string{},
	}
	for _, role := range []string{"pcomponent", "mcomponent", "scomponent"} {
		for i := range n {
			id := fmt.Sprintf("%c%d", role[0], i+1)
			s.Nodes = append(s.Nodes, observe.Node{ID: id, Role: role, State: observe.Up, Addr: "unix:/run/" + id, PID: 1000 + i, Load: &observe.Load{Processors: 2, Capacity: 1 << 26}})
			s.Links = append(s.Links, observe.Link{From: id, To: "m1", BytesPerSec: 1e6})
			s.Owns = append(s.Owns, observe.Own{PID: wire.PID(i + 1), Node: id, Regions: 1})
		}
	}
	for seq := uint64(1); seq <= events; seq++ {
		s.Events = append(s.Events, observe.Event{Seq: seq, Time: s.Time, Text: fmt.Sprintf("event %d <b>", seq)})
	}
	return s
}

// TestAPageGetsAllThenWhatIsNew: the first frame has everything, those after it only new events; one that opens before anything is known waits.
func TestAPageGetsAllThenWhatIsNew(t *testing.T) {
	f := newFeed()
	for range maxPoints + 5 {
		f.series = append(f.series, observe.Sample{FaultsPerSec: float64(len(f.series))})
	}
	s := serve(t, Options{Feed: f})
	early := open(t, s)
	f.give(t, snapshot(2, 3))
	var h hello
	early.next("hello", &h)
	if h.Control || len(h.Samples) != maxPoints || h.Samples[0].FaultsPerSec != 5 || len(h.Snapshot.Events) != 3 || len(h.Snapshot.Nodes) != 6 {
		t.Fatalf("hello: control %t, %d samples from %v, %d events, %d nodes", h.Control, len(h.Samples), h.Samples[0], len(h.Snapshot.Events), len(h.Snapshot.Nodes))
	}
	late := open(t, s)
	late.next("hello", &h)
	f.give(t, snapshot(2, 5))
	for _, l := range []*listener{early, late} {
		var tick observe.Snapshot
		l.next("tick", &tick)
		if len(tick.Events) != 2 || tick.Events[0].Seq != 4 || tick.Events[0].Text != "event 4 <b>" {
			t.Errorf("a tick has the events %v, want 4 and 5", tick.Events)
		}
	}
	f.give(t, snapshot(2, 5))
	var tick observe.Snapshot
	early.next("tick", &tick)
	if tick.Events == nil || len(tick.Events) != 0 {
		t.Errorf("a tick without news has the events %#v, want an empty list", tick.Events)
	}
}

// TestAThousandComponents: a frame of many components arrives whole, with the links that a page draws.
func TestAThousandComponents(t *testing.T) {
	f := newFeed()
	s := serve(t, Options{Feed: f})
	l := open(t, s)
	f.give(t, snapshot(1000, observe.MaxEvents))
	var h hello
	l.next("hello", &h)
	if len(h.Snapshot.Nodes) != 3000 || len(h.Snapshot.Links) != maxLinks || len(h.Snapshot.Events) != observe.MaxEvents {
		t.Fatalf("%d nodes, %d links, %d events", len(h.Snapshot.Nodes), len(h.Snapshot.Links), len(h.Snapshot.Events))
	}
}

// TestAPageThatDoesNotReadIsDropped: it delays nobody, and its place is free again.
func TestAPageThatDoesNotReadIsDropped(t *testing.T) {
	f := newFeed()
	s := serve(t, Options{Feed: f})
	conn, err := net.Dial("tcp", s.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
	reader := open(t, s)
	deadline := time.Now().Add(wait)
	for s.open() < 2 {
		if time.Now().After(deadline) {
			t.Fatal("the page that does not read was not taken")
		}
		time.Sleep(time.Millisecond)
	}
	large := snapshot(1, 0)
	large.Warnings = []string{strings.Repeat("x", 1<<20)} // more than the sockets of a connection hold, in a few frames
	f.give(t, large)
	reader.next("hello", nil)
	for n := 0; s.open() > 1; n++ {
		if time.Now().After(deadline) {
			t.Fatalf("after %d rounds the page that does not read is still served", n)
		}
		f.give(t, large)
		reader.next("tick", nil) // who reads misses nothing
	}
}

// TestPagesAreBounded: one too many is told so.
func TestPagesAreBounded(t *testing.T) {
	s := serve(t, Options{Feed: newFeed()})
	for range MaxPages {
		open(t, s)
	}
	status, header, text := ask(t, "GET", base(s)+"/events", nil, "")
	if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" || !strings.Contains(text, "too many pages") {
		t.Errorf("%d %v %q", status, header, text)
	}
}

// TestOthersAreRefused: a name that leads here, a page elsewhere, a request without the token.
func TestOthersAreRefused(t *testing.T) {
	c := &controls{}
	s := serve(t, Options{Feed: newFeed(), Control: c})
	host := s.listener.Addr().String()
	_, token, _ := strings.Cut(s.URL(), "#token=")
	if len(token) != 32 {
		t.Fatalf("the URL %s has no token", s.URL())
	}
	good := map[string]string{"Origin": "http://" + host, TokenHeader: token, "Content-Type": "application/json"}
	with := func(name, value string) map[string]string {
		h := map[string]string{}
		for k, v := range good {
			h[k] = v
		}
		if h[name] = value; value == "" {
			delete(h, name)
		}
		return h
	}
	for _, c := range []struct {
		name, method, path string
		header             map[string]string
		body               string
		status             int
		text               string
	}{
		{"fine", "POST", "/control/kill", good, `{"node":"m2"}`, 200, `"said":"done: kill"`},
		{"by another name of this machine, over another port", "POST", "/control/heal", map[string]string{"Host": "localhost:81", "Origin": "http://localhost:81", TokenHeader: token, "Content-Type": "application/json"}, `{}`, 200, "done: heal"},
		{"no token", "POST", "/control/kill", with(TokenHeader, ""), `{"node":"m2"}`, 401, "token"},
		{"wrong token", "POST", "/control/kill", with(TokenHeader, strings.Repeat("0", 32)), `{"node":"m2"}`, 401, "token"},
		{"no origin", "POST", "/control/kill", with("Origin", ""), `{"node":"m2"}`, 403, "want it from this page"},
		{"another page", "POST", "/control/kill", with("Origin", "http://evil.example"), `{"node":"m2"}`, 403, "evil.example"},
		{"another port of this machine", "POST", "/control/kill", with("Origin", "http://127.0.0.1:1"), `{"node":"m2"}`, 403, "want it from this page"},
		{"a name of others", "POST", "/control/kill", with("Host", "evil.example"), `{"node":"m2"}`, 421, "DNS rebinding"},
		{"a name of others that looks like one of ours", "GET", "/events", map[string]string{"Host": "127.0.0.1.evil.example"}, "", 421, "DNS rebinding"},
		{"an address of others", "GET", "/", map[string]string{"Host": "192.0.2.1:80"}, "", 421, "DNS rebinding"},
		{"a form", "POST", "/control/kill", with("Content-Type", "text/plain"), `{"node":"m2"}`, 415, "application/json"},
		{"not posted", "GET", "/control/kill", good, "", 404, ""},
		{"unknown action", "POST", "/control/explode", good, `{}`, 404, ""},
		{"unknown key", "POST", "/control/kill", good, `{"node":"m2","twice":true}`, 400, "twice"},
		{"nothing to kill", "POST", "/control/kill", good, `{}`, 400, "node is missing"},
		{"too long", "POST", "/control/fault", good, `{"fault":"` + strings.Repeat("x", maxActionBytes) + `"}`, 400, "too large"},
	} {
		status, _, text := ask(t, c.method, base(s)+c.path, c.header, c.body)
		if status != c.status || !strings.Contains(text, c.text) {
			t.Errorf("%s: %d %q, want %d with %q", c.name, status, text, c.status, c.text)
		}
	}
	if want := []Action{{Do: "kill", Node: "m2"}, {Do: "heal"}}; !reflect.DeepEqual(c.asked, want) {
		t.Errorf("done were %+v, want %+v", c.asked, want)
	}
	c.err = errors.New("m1 has the only copy")
	if status, _, text := ask(t, "POST", base(s)+"/control/kill", good, `{"node":"m1"}`); status != http.StatusConflict || !strings.Contains(text, `"error":"m1 has the only copy"`) {
		t.Errorf("what cannot be done: %d %q", status, text)
	}
}

// TestWithoutControlThereIsNothing behind the buttons, and the URL has no key.
func TestWithoutControlThereIsNothing(t *testing.T) {
	s := serve(t, Options{Feed: newFeed()})
	if strings.Contains(s.URL(), "token") {
		t.Errorf("URL %s", s.URL())
	}
	header := map[string]string{"Origin": base(s), TokenHeader: "", "Content-Type": "application/json"}
	for _, do := range actions {
		if status, _, text := ask(t, "POST", base(s)+"/control/"+do, header, `{"node":"m1"}`); status != http.StatusNotFound {
			t.Errorf("%s: %d %q, want 404", do, status, text)
		}
	}
}

// TestThePageIsFenced: what a browser may do with it, and that it is whole.
func TestThePageIsFenced(t *testing.T) {
	s := serve(t, Options{Feed: newFeed()})
	for path, want := range map[string]string{"/": "text/html", "/app.js": "javascript", "/app.css": "text/css"} {
		status, header, text := ask(t, "GET", base(s)+path, nil, "")
		if status != 200 || !strings.Contains(header.Get("Content-Type"), want) || len(text) < 500 {
			t.Errorf("%s: %d, %s, %d bytes", path, status, header.Get("Content-Type"), len(text))
		}
		if header.Get("Content-Security-Policy") != policy || header.Get("Cache-Control") != "no-store" || header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", path, header)
		}
		if path == "/" && (strings.Contains(text, "//") && strings.Contains(text, "http") || strings.Contains(text, "<style") || strings.Contains(text, "onload")) {
			t.Errorf("the page wants what its policy forbids: %s", text)
		}
	}
}

// TestWhereItMayBe: loopback, unless others were allowed.
func TestWhereItMayBe(t *testing.T) {
	for _, c := range []struct {
		addr   string
		remote bool
		want   string
	}{
		{"127.0.0.1:0", false, ""},
		{"[::1]:80", false, ""},
		{"localhost:0", false, ""},
		{"127.9.9.9:1", false, ""},
		{"0.0.0.0:80", true, ""},
		{"0.0.0.0:80", false, "can be reached from other machines"},
		{":80", false, "can be reached from other machines"},
		{"192.0.2.1:80", false, "--dashboard-remote"},
		{"localhost.evil.example:80", false, "--dashboard-remote"},
		{"8080", false, "want HOST:PORT"},
	} {
		err := CheckAddr(c.addr, c.remote)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%q, remote %t: %v, want %q", c.addr, c.remote, err, c.want)
		}
	}
	s := &Server{o: Options{Remote: true}, host: "box.example"}
	for host, want := range map[string]bool{"192.0.2.7:80": true, "[2001:db8::1]:80": true, "localhost": true, "box.example:80": true, "evil.example:80": false} {
		if s.own(host) != want {
			t.Errorf("a remote server takes Host %s: %t, want %t", host, !want, want)
		}
	}
}

// TestTwoOnOnePort: the second one says so.
func TestTwoOnOnePort(t *testing.T) {
	s, err := Listen(Options{})
	if err != nil {
		t.Fatal(err)
	}
	addr := s.listener.Addr().String()
	if _, err := Listen(Options{Addr: addr}); err == nil || !strings.Contains(err.Error(), addr+" is taken") {
		t.Errorf("a second dashboard at %s: %v", addr, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestThePageKnowsTheTypes: each field that is sent has its name in the page's types, and the other way round.
func TestThePageKnowsTheTypes(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("web", "src", "types.ts"))
	if err != nil {
		t.Fatal(err)
	}
	// What a page does not use.
	unused := map[string]bool{"cluster_id": true}
	for _, typ := range []reflect.Type{
		reflect.TypeFor[hello](), reflect.TypeFor[observe.Snapshot](), reflect.TypeFor[observe.Node](), reflect.TypeFor[observe.Load](), reflect.TypeFor[observe.Leader](),
		reflect.TypeFor[observe.VNode](), reflect.TypeFor[observe.Link](), reflect.TypeFor[observe.Own](), reflect.TypeFor[observe.Move](), reflect.TypeFor[observe.Fault](),
		reflect.TypeFor[observe.Event](), reflect.TypeFor[observe.Sample](),
	} {
		name := strings.ToUpper(typ.Name()[:1]) + typ.Name()[1:]
		_, body, found := strings.Cut(string(text), "export interface "+name+" {\n")
		body, _, ended := strings.Cut(body, "\n}\n")
		if !found || !ended {
			t.Errorf("types.ts has no %s", name)
			continue
		}
		var here []string
		for line := range strings.Lines(body) {
			if field, _, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
				here = append(here, strings.TrimSuffix(field, "?"))
			}
		}
		var there []string
		for i := range typ.NumField() {
			if tag, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ","); !unused[tag] {
				there = append(there, tag)
			}
		}
		if !slices.Equal(here, there) {
			t.Errorf("%s has in types.ts %q and is sent as %q", name, here, there)
		}
	}
}

// TestFramesAreOneLine: what a name contains cannot end a frame early, nor be read as markup in a script.
func TestFramesAreOneLine(t *testing.T) {
	s := snapshot(1, 0)
	s.Nodes[0].ID = "evil\n\nevent: tick\r\n</script>"
	if text := frame("tick", s); bytes.Count(text, []byte("\n")) != 3 || bytes.Contains(text, []byte("</script>")) || bytes.Contains(text, []byte("\r")) {
		t.Errorf("%s", text)
	}
}
