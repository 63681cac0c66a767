package observe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"splitkernel/gmanagers/httpapi"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/launcher"
)

// Books is what the managers say at one moment.
type Books struct {
	Status      httpapi.Status
	VNodes      []httpapi.VNode // the first MaxVNodes
	VNodesTotal int
	Details     []httpapi.VNodeDetail // of some of them, in turn
	Moves       []httpapi.Move
}

// Source is where an observer asks. Each may be called from any goroutine, must end with its context, and is called again only when it has returned.
type Source struct {
	// Look tells the processes and the faults.
	Look func(ctx context.Context) (*launcher.Look, error)
	// Books tells what the managers know. round counts the calls.
	Books func(ctx context.Context, round int) (*Books, error)
	// Events tells the events after since, which is `next` of the answer before; empty is the latest.
	Events func(ctx context.Context, since string) (*httpapi.Events, error)
	// Node asks a node at its metrics address. It is called for several nodes at a time.
	Node func(ctx context.Context, addr string) (*Reading, error)
	// Close ends what the others hold.
	Close func()
}

const (
	// maxAnswerBytes bounds an answer of a node.
	maxAnswerBytes = 16 << 20
	// detailsPerRound is how many vNodes are asked for their progress in a round, and detailsAtOnce how many at a time.
	detailsPerRound, detailsAtOnce = 32, 4
	// idleConnections and idleTime bound the connections that are kept from one round to the next.
	idleConnections, idleTime = 1024, 30 * time.Second
)

// Live is a running cluster that launcher.Find has found: its owner is asked over its socket, everything else over loopback HTTP.
func Live(st *launcher.State) Source {
	return sourceOf(st.Cluster.Token, func(context.Context) (*launcher.Look, error) { return launcher.LookAt(st) })
}

// Owned is the cluster of this process: its owner is asked directly.
func Owned(s *launcher.Supervisor) Source {
	return sourceOf(s.State().Cluster.Token, func(context.Context) (*launcher.Look, error) {
		l := s.Look()
		return &l, nil
	})
}

func sourceOf(token string, look func(context.Context) (*launcher.Look, error)) Source {
	tr := &http.Transport{MaxIdleConns: idleConnections, MaxIdleConnsPerHost: 1 + detailsAtOnce, IdleConnTimeout: idleTime}
	w := &web{client: http.Client{Transport: tr}, token: token}
	return Source{
		Look: func(ctx context.Context) (*launcher.Look, error) {
			l, err := look(ctx)
			if err == nil {
				w.know(l.State.Name, l.State.Nodes)
			}
			return l, err
		},
		Books: w.books, Events: w.events, Node: w.node, Close: tr.CloseIdleConnections,
	}
}

// web asks nodes over HTTP.
type web struct {
	client http.Client
	token  string

	choosing sync.Mutex // held while a manager is chosen; before mu
	mu       sync.Mutex
	cluster  string              // its name
	managers []launcher.NodeInfo // the one to try first comes first
	manager  string              // metrics address of the one that is asked; empty: one must be chosen
}

// know takes the managers that there are.
func (w *web) know(cluster string, nodes []launcher.NodeInfo) {
	var now []launcher.NodeInfo
	for _, n := range nodes {
		if n.Role == wire.RoleManager.String() {
			now = append(now, n)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.managers) > 0 { // their order is kept
		if i := slices.IndexFunc(now, func(n launcher.NodeInfo) bool { return n.ID == w.managers[0].ID }); i > 0 {
			now = slices.Concat(now[i:], now[:i])
		}
	}
	if w.managers, w.cluster = now, cluster; !slices.ContainsFunc(now, func(n launcher.NodeInfo) bool { return n.Alive && n.Metrics == w.manager }) {
		w.manager = ""
	}
}

// choose gives the manager to ask, which is the one of before as long as it answers.
func (w *web) choose(ctx context.Context) (at string, err error) {
	w.choosing.Lock()
	defer w.choosing.Unlock()
	w.mu.Lock()
	at, cluster, managers := w.manager, w.cluster, w.managers
	w.mu.Unlock()
	if at != "" {
		return at, nil
	}
	n, err := launcher.AnsweringManager(ctx, &w.client, cluster, managers)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.turn()
		return "", err
	}
	w.manager = n.Metrics
	return n.Metrics, nil
}

// silent notes that a manager did not answer: another is tried first.
func (w *web) silent(at string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.manager == at {
		w.manager = ""
		for range w.managers {
			if w.turn(); w.managers[len(w.managers)-1].Metrics == at {
				break
			}
		}
	}
}

// turn puts the first manager last. w.mu is held.
func (w *web) turn() {
	if len(w.managers) > 1 {
		w.managers = append(slices.Clone(w.managers[1:]), w.managers[0])
	}
}

// get asks for JSON.
func (w *web) get(ctx context.Context, url string, out any) error {
	return w.ask(ctx, url, func(r io.Reader) error {
		if err := json.NewDecoder(r).Decode(out); err != nil {
			return fmt.Errorf("%s: %w", url, err)
		}
		return nil
	})
}

func (w *web) ask(ctx context.Context, url string, read func(io.Reader) error) error {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	if w.token != "" {
		q.Header.Set("Authorization", "Bearer "+w.token)
	}
	res, err := w.client.Do(q)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body := io.LimitReader(res.Body, maxAnswerBytes)
	if res.StatusCode != http.StatusOK {
		p := &httpapi.Problem{}
		if json.NewDecoder(body).Decode(p) == nil && p.Title != "" {
			return p
		}
		return fmt.Errorf("%s: HTTP status %d", url, res.StatusCode)
	}
	return read(body)
}

// managed asks a manager. If it does not answer, the next question goes to another one.
func (w *web) managed(ctx context.Context, path string, out any) error {
	at, err := w.choose(ctx)
	if err != nil {
		return err
	}
	err = w.get(ctx, "http://"+at+httpapi.Prefix+path, out)
	var p *httpapi.Problem
	if err != nil && !errors.As(err, &p) { // its connection, not its answer
		w.silent(at)
	}
	return err
}

func (w *web) books(ctx context.Context, round int) (*Books, error) {
	b := &Books{}
	if err := w.managed(ctx, "/status", &b.Status); err != nil {
		return nil, err
	}
	b.VNodesTotal = b.Status.VNodes
	var vnodes httpapi.VNodes
	if b.VNodesTotal > 0 {
		if err := w.managed(ctx, "/vnodes?limit="+strconv.Itoa(MaxVNodes), &vnodes); err != nil {
			return b, err
		}
	}
	b.VNodes = vnodes.VNodes
	var moves httpapi.Moves
	if err := w.pages(ctx, &moves); err != nil {
		return b, err
	}
	b.Moves = moves.Moves
	b.Details = w.details(ctx, b.VNodes, round)
	return b, nil
}

// maxMovePages bounds what is read of the list of moves, which the managers bound, too.
const maxMovePages = 16

// pages reads the moves, of which the latest are wanted and come last.
func (w *web) pages(ctx context.Context, all *httpapi.Moves) error {
	for after, n := "", 0; n < maxMovePages; n++ {
		path := "/moves"
		if after != "" {
			path += "?after=" + url.QueryEscape(after)
		}
		var page httpapi.Moves
		if err := w.managed(ctx, path, &page); err != nil {
			return err
		}
		all.Moves = append(all.Moves, page.Moves...)
		all.Moves = all.Moves[max(0, len(all.Moves)-MaxMoves):]
		if after = page.Next; after == "" {
			return nil
		}
	}
	return nil
}

// details asks for some vNodes, others in each round. One that went meanwhile is left out.
func (w *web) details(ctx context.Context, list []httpapi.VNode, round int) (out []httpapi.VNodeDetail) {
	var mu sync.Mutex
	var asking sync.WaitGroup
	slots := make(chan struct{}, detailsAtOnce)
	for i := range min(len(list), detailsPerRound) {
		v := list[(round*detailsPerRound+i)%len(list)]
		slots <- struct{}{}
		asking.Go(func() {
			defer func() { <-slots }()
			var d httpapi.VNodeDetail
			if w.managed(ctx, "/vnodes/"+strconv.FormatUint(uint64(v.PID), 10), &d) == nil {
				mu.Lock()
				out = append(out, d)
				mu.Unlock()
			}
		})
	}
	asking.Wait()
	return out
}

// eventsPerRound is how many events are asked for at a time.
const eventsPerRound = 200

func (w *web) events(ctx context.Context, since string) (*httpapi.Events, error) {
	v := url.Values{"limit": {strconv.Itoa(eventsPerRound)}}
	if since != "" {
		v.Set("since", since)
	}
	e := &httpapi.Events{}
	return e, w.managed(ctx, "/events?"+v.Encode(), e)
}

func (w *web) node(ctx context.Context, addr string) (*Reading, error) {
	r := &Reading{}
	if err := w.ask(ctx, "http://"+addr+"/metrics", func(body io.Reader) error {
		text, err := io.ReadAll(body) // first: what is cut off is no fault of its last line
		if err == nil {
			r.Metrics, err = ParseMetrics(bytes.NewReader(text))
		}
		return err
	}); err != nil {
		return nil, sayTimeout(err)
	}
	r.At = time.Now()
	if host, _, _ := strings.Cut(addr, ":"); host == "127.0.0.1" || strings.HasPrefix(addr, "[::1]") { // others are not told of links
		if err := w.get(ctx, "http://"+addr+"/links", &r.Links); err != nil {
			return nil, sayTimeout(err)
		}
	}
	return r, nil
}

// sayTimeout shortens the error that everybody knows.
func sayTimeout(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("it takes connections and says nothing")
	}
	return err
}
