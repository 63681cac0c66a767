package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"splitkernel/gmanagers/admission/audit"
	"splitkernel/gmanagers/client"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

const (
	// AuditReadings is how often a difference must be seen: what is under way differs for a moment.
	AuditReadings = 5
	// auditPause lies between two readings. Together they outlast the second after which leaders finish what nobody drives.
	auditPause = 500 * time.Millisecond
	// maxAsked bounds the components that are asked at once.
	maxAsked = 64
)

// AuditReport is what an audit found.
type AuditReport struct {
	VNodes      int                `json:"vnodes"`
	Regions     int                `json:"vregions"`
	Volumes     int                `json:"volumes"`
	Components  int                `json:"components"` // that told what they hold
	Differences []audit.Difference `json:"differences"`
}

// Audit compares the books of the managers with each other and with what the components hold, until they agree or
// AuditReadings times; a difference is what every reading has shown. Components are those that the managers know and more.
func Audit(ctx context.Context, gm *client.Client, net netlayer.Options, more ...netlayer.Addr) (*AuditReport, error) {
	peers := map[netlayer.Addr]*netlayer.Peer{}
	defer func() {
		for _, p := range peers {
			p.Close()
		}
	}()
	var rep *AuditReport
	for reading := 0; ; reading++ {
		b, err := gm.Books(ctx)
		if err != nil {
			return nil, err
		}
		if err := readHoldings(ctx, &b, net, peers, more); err != nil {
			return nil, err
		}
		diff := audit.Compare(b)
		if reading > 0 {
			diff = audit.Persisting(rep.Differences, diff)
		}
		rep = &AuditReport{VNodes: len(b.Processes), Volumes: len(b.Volumes), Components: len(b.Held), Differences: diff}
		for _, h := range b.Homes {
			rep.Regions += len(h.Regions)
		}
		if len(diff) == 0 {
			rep.Differences = []audit.Difference{} // JSON [] and not null
		}
		if len(diff) == 0 || reading == AuditReadings-1 {
			return rep, nil
		}
		select {
		case <-time.After(auditPause):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// readHoldings asks every component for what it holds. peers keeps the connections from one reading to the next.
func readHoldings(ctx context.Context, b *audit.Books, net netlayer.Options, peers map[netlayer.Addr]*netlayer.Peer, more []netlayer.Addr) error {
	ask := map[netlayer.Addr]*netlayer.Peer{}
	add := func(addr netlayer.Addr) {
		if addr.Validate() != nil { // it cannot answer, which is a difference
			return
		}
		if peers[addr] == nil {
			peers[addr] = netlayer.NewPeer(addr, net)
		}
		ask[addr] = peers[addr]
	}
	for _, members := range [][]wire.Member{b.Compute, b.Memory, b.Storage} {
		for _, m := range members {
			add(netlayer.Addr(m.Addr))
		}
	}
	for _, addr := range more {
		add(addr)
	}
	var mu sync.Mutex
	var asking sync.WaitGroup
	var errs []error
	room := make(chan struct{}, maxAsked)
	b.Held = []wire.HoldingsRep{}
	for addr, p := range ask {
		room <- struct{}{}
		asking.Go(func() {
			defer func() { <-room }()
			h, err := holdings(ctx, p)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				b.Held = append(b.Held, h)
			case errors.Is(err, wire.ErrBadRequest): // it is of another release
				errs = append(errs, fmt.Errorf("%s: %w", addr, err))
			} // who does not answer and is registered is a difference
		})
	}
	asking.Wait()
	return errors.Join(errs...)
}

// holdings asks one component for what it holds, page by page. What comes and goes meanwhile may be missing, which the next
// reading of an audit shows.
func holdings(ctx context.Context, p *netlayer.Peer) (all wire.HoldingsRep, err error) {
	for q := (wire.HoldingsReq{}); ; {
		var h wire.HoldingsRep
		if err := control(ctx, p, wire.OpHoldings, 0, &q, &h); err != nil {
			return all, err
		}
		held := all.Holds
		held.Add(h.Holds)
		all = wire.HoldingsRep{Node: h.Node, Role: h.Role, Epoch: h.Epoch, Holds: held}
		if h.Next == (wire.HeldAt{}) {
			return all, nil
		}
		if h.Next == q.From {
			return all, wire.Errorf(wire.KindInternal, "%s: a page of what it holds goes on where it began, at %+v", h.Node, h.Next)
		}
		q.From = h.Next
	}
}

func (a *API) audit(q *request) (int, any, error) {
	if err := a.quorum(q.ctx); err != nil { // an audit may take longer than other reads, but not to find that out
		return 0, nil, err
	}
	rep, err := Audit(q.ctx, a.o.Client, a.o.Net)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, rep, nil
}
