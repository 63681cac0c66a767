package gmanagers_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"splitkernel/gmanagers"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// gates stand before the nodes of a cluster and hold up what managers send each other. Clients always pass, so that they
// speak to both sides of a partition.
type gates struct {
	mu   sync.Mutex
	away map[wire.NodeID]*gate
}

// gate is what became of a node's messages to and from the other managers.
type gate struct {
	lose   bool          // partition: they are lost. Else they are held back, and come late
	opened chan struct{} // closed when the node is back
}

// startGated starts a cluster with gates.
func startGated(t testing.TB, edit func(*gmanagers.Options)) (*cluster, *gates) {
	g := &gates{away: map[wire.NodeID]*gate{}}
	n := clusters.Add(1)
	c := &cluster{t: t, edit: edit, wrap: func(i int, h netlayer.Handler) netlayer.Handler {
		return gated{h, g, wire.NodeID(fmt.Sprintf("g%d", i+1))}
	}}
	return startClusterOf(c, func(id wire.NodeID) netlayer.Addr { return netlayer.Addr(fmt.Sprintf("inproc:gated-%d-%s", n, id)) }), g
}

// shut keeps a node and the other managers apart until open is called.
func (g *gates) shut(id wire.NodeID, lose bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.away[id] = &gate{lose: lose, opened: make(chan struct{})}
}

// open lets everything pass again.
func (g *gates) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, a := range g.away {
		close(a.opened)
	}
	clear(g.away)
}

// between returns what stands between two nodes; nil if nothing does.
func (g *gates) between(a, b wire.NodeID) *gate {
	g.mu.Lock()
	defer g.mu.Unlock()
	if a == b {
		return nil
	}
	if x := g.away[a]; x != nil {
		return x
	}
	return g.away[b]
}

// gated is the server of a node behind the gates.
type gated struct {
	netlayer.Handler
	g  *gates
	id wire.NodeID
}

func (h gated) Serve(ctx context.Context, req *netlayer.Request, rep *netlayer.Reply) error {
	if req.From.Role != wire.RoleManager {
		return h.Handler.Serve(ctx, req, rep)
	}
	if err := h.pass(ctx, req); err != nil {
		return err
	}
	err := h.Handler.Serve(ctx, req, rep)
	if !req.OneWay {
		if lost := h.pass(ctx, req); lost != nil { // the answer
			return lost
		}
	}
	return err
}

// pass returns nil when a message may go on, or an error once its sender has given up waiting.
func (h gated) pass(ctx context.Context, req *netlayer.Request) error {
	x := h.g.between(h.id, req.From.Node)
	switch {
	case x == nil:
		return nil
	case x.lose && req.OneWay:
		return wire.Errorf(wire.KindUnavailable, "lost")
	case x.lose:
		<-ctx.Done()
		return wire.Errorf(wire.KindUnavailable, "lost")
	}
	select {
	case <-x.opened:
		return nil
	case <-ctx.Done():
		return wire.Errorf(wire.KindUnavailable, "given up")
	}
}
