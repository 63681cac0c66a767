package recovery

import "splitkernel/netlayer/wire"

// NeverOpened reports whether the one that recovers a vRegion is to read its own copy and was never told that it holds one, and gives what would have told it.
// Its owner died before it could, so nothing of the vRegion was acknowledged, and the copy is empty: other sources are
// told with the first question. Held is whether there is a copy.
func NeverOpened(q wire.RegionRecoverReq, held bool) (open wire.ReplicaOpenReq, ok bool) {
	c := &q.Config
	if held || c.Policy.Kind == wire.MemoryErasure {
		return open, false
	}
	for _, s := range q.Sources {
		if s.Node == q.Self {
			return wire.ReplicaOpenReq{PID: c.PID, Region: c.Region, Epoch: c.Epoch, Config: c.Config, Policy: c.Policy, Index: s.Index, Member: s.Member}, true
		}
	}
	return open, false
}
