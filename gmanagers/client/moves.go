package client

import (
	"context"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/gpm"
	"splitkernel/gmanagers/gsm"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/movelist"
	"splitkernel/gmanagers/moves"
	"splitkernel/gmanagers/redundancy"
	"splitkernel/gmanagers/repair"
	"splitkernel/netlayer/wire"
)

// Move orders that a thing moves to a component; to "" leaves the choice to the placement policy. It returns when the order
// is taken down: the move goes on by itself, also if every manager dies, and Moves tells how it ends. A refusal is of
// KindNotFound (no such thing, or no such process), KindExists (it is there already), KindBusy (it moves, or something does
// that excludes it), KindUnavailable (the component is unknown, silent, draining or dead), KindNoRoom, or KindFailed (it is
// lost). An order whose answer is lost may have been taken down; asked again it is KindBusy or KindExists.
func (c *Client) Move(ctx context.Context, t movelist.Thing, to wire.NodeID) (wire.MoveID, error) {
	g := movelist.ManagerOf(t.Kind)
	if g == 0 {
		return wire.MoveID{}, wire.Errorf(wire.KindBadRequest, "move of kind %d, want 1 to 5", t.Kind)
	}
	begun, err := c.BeginMoves(ctx, g, []movelist.Order{{Thing: t, To: to, Cause: movelist.ByHand}})
	if err != nil {
		return wire.MoveID{}, err
	}
	return wire.MoveID{Manager: g, No: begun[0].No}, begun[0].Err()
}

// BeginMoves orders moves of one manager, at most movelist.MaxBatch. It returns one answer for each. An order without a time-out
// gets that of the manager's options.
func (c *Client) BeginMoves(ctx context.Context, g wire.Manager, orders []movelist.Order) (begun []movelist.Begun, err error) {
	return c.BeginMovesNoting(ctx, g, orders, nil)
}

// BeginMovesNoting is BeginMoves that has notes taken down as events too, at most movelist.MaxBatch. For the managers
// themselves.
func (c *Client) BeginMovesNoting(ctx context.Context, g wire.Manager, orders []movelist.Order, notes []movelist.Note) (begun []movelist.Begun, err error) {
	switch g {
	case wire.GPM:
		var r gpm.Result
		r, err = c.gpm(ctx, gpm.Request{Op: gpm.OpBegin, Orders: orders, Notes: notes})
		begun = r.Begun
	case wire.GMM:
		var r gmm.Result
		r, err = c.gmm(ctx, gmm.Request{Op: gmm.OpBegin, Orders: orders, Notes: notes})
		begun = r.Begun
	case wire.GSM:
		var r gsm.Result
		r, err = c.gsm(ctx, gsm.Request{Op: gsm.OpBegin, Orders: orders, Notes: notes})
		begun = r.Begun
	default:
		return nil, wire.Errorf(wire.KindBadRequest, "manager %d, want 1 to 3", g)
	}
	if err == nil && len(begun) != len(orders) {
		err = wire.Errorf(wire.KindInternal, "%v: %d answers for %d orders", g, len(begun), len(orders))
	}
	return begun, err
}

// EndMoves takes down how moves ended, and that givers have forgotten them. For the managers themselves.
func (c *Client) EndMoves(ctx context.Context, g wire.Manager, ends []moves.End, drops []uint64) (err error) {
	switch g {
	case wire.GPM:
		_, err = c.gpm(ctx, gpm.Request{Op: gpm.OpEnd, Ends: ends, Drops: drops})
	case wire.GMM:
		_, err = c.gmm(ctx, gmm.Request{Op: gmm.OpEnd, Ends: ends, Drops: drops})
	case wire.GSM:
		_, err = c.gsm(ctx, gsm.Request{Op: gsm.OpEnd, Ends: ends, Drops: drops})
	default:
		err = wire.Errorf(wire.KindBadRequest, "manager %d, want 1 to 3", g)
	}
	return err
}

// EndCopies takes down what became of recoveries and copies. For the managers themselves.
func (c *Client) EndCopies(ctx context.Context, changes []redundancy.Change) error {
	_, err := c.gmm(ctx, gmm.Request{Op: gmm.OpCopies, Copies: changes})
	return err
}

// Repair changes where copies of volumes and buffer caches are. For the managers themselves.
func (c *Client) Repair(ctx context.Context, changes []repair.Change) ([]gsm.Repaired, error) {
	r, err := c.gsm(ctx, gsm.Request{Op: gsm.OpRepair, Repairs: changes})
	return r.Repaired, err
}

// Moves returns the moves of a manager ascending by number: the last movelist.MaxHistory that have ended, and those that are listed.
func (c *Client) Moves(ctx context.Context, g wire.Manager) ([]movelist.Move, error) {
	return listing[movelist.Move](ctx, c, g, membership.Query{Kind: membership.QueryMoves})
}

// Drained is how far a component is with draining.
type Drained struct {
	Drains bool            `json:"drains"`
	Left   uint64          `json:"left"` // things that it holds or that are on their way there
	Things []movelist.Held `json:"things"`
	Copies uint64          `json:"copies"` // of what others serve
	Stuck  []string        `json:"stuck"`  // why things cannot leave, as it was seen last
}

// DrainStatus tells what a component still has. It can be removed when nothing is left. Of an mComponent GMM has vRegions
// and homes, GSM buffer caches.
func (c *Client) DrainStatus(ctx context.Context, role wire.Role, id wire.NodeID) (Drained, error) {
	g, err := membership.ManagerOf(role)
	if err != nil {
		return Drained{}, err
	}
	asked := []wire.Manager{g}
	if g == wire.GMM {
		asked = append(asked, wire.GSM)
	}
	d := Drained{Things: []movelist.Held{}, Stuck: []string{}}
	for i, m := range asked {
		b, err := c.query(ctx, m, membership.Query{Kind: membership.QueryHolds, Node: id}.Encode())
		if err != nil {
			return Drained{}, err
		}
		var h movelist.Holds
		if err := membership.DecodeAnswer(b, &h); err != nil {
			return Drained{}, err
		}
		if i == 0 {
			d.Drains = h.Drains
		}
		for _, t := range h.Things {
			if t.Kind == wire.MoveCache && role == wire.RoleStorage || t.Kind == wire.MoveVolume && role == wire.RoleMemory {
				continue
			}
			d.Things = append(d.Things, t)
			d.Left += t.Things + t.Arriving
		}
		d.Copies += h.Copies
		d.Left += h.Copies
		if h.Stuck != "" {
			d.Stuck = append(d.Stuck, h.Stuck)
		}
	}
	return d, nil
}

// Where tells where a vNode is now: its process by GPM, its home by GMM and its volumes by GSM, which know of moves. GPM's
// listing has homes and volumes as they were admitted. The three are asked one after the other, so what moves meanwhile may be
// told as before. It is of KindNotFound if there is no such process.
func (c *Client) Where(ctx context.Context, pid wire.PID) (p admission.Placement, err error) {
	processes, err := listing[gpm.Process](ctx, c, wire.GPM, membership.Query{Kind: membership.QueryListing, ID: uint64(pid)})
	if err != nil {
		return p, err
	}
	if len(processes) != 1 || pid == 0 {
		return p, wire.Errorf(wire.KindNotFound, "process %d is not placed", pid)
	}
	g := processes[0]
	p = admission.Placement{PID: pid, Epoch: g.Epoch, Node: g.Node, Home: g.Home, Volumes: append([]admission.Volume{}, g.Volumes...)}
	addrs := map[wire.NodeID]string{}
	for _, m := range []wire.Manager{wire.GPM, wire.GMM, wire.GSM} {
		members, err := c.Members(ctx, m)
		if err != nil {
			return p, err
		}
		for _, s := range members {
			addrs[s.Member.ID] = s.Member.Addr
		}
	}
	p.Addr = addrs[p.Node]
	homes, err := c.Regions(ctx, pid)
	if err != nil {
		return p, err
	}
	for _, h := range homes {
		p.Home.Node, p.Home.Addr, p.Home.Epoch, p.Home.Member = h.Home, addrs[h.Home], h.HomeEpoch, h.HomeMember()
	}
	for i := range p.Volumes {
		v := &p.Volumes[i]
		now, err := listing[gsm.Volume](ctx, c, wire.GSM, membership.Query{Kind: membership.QueryListing, ID: uint64(v.Volume)})
		if err != nil {
			return p, err
		}
		for _, n := range now {
			*v = n.Place(func(id wire.NodeID) string { return addrs[id] })
		}
	}
	return p, nil
}

// VolumeNow tells all of where a volume is, its copies too. Addresses are empty of what is not registered.
func (c *Client) VolumeNow(ctx context.Context, id wire.VolumeID) (admission.Volume, error) {
	v, _, err := c.Volume(ctx, id)
	if err != nil {
		return admission.Volume{}, err
	}
	members, err := c.Members(ctx, wire.GSM)
	if err != nil {
		return admission.Volume{}, err
	}
	return v.Place(func(id wire.NodeID) string {
		for _, m := range members {
			if m.Member.ID == id {
				return m.Member.Addr
			}
		}
		return ""
	}), nil
}

// Volume tells where a volume and its buffer cache are now, and the address of its sComponent, which is empty if that is not
// registered. It is of KindNotFound if there is no such volume.
func (c *Client) Volume(ctx context.Context, id wire.VolumeID) (v gsm.Volume, storageAddr string, err error) {
	now, err := listing[gsm.Volume](ctx, c, wire.GSM, membership.Query{Kind: membership.QueryListing, ID: uint64(id)})
	if err != nil {
		return v, "", err
	}
	if len(now) != 1 || id == 0 {
		return v, "", wire.Errorf(wire.KindNotFound, "there is no volume %d", id)
	}
	members, err := c.Members(ctx, wire.GSM)
	if err != nil {
		return v, "", err
	}
	for _, m := range members {
		if m.Member.ID == now[0].Storage {
			storageAddr = m.Member.Addr
		}
	}
	return now[0], storageAddr, nil
}
