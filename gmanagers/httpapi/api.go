package httpapi

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// Prefix begins the path of every resource; its last element is the version of the interface.
const Prefix = "/api/v1"

// API serves the interface. Make one with New; end it with Close.
type API struct {
	o      Options
	routes []route
	mux    *http.ServeMux
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	slots  chan struct{} // MaxRequests

	mu      sync.Mutex
	closed  bool
	serving sync.WaitGroup
}

// route is one operation.
type route struct {
	method, path string
	query        []string // parameters that it knows
	body         bool     // it has one
	timeout      time.Duration
	answer       func(*API, *request) (status int, body any, err error)
}

// routes are all operations; openapi.yaml describes each.
func routes() []route {
	const get, post, del = http.MethodGet, http.MethodPost, http.MethodDelete
	return []route{
		{get, "/status", nil, false, ReadTimeout, (*API).status},
		{get, "/nodes", []string{"limit", "after"}, false, ReadTimeout, (*API).nodes},
		{get, "/nodes/{id}", nil, false, ReadTimeout, (*API).node},
		{del, "/nodes/{id}", nil, false, WriteTimeout, (*API).removeNode},
		{post, "/nodes/{id}/drain", nil, false, WriteTimeout, (*API).drainNode},
		{post, "/nodes/{id}/undrain", nil, false, WriteTimeout, (*API).undrainNode},
		{get, "/vnodes", []string{"limit", "after"}, false, ReadTimeout, (*API).vnodes},
		{post, "/vnodes", nil, true, WriteTimeout, (*API).createVNode},
		{get, "/vnodes/{pid}", nil, false, ReadTimeout, (*API).vnode},
		{del, "/vnodes/{pid}", []string{"force"}, false, WriteTimeout, (*API).deleteVNode},
		{get, "/events", []string{"since", "limit", "manager", "kind", "pid"}, false, ReadTimeout, (*API).events},
		{get, "/moves", []string{"manager", "pid", "active", "limit", "after"}, false, ReadTimeout, (*API).moves},
		{post, "/moves", nil, true, WriteTimeout, (*API).createMove},
		{get, "/moves/{manager}/{move}", nil, false, ReadTimeout, (*API).move},
		{get, "/audit", nil, false, WriteTimeout, (*API).audit},
		{get, "/openapi.json", nil, false, ReadTimeout, (*API).openapi},
	}
}

// New makes an API.
func New(o Options) (*API, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("http api: %w", err)
	}
	a := &API{o: o, routes: routes(), mux: http.NewServeMux(), slots: make(chan struct{}, MaxRequests)}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	byPath := map[string]map[string]route{}
	var paths []string
	for _, r := range a.routes {
		if byPath[r.path] == nil {
			byPath[r.path] = map[string]route{}
			paths = append(paths, r.path)
		}
		byPath[r.path][r.method] = r
	}
	for _, p := range paths {
		a.mux.HandleFunc(Prefix+p, func(w http.ResponseWriter, r *http.Request) { a.serve(w, r, byPath[p]) })
	}
	a.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		newProblem(http.StatusNotFound, "not_found", "not found", fmt.Sprintf("no resource %s, see %s/openapi.json", r.URL.Path, Prefix)).write(w)
	})
	return a, nil
}

// Handler serves every path below /api/.
func (a *API) Handler() http.Handler { return http.HandlerFunc(a.guard) }

// Close ends the requests that are served and waits for them. Later ones are refused. It may be called again.
func (a *API) Close() {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.cancel()
	a.serving.Wait()
}

// enter counts a request; false if the API is closed.
func (a *API) enter() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.closed {
		a.serving.Add(1)
	}
	return !a.closed
}

// guard lets in who may, as many as may.
func (a *API) guard(w http.ResponseWriter, r *http.Request) {
	if !a.enter() {
		newProblem(http.StatusServiceUnavailable, "unavailable", "unavailable", "the manager is stopping: ask another").write(w)
		return
	}
	defer a.serving.Done()
	if Refuse(w, r, a.o.Token, a.o.AnyHost) {
		return
	}
	select {
	case a.slots <- struct{}{}:
		defer func() { <-a.slots }()
	default:
		newProblem(http.StatusTooManyRequests, "busy", "busy", fmt.Sprintf("%d requests are being served, the most that may: ask again later", MaxRequests)).write(w)
		return
	}
	a.mux.ServeHTTP(w, r)
}

// local reports whether host, perhaps with a port, is a name of the loopback.
func local(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Refuse answers a request that may not be served, because of the host that it names, unless any may be named, or because it lacks the token, and
// reports whether it did.
func Refuse(w http.ResponseWriter, r *http.Request, token string, anyHost bool) bool {
	switch {
	case !anyHost && !local(r.Host):
		newProblem(http.StatusForbidden, "forbidden", "forbidden", fmt.Sprintf("the request names host %.100q, want one of the loopback", r.Host)).write(w)
		return true
	case !knows(token, r.Header.Get("Authorization")):
		newProblem(http.StatusUnauthorized, "unauthorized", "unauthorized", "the cluster has a token, want it as `Authorization: Bearer TOKEN`").write(w)
		return true
	}
	return false
}

// knows reports whether somebody has the token, if there is one. The comparison takes the same time wherever it ends.
func knows(want, authorization string) bool {
	if want == "" {
		return true
	}
	token, ok := strings.CutPrefix(authorization, "Bearer ")
	return ok && subtle.ConstantTimeCompare([]byte(token), []byte(want)) == 1
}

// request is one request of a known path and method.
type request struct {
	*http.Request
	route route
	ctx   context.Context
	conn  *http.ResponseController
	query url.Values
}

// extend gives a request that waits for something more time. The returned function ends it.
func (a *API) extend(q *request, by time.Duration) (end func()) {
	ctx, cancel := context.WithTimeout(q.Context(), q.route.timeout+by)
	stop := context.AfterFunc(a.ctx, cancel)
	q.ctx = ctx
	_ = q.conn.SetWriteDeadline(time.Now().Add(q.route.timeout + by + WriteTimeout))
	return func() { stop(); cancel() }
}

// serve checks the method, the parameters and the body, and answers.
func (a *API) serve(w http.ResponseWriter, r *http.Request, methods map[string]route) {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet // net/http drops the body
	}
	rt, ok := methods[method]
	if !ok {
		var allowed []string
		for m := range methods {
			allowed = append(allowed, m)
		}
		slices.Sort(allowed)
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		newProblem(http.StatusMethodNotAllowed, "method_not_allowed", "method not allowed", fmt.Sprintf("%s %s, want one of %s", r.Method, r.URL.Path, strings.Join(allowed, ", "))).write(w)
		return
	}
	q := &request{Request: r, route: rt}
	timeout, err := q.check()
	if err != nil {
		problemOf(err, rt.method == http.MethodGet).write(w)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	q.ctx = ctx
	r.Body = http.MaxBytesReader(w, r.Body, MaxBodyBytes)
	// A client that takes nothing must not hold up its request, nor Close. A deadline stays with the connection, on which other
	// things than this interface may be asked next, so it is taken away in the end. A writer that knows none needs none.
	conn := http.NewResponseController(w)
	q.conn = conn
	_ = conn.SetWriteDeadline(time.Now().Add(timeout + WriteTimeout))
	defer conn.SetWriteDeadline(time.Time{})
	stop := context.AfterFunc(a.ctx, func() {
		cancel()
		_ = conn.SetWriteDeadline(time.Now().Add(lastWords))
	})
	defer stop()
	status, body, err := rt.answer(a, q)
	if err != nil {
		problemOf(err, rt.method == http.MethodGet).write(w)
		return
	}
	if v, ok := body.(located); ok && (status == http.StatusCreated || status == http.StatusAccepted) {
		w.Header().Set("Location", Prefix+v.location())
	}
	writeJSON(w, status, "application/json", body)
}

// located is a body that has a path of its own.
type located interface{ location() string }

func badRequest(format string, args ...any) error {
	return wire.Errorf(wire.KindBadRequest, format, args...)
}

// check reads the parameters and returns how long the request may take.
func (q *request) check() (time.Duration, error) {
	var err error
	if q.query, err = url.ParseQuery(q.URL.RawQuery); err != nil {
		return 0, badRequest("the query cannot be read: %v", err)
	}
	for _, k := range sortedKeys(q.query) {
		switch {
		case !slices.Contains(q.route.query, k) && len(q.route.query) == 0:
			return 0, badRequest("unknown parameter %.100q, want none", k)
		case !slices.Contains(q.route.query, k):
			return 0, badRequest("unknown parameter %.100q, want one of %s", k, strings.Join(q.route.query, ", "))
		case len(q.query[k]) != 1:
			return 0, badRequest("parameter %s is there %d times, want it once", k, len(q.query[k]))
		}
	}
	if q.route.body {
		t, _, err := mime.ParseMediaType(q.Header.Get("Content-Type"))
		if err != nil || t != "application/json" {
			return 0, newProblem(http.StatusUnsupportedMediaType, "unsupported_media_type", "unsupported media type",
				fmt.Sprintf("Content-Type %.100q, want application/json", q.Header.Get("Content-Type")))
		}
	} else if q.ContentLength != 0 {
		return 0, badRequest("%s %s has a body, want none", q.Method, q.URL.Path)
	}
	return q.route.timeout, nil
}

func sortedKeys(v url.Values) []string {
	var keys []string
	for k := range v {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// decode reads the body: one JSON object without unknown fields.
func (q *request) decode(into any) error {
	dec := json.NewDecoder(q.Body)
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	if err == nil {
		if _, more := dec.Token(); more != io.EOF {
			err = errors.New("more follows the JSON object")
		}
	}
	var large *http.MaxBytesError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &kind):
		return badRequest("%s", wrongType(kind))
	case errors.As(err, &large):
		return newProblem(http.StatusRequestEntityTooLarge, "too_large", "too large", fmt.Sprintf("the body has more than %d bytes", MaxBodyBytes))
	case err == io.EOF:
		return badRequest("the body is empty, want a JSON object")
	case err != nil:
		return badRequest("the body: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

// wrongType says in words of JSON what a field has and should have.
func wrongType(e *json.UnmarshalTypeError) string {
	field, want := e.Field, e.Type.String()
	if field == "" {
		field = "the body"
	}
	switch e.Type.Kind() {
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uint:
		want = fmt.Sprintf("an integer from 0 to %d", uint64(math.MaxUint64)>>(64-e.Type.Bits()))
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Int:
		want = fmt.Sprintf("an integer of %d bits", e.Type.Bits())
	case reflect.String:
		want = "a string"
	case reflect.Bool:
		want = "true or false"
	case reflect.Slice, reflect.Array:
		want = "a list"
	case reflect.Struct, reflect.Map:
		want = "an object"
	}
	return fmt.Sprintf("%s: %.100s is not %s", field, strings.TrimPrefix(e.Value, "number "), want)
}

// uint reads a parameter of the query.
func (q *request) uint(name string, def, lo, hi uint64) (uint64, error) {
	text := q.query.Get(name)
	if text == "" {
		return def, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n < lo || n > hi {
		return 0, badRequest("parameter %s: %.100q, want %d to %d", name, text, lo, hi)
	}
	return n, nil
}

// bool reads a parameter of the query.
func (q *request) bool(name string) (bool, error) {
	switch text := q.query.Get(name); text {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, badRequest("parameter %s: %.100q, want true or false", name, text)
	}
}

// pid reads the process id of the path.
func (q *request) pid() (wire.PID, error) {
	text := q.PathValue("pid")
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n == 0 {
		return 0, badRequest("process id %.100q, want a number above 0", text)
	}
	return wire.PID(n), nil
}

// dial gives a connection to a component, which the caller closes. None is kept: components come and go, and this is no hot
// path.
func (a *API) dial(addr string) (*netlayer.Peer, error) {
	if err := netlayer.Addr(addr).Validate(); err != nil {
		return nil, wire.Errorf(wire.KindUnavailable, "address %.100q: %v", addr, err)
	}
	return netlayer.NewPeer(netlayer.Addr(addr), a.o.Net), nil
}

// control calls a component once.
func (a *API) control(ctx context.Context, addr string, op wire.Op, epoch wire.Epoch, req, rep any) error {
	p, err := a.dial(addr)
	if err != nil {
		return err
	}
	defer p.Close()
	return control(ctx, p, op, epoch, req, rep)
}

func control(ctx context.Context, p *netlayer.Peer, op wire.Op, epoch wire.Epoch, req, rep any) error {
	ctx, cancel := context.WithTimeout(ctx, componentTimeout)
	defer cancel()
	return p.Control(ctx, op, epoch, req, rep)
}
