package dashboard

import (
	"context"
	"crypto/rand"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"time"

	"splitkernel/sim/observe"
)

// DefaultAddr is a free port that only this machine can reach.
const DefaultAddr = "127.0.0.1:0"

// Limits of the server.
const (
	// MaxPages bounds the pages that are served at a time.
	MaxPages = 16
	// queueFrames is how many rounds a page may be behind before it is dropped.
	queueFrames = 8
	// writeTimeout is how long a write to a page may take.
	writeTimeout = 5 * time.Second
	// maxPoints is how many samples a page gets when it opens: as many as it keeps.
	maxPoints = 900
	// maxLinks is how many links a page gets, the busiest first: more than it draws.
	maxLinks = 512
	// readHeaderTimeout, idleTimeout and maxHeaderBytes bound what a connection may take.
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 10 * time.Second
	idleTimeout       = 30 * time.Second
	maxHeaderBytes    = 16 << 10
	// closeTimeout is how long those who are served may take at the end.
	closeTimeout = time.Second
)

// Feed tells how the cluster is. An observe.Observer is one.
type Feed interface {
	// Subscribe gives what is published from now on; a slow reader misses what came between. The channel is closed when there is no more.
	Subscribe() (updates <-chan *observe.Snapshot, cancel func(), err error)
	// Series are the samples that are remembered, oldest first.
	Series() []observe.Sample
}

// Options say where the page is served and what it may do.
type Options struct {
	// Addr is host:port; port 0 is a free one. Empty is DefaultAddr.
	Addr string
	// Remote allows an address that others can reach, and their requests.
	Remote bool
	Feed   Feed
	// Control does what the buttons say. Nil: there are none, and nothing behind them.
	Control Control
	// Log gets what went wrong with connections; nil is silence.
	Log *slog.Logger
}

// Server serves the page.
type Server struct {
	o        Options
	listener net.Listener
	host     string // of Addr, if it is a name
	token    string // empty without control
	hub      hub
	acting   chan struct{} // holds one token per action under way

	mu      sync.Mutex
	closing bool // no request begins any more
	serving sync.WaitGroup
}

// CheckAddr says whether the page may be served at an address: host:port, of loopback unless remote.
func CheckAddr(addr string, remote bool) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%q: want HOST:PORT, as in %s, where port 0 is a free one", addr, DefaultAddr)
	}
	if !remote && !loopback(host) {
		return fmt.Errorf("%q can be reached from other machines, want 127.0.0.1:PORT, [::1]:PORT or localhost:PORT, or --dashboard-remote, with which whoever reaches it sees the cluster", addr)
	}
	return nil
}

// loopback reports whether a host is this machine for itself.
func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.IsLoopback()
}

// Listen takes the address. Run must follow, or Close.
func Listen(o Options) (*Server, error) {
	if o.Addr == "" {
		o.Addr = DefaultAddr
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := CheckAddr(o.Addr, o.Remote); err != nil {
		return nil, fmt.Errorf("dashboard at %w", err)
	}
	l, err := net.Listen("tcp", o.Addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("the dashboard's address %s is taken, perhaps by the dashboard of another cluster: want another one, or --dashboard without an address for a free port", o.Addr)
	}
	if err != nil {
		return nil, fmt.Errorf("listen for the dashboard: %w", err)
	}
	s := &Server{o: o, listener: l, acting: make(chan struct{}, maxActions)}
	s.host, _, _ = net.SplitHostPort(o.Addr)
	s.hub.pages = map[*page]struct{}{}
	if o.Control != nil {
		var b [16]byte
		rand.Read(b[:])
		s.token = hex.EncodeToString(b[:])
	}
	return s, nil
}

// Close gives the address back, if Run was not called.
func (s *Server) Close() error { return s.listener.Close() }

// SetFeed is for who must listen before there is a cluster to watch. It is called before Run.
func (s *Server) SetFeed(f Feed) { s.o.Feed = f }

// URL is where a browser finds the page. With control its fragment, which a browser sends to nobody, is the key.
func (s *Server) URL() string {
	host, port, _ := net.SplitHostPort(s.listener.Addr().String())
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	url := "http://" + net.JoinHostPort(host, port) + "/"
	if s.token != "" {
		url += "#token=" + s.token
	}
	return url
}

// Run serves until ctx ends, which is no error, and returns when nobody is served any more.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	updates, unsubscribe, err := s.o.Feed.Subscribe()
	if err != nil {
		return errors.Join(fmt.Errorf("watch the cluster for the dashboard: %w", err), s.Close())
	}
	var running sync.WaitGroup
	running.Go(func() {
		defer unsubscribe()
		s.pass(ctx, updates)
	})
	server := &http.Server{
		Handler:           s.counted(s.handler()),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: slog.NewLogLogger(s.o.Log.Handler(), slog.LevelWarn),
	}
	served := make(chan error, 1)
	running.Go(func() { served <- server.Serve(s.listener) })
	select {
	case <-ctx.Done():
	case err = <-served: // the listener broke
		err = fmt.Errorf("serve the dashboard: %w", err)
	}
	cancel()
	closing, closed := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer closed()
	if server.Shutdown(closing) != nil { // somebody does not read what is being written
		server.Close()
	}
	running.Wait()
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	s.serving.Wait()
	return err
}

// counted has Run wait for every request that began.
func (s *Server) counted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		closing := s.closing
		if !closing {
			s.serving.Add(1)
		}
		s.mu.Unlock()
		if closing {
			return // its connection is closed
		}
		defer s.serving.Done()
		next.ServeHTTP(w, r)
	})
}

// pass gives the pages what the feed publishes.
func (s *Server) pass(ctx context.Context, updates <-chan *observe.Snapshot) {
	for {
		select {
		case snap, ok := <-updates:
			if !ok {
				return
			}
			if n := s.hub.publish(snap, s.hello); n > 0 {
				s.o.Log.Warn("pages did not read and were dropped", "pages", n)
			}
		case <-ctx.Done():
			return
		}
	}
}

//go:embed dist
var embedded embed.FS

// handler answers all requests.
func (s *Server) handler() http.Handler {
	dist, err := fs.Sub(embedded, "dist")
	if err != nil {
		panic(err) // of a constant
	}
	mux := http.NewServeMux()
	files := http.FileServerFS(dist)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			http.NotFound(w, r) // as there is nothing to post to without control
			return
		}
		files.ServeHTTP(w, r)
	})
	mux.HandleFunc("GET /events", s.events)
	if s.o.Control != nil {
		for _, do := range actions {
			mux.Handle("POST /control/"+do, s.guarded(do))
		}
	}
	return s.fenced(mux)
}

// policy is what the browser lets the page do: nothing beyond this server, and no script that was not built in.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// fenced refuses requests that were made for another name, and has no answer be kept, framed or guessed at.
func (s *Server) fenced(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if !s.own(r.Host) {
			http.Error(w, fmt.Sprintf("this page is served as 127.0.0.1, [::1] or localhost, or as an address given with --dashboard; a request for %.100q is refused, for that name may be somebody else's (DNS rebinding)", r.Host), http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// own reports whether a Host header names this server. The port may be another one, as of a forwarded connection: it is the name that a stranger
// can have lead here. An address of numbers leads nowhere else.
func (s *Server) own(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.Trim(hostport, "[]")
	}
	if loopback(host) {
		return true
	}
	_, err = netip.ParseAddr(host)
	return s.o.Remote && (err == nil || strings.EqualFold(host, s.host))
}
