package buffercache

import "splitkernel/netlayer/wire"

// maxLeft bounds the volumes of which it is remembered that their buffer cache moved away.
const maxLeft = 4096

// placed is where the client has been told that the volume is.
func (v *volume) placed() Place { return Place{v.req.Epoch, v.req.Storage, v.req.StorageAddr} }

// Switch says that a volume is served at another sComponent. Storage operations go there from now on; those under way that
// are refused at the old place are sent to the new one (Again). Nothing else changes: marks and versions have moved with the
// volume. The clients go on under the epoch that they know.
func (c *Cache) Switch(m wire.SwitchReq) error {
	v := c.volumes[m.Volume]
	switch to := (Place{m.Epoch, m.To, m.ToAddr}); {
	case v == nil || v.state == failed || v.at == to:
	case m.Epoch <= v.at.Epoch:
		return wire.Errorf(wire.KindStale, "volume %d: its storage operations go to %s under epoch %d, not to %s under %d", m.Volume, v.at.Storage, v.at.Epoch, m.To, m.Epoch)
	default:
		v.at = to
	}
	return nil
}

// Moving describes an attached volume whose buffer cache is to move.
type Moving struct {
	Attach wire.VolumeAttachReq
	Place  Place
	Dirty  int // blocks that are not at the sComponent
	Frozen bool
}

// Moving tells about a volume; ok is false if it is not attached.
func (c *Cache) Moving(id wire.VolumeID) (m Moving, ok bool) {
	v := c.volumes[id]
	if v == nil || v.state != attached {
		return m, false
	}
	return Moving{v.req, v.at, v.dirty, v.frozen != nil}, true
}

// Holds reports whether a volume is attached, or about to be, and serves.
func (c *Cache) Holds(id wire.VolumeID) bool {
	v := c.volumes[id]
	return v != nil && v.state != failed
}

// Settling reports whether a volume is being attached or detached: whether it is here is decided soon.
func (c *Cache) Settling(id wire.VolumeID) bool {
	v := c.volumes[id]
	return v != nil && (v.state == attaching || v.state == detaching)
}

// Clean makes everything durable that was written so far, as a flush does.
func (c *Cache) Clean(call uint64, id wire.VolumeID, out []Effect) []Effect {
	v := c.volumes[id]
	if v == nil || v.state != attached {
		return reply(call, wire.Errorf(wire.KindNotFound, "volume %d is not attached here", id), out)
	}
	return c.pump(c.flushAll(v, call, out))
}

// Freeze refuses the requests of a volume with busy, also those that wait for a block. Clean and Quiet then leave nothing behind.
func (c *Cache) Freeze(id wire.VolumeID, busy error, out []Effect) []Effect {
	if v := c.volumes[id]; v != nil && v.state == attached {
		v.frozen = busy
	}
	return c.pump(out)
}

// Quiet replies when nothing of a frozen volume is under way.
func (c *Cache) Quiet(call uint64, id wire.VolumeID, out []Effect) []Effect {
	v := c.volumes[id]
	if v == nil || v.state != attached || v.frozen == nil || v.quiet != 0 {
		return reply(call, wire.Errorf(wire.KindNotFound, "volume %d is not held still here", id), out)
	}
	v.quiet = call
	return c.pump(out)
}

// Thaw serves a frozen volume again; its storage operations go under epoch if that is newer, under which this cache has been
// attached anew.
func (c *Cache) Thaw(id wire.VolumeID, epoch wire.Epoch) {
	if v := c.volumes[id]; v != nil && v.frozen != nil {
		v.frozen = nil
		v.at.Epoch = max(v.at.Epoch, epoch)
	}
}

// Leave forgets a volume whose buffer cache is elsewhere under epoch. Nobody may attach it here under an older one.
func (c *Cache) Leave(id wire.VolumeID, epoch wire.Epoch) {
	if v := c.volumes[id]; v != nil {
		c.drop(v)
	}
	if _, ok := c.left[id]; !ok {
		if len(c.leftIDs) >= maxLeft {
			delete(c.left, c.leftIDs[0])
			c.leftIDs = c.leftIDs[1:]
		}
		c.leftIDs = append(c.leftIDs, id)
	}
	c.left[id] = max(c.left[id], epoch)
}

// Lose makes a frozen volume serve no more.
func (c *Cache) Lose(id wire.VolumeID, cause error, out []Effect) []Effect {
	if v := c.volumes[id]; v != nil {
		out = c.fail(v, cause, out)
		v.frozen = nil // the move is over: what failed may be detached or dropped
	}
	return c.pump(out)
}

// Discard forgets a volume that is gone, if it is attached under an epoch up to upTo, with what is dirty: there is nowhere to write
// it to. Nobody may attach it under such an epoch any more.
func (c *Cache) Discard(call uint64, id wire.VolumeID, upTo wire.Epoch, out []Effect) []Effect {
	v := c.volumes[id]
	switch {
	case v == nil:
		return reply(call, nil, out)
	case v.req.Epoch > upTo:
		return reply(call, stale(v, upTo), out)
	case v.frozen != nil:
		return reply(call, v.frozen, out)
	case v.state == attaching || v.state == detaching:
		return reply(call, wire.Errorf(wire.KindBusy, "volume %d is being attached or detached: retry", id), out)
	}
	out = c.fail(v, wire.Errorf(wire.KindFailed, "it is gone"), out)
	c.Leave(id, upTo+1)
	return c.pump(reply(call, nil, out))
}
