package client

import (
	"context"
	"time"

	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/gpm"
	"splitkernel/gmanagers/gsm"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
)

// Drain closes a component to everything new, until Undrain. Of what it has nothing is taken by this alone. It refuses the
// last active component of a role (KindNoRoom), one that is dead (KindFailed) or unknown (KindNotFound), and an mComponent
// that has reserved what fits nowhere else (KindNoRoom). Draining what drains changes nothing.
func (c *Client) Drain(ctx context.Context, role wire.Role, id wire.NodeID) error {
	return c.node(ctx, role, id, membership.Drain)
}

// Undrain opens a component again.
func (c *Client) Undrain(ctx context.Context, role wire.Role, id wire.NodeID) error {
	return c.node(ctx, role, id, membership.Undrain)
}

// Remove takes a component out of the books. It refuses one that is active or still has something (KindBusy), and names
// that. Of a dead mComponent vRegions and homes are lost already and keep nobody. Should it be started again it registers
// under a higher epoch.
func (c *Client) Remove(ctx context.Context, role wire.Role, id wire.NodeID) error {
	return c.node(ctx, role, id, membership.Remove)
}

func (c *Client) node(ctx context.Context, role wire.Role, id wire.NodeID, a membership.Action) error {
	return c.member(ctx, wire.Member{ID: id, Role: role}, gmm.Request{Op: gmm.OpNode, Action: a})
}

// DeclareDead has a component declared dead if it is registered under the epoch. For the managers themselves.
func (c *Client) DeclareDead(ctx context.Context, m wire.Member, why string, silent time.Duration) error {
	return c.member(ctx, m, gmm.Request{Op: gmm.OpDead, Text: why, SilentMS: uint64(silent.Milliseconds())})
}

// Note has what was seen of a component taken down as an event. For the managers themselves.
func (c *Client) Note(ctx context.Context, m wire.Member, n membership.Note, text string) error {
	return c.member(ctx, m, gmm.Request{Op: gmm.OpNote, Note: n, Text: text})
}

// member sends a request about a component to the manager of its role; the operations have one number at all three.
func (c *Client) member(ctx context.Context, m wire.Member, q gmm.Request) error {
	manager, err := membership.ManagerOf(m.Role)
	if err != nil {
		return err
	}
	m = wire.Member{ID: m.ID, Role: m.Role, Epoch: m.Epoch}
	switch manager {
	case wire.GPM:
		_, err = c.gpm(ctx, gpm.Request{Op: gpm.Op(q.Op), Member: m, Action: q.Action, Note: q.Note, Text: q.Text})
	case wire.GMM:
		q.Member = m
		_, err = c.gmm(ctx, q)
	case wire.GSM:
		_, err = c.gsm(ctx, gsm.Request{Op: gsm.Op(q.Op), Member: m, Action: q.Action, Note: q.Note, Text: q.Text})
	}
	return err
}

// Gates tells GSM which mComponents get no buffer cache. It returns one answer for each. For the managers themselves.
func (c *Client) Gates(ctx context.Context, gates []gsm.Gate) ([]gsm.Cached, error) {
	r, err := c.gsm(ctx, gsm.Request{Op: gsm.OpGates, Gates: gates})
	if err == nil && len(r.Cached) != len(gates) {
		err = wire.Errorf(wire.KindInternal, "gsm: %d answers for %d gates", len(r.Cached), len(gates))
	}
	return r.Cached, err
}

// Standing asks the manager of m how it stands under its epoch, as of now: in contrast to the answers to heartbeats it does
// not lag.
func (c *Client) Standing(ctx context.Context, m wire.Member) (wire.Standing, error) {
	manager, err := membership.ManagerOf(m.Role)
	if err != nil {
		return 0, err
	}
	b, err := c.query(ctx, manager, membership.Query{Kind: membership.QueryStanding, ID: uint64(m.Epoch), Node: m.ID}.Encode())
	if err != nil {
		return 0, err
	}
	var st wire.Standing
	return st, membership.DecodeAnswer(b, &st)
}
