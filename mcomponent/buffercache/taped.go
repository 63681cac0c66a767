package buffercache

import (
	"time"

	"splitkernel/mcomponent/tapes"
	"splitkernel/netlayer/heat"
	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/wire"
)

// Taped is a Cache whose inputs are recorded. Without a tape it is the Cache: each input costs one branch more.
type Taped struct {
	*Cache
	tape tape.Tape // nil: off
	in   Input
	last Last
	c    tape.Coder
}

// Record begins a tape, before the first input.
func (c *Taped) Record(t tape.Tape) { c.tape = t }

// put records what c.in holds, and out. Only the fields of the kind are set, and call: the rest is from records before.
func (c *Taped) put(kind InputKind, call uint64, s tape.Sum, out []Effect) {
	c.in.Kind, c.in.Call = kind, call
	c.in.sum(s, out)
	c.c.Write(c.c.Written()[:0])
	c.in.code(&c.c, &c.last)
	if c.tape.Record(c.c.Written()) {
		c.tape.State(c.AppendTaped(nil, c.last)) // it may be large, and is seldom wanted
	}
}

func (c *Taped) Read(call uint64, k wire.Block, out []Effect) []Effect {
	n := len(out)
	out = c.Cache.Read(call, k, out)
	if c.tape != nil {
		c.in.Block = k
		c.put(InRead, call, 0, out[n:])
	}
	return out
}

func (c *Taped) Write(call uint64, k wire.Block, out []Effect) []Effect {
	n := len(out)
	out = c.Cache.Write(call, k, out)
	if c.tape != nil {
		c.in.Block = k
		c.put(InWrite, call, 0, out[n:])
	}
	return out
}

func (c *Taped) Flush(call uint64, k wire.Block, out []Effect) []Effect {
	n := len(out)
	out = c.Cache.Flush(call, k, out)
	if c.tape != nil {
		c.in.Block = k
		c.put(InFlush, call, 0, out[n:])
	}
	return out
}

func (c *Taped) Done(id uint64, err error, out []Effect) []Effect {
	n := len(out)
	out = c.Cache.Done(id, err, out)
	if c.tape != nil {
		c.in.ID, c.in.Err = id, err
		c.put(InDone, 0, 0, out[n:])
	}
	return out
}

func (c *Taped) Attach(call uint64, req wire.VolumeAttachReq, out []Effect) []Effect {
	n := len(out)
	out = c.Cache.Attach(call, req, out)
	if c.tape != nil {
		c.in.Attach = req
		c.put(InAttach, call, 0, out[n:])
	}
	return out
}

func (c *Taped) Detach(call uint64, ref wire.VolumeRef, out []Effect) []Effect {
	n := len(out)
	out = c.Cache.Detach(call, ref, out)
	if c.tape != nil {
		c.in.Volume, c.in.Epoch = ref.Volume, ref.Epoch
		c.put(InDetach, call, 0, out[n:])
	}
	return out
}

func (c *Taped) Switch(m wire.SwitchReq) error {
	err := c.Cache.Switch(m)
	if c.tape != nil {
		c.in.Switch = m
		c.put(InSwitch, 0, tapes.SumError(0, err), nil)
	}
	return err
}

// of sets what names a volume in a record.
func (c *Taped) of(id wire.VolumeID, epoch wire.Epoch, err error) {
	c.in.Volume, c.in.Epoch, c.in.Err = id, epoch, err
}

func (c *Taped) Clean(call uint64, id wire.VolumeID, out []Effect) []Effect {
	n := len(out)
	out = c.Cache.Clean(call, id, out)
	if c.tape != nil {
		c.of(id, 0, nil)
		c.put(InClean, call, 0, out[n:])
	}
	return out
}

func (c *Taped) Freeze(id wire.VolumeID, busy error, out []Effect) []Effect {
	n := len(out)
	out = c.Cache.Freeze(id, busy, out)
	if c.tape != nil {
		c.of(id, 0, busy)
		c.put(InFreeze, 0, 0, out[n:])
	}
	return out
}

func (c *Taped) Quiet(call uint64, id wire.VolumeID, out []Effect) []Effect {
	n := len(out)
	out = c.Cache.Quiet(call, id, out)
	if c.tape != nil {
		c.of(id, 0, nil)
		c.put(InQuiet, call, 0, out[n:])
	}
	return out
}

func (c *Taped) Thaw(id wire.VolumeID, epoch wire.Epoch) {
	c.Cache.Thaw(id, epoch)
	if c.tape != nil {
		c.of(id, epoch, nil)
		c.put(InThaw, 0, 0, nil)
	}
}

func (c *Taped) Leave(id wire.VolumeID, epoch wire.Epoch) {
	c.Cache.Leave(id, epoch)
	if c.tape != nil {
		c.of(id, epoch, nil)
		c.put(InLeave, 0, 0, nil)
	}
}

func (c *Taped) Lose(id wire.VolumeID, cause error, out []Effect) []Effect {
	n := len(out)
	out = c.Cache.Lose(id, cause, out)
	if c.tape != nil {
		c.of(id, 0, cause)
		c.put(InLose, 0, 0, out[n:])
	}
	return out
}

func (c *Taped) Discard(call uint64, id wire.VolumeID, upTo wire.Epoch, out []Effect) []Effect {
	n := len(out)
	out = c.Cache.Discard(call, id, upTo, out)
	if c.tape != nil {
		c.of(id, upTo, nil)
		c.put(InDiscard, call, 0, out[n:])
	}
	return out
}

func (c *Taped) Heat(from, n int, dt time.Duration, top *heat.Top) (more bool) {
	more = c.Cache.Heat(from, n, dt, top)
	if c.tape != nil {
		c.in.From, c.in.N, c.in.Since = from, n, dt
		c.put(InHeat, 0, c.sumHeat(more, from, n), nil)
	}
	return more
}

func (c *Taped) Configure(req wire.VolumeAttachReq) {
	c.Cache.Configure(req)
	if c.tape != nil {
		c.in.Attach = req
		c.put(InConfigure, 0, 0, nil)
	}
}
