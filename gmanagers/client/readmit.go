package client

import (
	"context"

	"splitkernel/netlayer/wire"
)

// Readmit has all three groups take the replica of a manager process out, which must not run and has lost what it had on its disk, and
// one under a new number in: id, which nobody had. If it fails it is to be called again with another number, or with the same one
// while nothing has run under it.
func (c *Client) Readmit(ctx context.Context, node wire.NodeID, id uint64) error {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	for _, m := range []wire.Manager{wire.GPM, wire.GMM, wire.GSM} {
		req := wire.ReadmitReq{Manager: m, Node: node, ReplicaID: id}
		var rep wire.ReadmitRep
		if err := c.follow(ctx, m, func(ctx context.Context, p *peer) error { return p.Control(ctx, wire.OpReadmit, 0, &req, &rep) }); err != nil {
			return err
		}
	}
	return nil
}
