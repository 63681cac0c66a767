package gmanagers

import (
	"context"
	"slices"

	"splitkernel/gmanagers/internal/raftsm"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// readmit gives another manager process, which has lost what it had on its disk, a new place in a group that this one leads.
func (m *Managers) readmit(ctx context.Context, host *raftsm.Host, req *netlayer.Request, rep *netlayer.Reply) error {
	var q wire.ReadmitReq
	if err := wire.Unmarshal(req.Body, &q); err != nil {
		return err
	}
	if err := check(q.Manager); err != nil {
		return err
	}
	switch {
	case !slices.ContainsFunc(m.o.Peers, func(p Peer) bool { return p.ID == q.Node }):
		return wire.Errorf(wire.KindNotFound, "%q is no manager of this cluster", q.Node)
	case q.Node == m.o.ID:
		return wire.Errorf(wire.KindBadRequest, "%s runs: who is to be taken in again must not", q.Node)
	case q.ReplicaID == 0 || slices.ContainsFunc(m.o.Peers, func(p Peer) bool { return p.ReplicaID == q.ReplicaID }):
		return wire.Errorf(wire.KindBadRequest, "replica %d for %s: want a number that nobody had", q.ReplicaID, q.Node)
	}
	if leader := host.Leader(q.Manager); leader != m.o.ID {
		return &wire.Error{Kind: wire.KindNotLeader, Text: string(leader)}
	}
	replicas, err := host.Readmit(ctx, q.Manager, q.Node, q.ReplicaID)
	if err != nil {
		return err
	}
	m.log.Warn("a manager was taken in again", "manager", q.Manager.String(), "node", string(q.Node), "replica", q.ReplicaID)
	rep.SetControl(wire.ReadmitRep{Replicas: replicas})
	return nil
}
