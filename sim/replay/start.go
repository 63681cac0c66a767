package replay

import (
	"context"
	"time"

	"splitkernel/gmanagers/admission"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

const (
	// StartPatience is how long a place is looked for that has moved between its admission and the start of the process.
	StartPatience = 10 * time.Second
	// startPause is the pause before the managers are asked again: the end of a move takes a little until it is in their books.
	startPause = 20 * time.Millisecond
)

// Placer tells where a process is placed; the client of the managers is one.
type Placer interface {
	Where(ctx context.Context, pid wire.PID) (admission.Placement, error)
}

// StartAt starts a process at its place and returns that: a place that has moved since it was read is looked for. Home and volumes find
// themselves if they have moved.
func StartAt(ctx context.Context, gm Placer, peer func(netlayer.Addr) *netlayer.Peer, s Spec, at admission.Placement) (admission.Placement, error) {
	deadline := time.Now().Add(StartPatience)
	for {
		s.Epoch = at.Epoch
		err := peer(netlayer.Addr(at.Addr)).Control(ctx, wire.OpProcessStart, s.Epoch, &wire.ProcessStartReq{PID: s.PID, Spec: wire.Marshal(&s)}, nil)
		if wire.KindOf(err) != wire.KindNotOwner {
			return at, err
		}
		for {
			now, werr := gm.Where(ctx, s.PID)
			if werr == nil && now.Epoch > at.Epoch && netlayer.Addr(now.Addr).Validate() == nil {
				at.Node, at.Addr, at.Epoch = now.Node, now.Addr, now.Epoch
				break
			}
			if wire.KindOf(werr) == wire.KindNotFound || ctx.Err() != nil || time.Now().After(deadline) {
				return at, err
			}
			select {
			case <-time.After(startPause):
			case <-ctx.Done():
			}
		}
	}
}
