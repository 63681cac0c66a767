package pcomponent

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"sync"
	"time"

	"splitkernel/netlayer"
	"splitkernel/netlayer/span"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/blockio"
)

// Volume is a volume that a process has attached: its requests go to the mComponent that holds its buffer cache.
type Volume struct {
	p         *Process
	id        wire.VolumeID
	sizeBytes uint64
	parts     []part
	version   uint64
	requests  uint64 // of which one in TraceSample is a trace
	trace     uint32 // of the request under way; 0 is none

	mu  sync.Mutex    // guards what follows; taken before no other lock
	opt VolumeOptions // as it was attached first; where its buffer cache is now says at
	at  cachePlace
}

// cachePlace is where the buffer cache of a volume is. It moves: SwitchCache.
type cachePlace struct {
	node  wire.NodeID
	addr  string
	epoch wire.Epoch
}

// part is one 4 KiB block of a request under way.
type part struct {
	call  netlayer.Call
	k     wire.Block
	at    cachePlace // where it was sent
	peer  *netlayer.Peer
	body  [wire.BlockLen]byte
	retry blockio.Retry
	err   error
	sent  time.Time // of a request that is a trace
}

// VolumeOptions name a volume and where GSM put it.
type VolumeOptions struct {
	ID          wire.VolumeID
	Epoch       wire.Epoch
	SizeBytes   uint64
	Storage     wire.NodeID
	StorageAddr string
	Cache       wire.NodeID
	CacheAddr   string
	// Of a volume with several copies, else empty: the buffer cache coordinates them.
	Replicas    []wire.VolumeReplica
	Config      uint64
	WriteQuorum uint8
	ReadQuorum  uint8
	Through     bool // a write is acknowledged once it is at the sComponents
}

// Places are the sComponents that have the volume.
func (o *VolumeOptions) Places() []wire.VolumeReplica {
	if len(o.Replicas) == 0 {
		return []wire.VolumeReplica{{Node: o.Storage, Addr: o.StorageAddr, State: wire.ReplicaInSync}}
	}
	return o.Replicas
}

// attach is what a buffer cache is told.
func (o *VolumeOptions) attach(client string) wire.VolumeAttachReq {
	q := wire.VolumeAttachReq{Volume: o.ID, Epoch: o.Epoch, SizeBytes: o.SizeBytes, ClientAddr: client, Through: o.Through}
	if len(o.Replicas) == 0 {
		q.Storage, q.StorageAddr = o.Storage, o.StorageAddr
		return q
	}
	q.Replicas, q.Config, q.WriteQuorum, q.ReadQuorum = o.Replicas, o.Config, o.WriteQuorum, o.ReadQuorum
	return q
}

// Attach makes a volume usable by the process.
func (p *Process) Attach(ctx context.Context, o VolumeOptions) (*Volume, error) {
	v := &Volume{p: p, id: o.ID, sizeBytes: o.SizeBytes, parts: make([]part, blockio.Window), opt: o, at: cachePlace{o.Cache, o.CacheAddr, o.Epoch}}
	// Before the mComponent knows of us: it may tell us at once that the buffer cache has moved.
	p.mu.Lock()
	old := p.volumes[o.ID]
	p.volumes[o.ID] = v
	p.mu.Unlock()
	if err := v.attach(ctx); err != nil {
		p.mu.Lock()
		if delete(p.volumes, o.ID); old != nil {
			p.volumes[o.ID] = old
		}
		p.mu.Unlock()
		return nil, err
	}
	return v, nil
}

// attachAt tells a buffer cache who uses the volume.
func (v *Volume) attachAt(ctx context.Context, o VolumeOptions) error {
	req := o.attach(v.p.c.Addr())
	req.Process = v.p.Epoch()
	if err := v.p.c.peer(o.CacheAddr).Control(ctx, wire.OpVolumeAttach, o.Epoch, req, nil); err != nil {
		return fmt.Errorf("volume %d: attach at %s: %w", o.ID, o.Cache, err)
	}
	return nil
}

// place gives where the buffer cache is now.
func (v *Volume) place() cachePlace {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.at
}

// SwitchCache says that the buffer cache of a volume is at another mComponent. The requests of its processes go there from now on,
// those under way when the old one has refused them. A volume that nobody uses here needs nothing.
func (c *Component) SwitchCache(m wire.SwitchReq) error {
	if err := netlayer.Addr(m.ToAddr).Validate(); err != nil {
		return wire.Errorf(wire.KindBadRequest, "the buffer cache of volume %d at %s: %v", m.Volume, m.To, err)
	}
	for _, p := range c.open() {
		p.mu.Lock()
		v := p.volumes[m.Volume]
		p.mu.Unlock()
		if v == nil {
			continue
		}
		to := cachePlace{m.To, m.ToAddr, m.Epoch}
		v.mu.Lock()
		if m.Epoch > v.at.epoch {
			v.at = to
		}
		v.mu.Unlock()
	}
	return nil
}

// options gives the volume as it is attached now.
func (v *Volume) options() VolumeOptions {
	v.mu.Lock()
	defer v.mu.Unlock()
	o, at := v.opt, v.at
	o.Epoch, o.Cache, o.CacheAddr = at.epoch, at.node, at.addr
	return o
}

func (p *Process) sortedVolumes() []*Volume {
	p.mu.Lock()
	defer p.mu.Unlock()
	vs := make([]*Volume, 0, len(p.volumes))
	for _, v := range p.volumes {
		vs = append(vs, v)
	}
	sort.Slice(vs, func(i, j int) bool { return vs[i].id < vs[j].id })
	return vs
}

// detach gives the volume up, where its buffer cache is; if that moves meanwhile, at the new place. While it is busy it is asked again.
// One that is the buffer cache no more is not asked again: the managers are to name another.
func (v *Volume) detach(ctx context.Context) error {
	began, patience := time.Now(), time.Duration(v.p.c.o.BlockPatienceMS)*time.Millisecond
	var retry blockio.Retry
	for {
		at := v.place()
		err := v.p.c.peer(at.addr).Control(ctx, wire.OpVolumeDetach, at.epoch, wire.VolumeRef{Volume: v.id, Epoch: at.epoch, Process: v.p.Epoch()}, nil)
		if ctx.Err() != nil {
			return err
		}
		if v.place() != at {
			continue
		}
		kind := wire.KindOf(err)
		if kind != wire.KindBusy && kind != wire.KindNotOwner {
			return err
		}
		for paused := false; v.place() == at && (!paused || kind == wire.KindNotOwner); paused = true {
			wait, again := retry.Failed(kind, time.Since(began), patience, false)
			if !again || ctx.Err() != nil {
				return err
			}
			pause(ctx, wait)
		}
	}
}

// Read reads b at offset. offset and len(b) are multiples of the sector size. One goroutine uses a volume at a time.
func (v *Volume) Read(ctx context.Context, offset uint64, b []byte) error {
	return v.transfer(ctx, wire.OpBlockRead, BlockRead, offset, b)
}

// Write writes b at offset into the buffer cache; Flush makes it durable.
func (v *Volume) Write(ctx context.Context, offset uint64, b []byte) error {
	return v.transfer(ctx, wire.OpBlockWrite, BlockWrite, offset, b)
}

// Flush returns when everything written before is on the storage component's disk.
func (v *Volume) Flush(ctx context.Context) error {
	began := time.Now()
	v.sample()
	p := &v.parts[0]
	v.start(p, wire.OpBlockFlush, wire.Block{Volume: v.id, PID: v.p.o.PID}, nil)
	err := v.finish(ctx, p, v.patience())
	v.count(BlockFlush, began)
	if err != nil {
		err = fmt.Errorf("volume %d: flush at %s: %w", v.id, v.place().node, err)
	}
	v.tell(BlockFlush, began, 0, 0, err)
	return err
}

// patience is how long a part is sent again.
func (v *Volume) patience() time.Duration {
	return time.Duration(v.p.c.o.BlockPatienceMS) * time.Millisecond
}

// transfer splits a request at the 4 KiB blocks and keeps up to blockio.Window parts under way. When one has failed no more are started, and those that are
// under way are not sent again: a request fails after one patience, and not after that of each of its parts.
func (v *Volume) transfer(ctx context.Context, op wire.Op, kind BlockKind, offset uint64, b []byte) error {
	if err := blockio.Check(v.sizeBytes, offset, len(b)); err != nil {
		return fmt.Errorf("volume %d: %s of %w", v.id, kind, err)
	}
	began := time.Now()
	v.sample()
	var errs []error
	first, next, patience := 0, 0, v.patience() // parts under way: first ≤ i < next, each in slot i % blockio.Window
	finish := func() {
		if err := v.finish(ctx, &v.parts[first%blockio.Window], patience); err != nil {
			errs, patience = append(errs, err), 0
		}
		first++
	}
	for at := 0; at < len(b); next++ {
		n := blockio.Part(offset+uint64(at), len(b)-at)
		if next-first == blockio.Window {
			v.p.c.windowFull.Add(1)
			if finish(); len(errs) > 0 {
				break
			}
		}
		v.version++
		v.start(&v.parts[next%blockio.Window], op, wire.Block{Volume: v.id, Version: v.version, Offset: offset + uint64(at), Length: uint32(n), PID: v.p.o.PID}, b[at:at+n])
		at += n
	}
	for first < next {
		finish()
	}
	v.count(kind, began)
	err := errors.Join(errs...)
	if err != nil {
		err = fmt.Errorf("volume %d: %s of %d bytes at %d by %s: %w", v.id, kind, len(b), offset, v.place().node, err)
	}
	v.tell(kind, began, offset, len(b), err)
	return err
}

// sample begins a request: one in TraceSample is a trace.
func (v *Volume) sample() {
	v.requests++
	v.trace = 0
	if n := v.p.c.o.TraceSample; n > 0 && v.p.c.o.Net.Spans != nil && v.requests%uint64(n) == 0 {
		v.trace = span.New()
	}
}

// tell tells the span of a request that has ended, if it is a trace.
func (v *Volume) tell(kind BlockKind, began time.Time, offset uint64, n int, err error) {
	if v.trace == 0 {
		return
	}
	s := span.Span{
		Trace: v.trace, ID: span.Root(v.trace), Kind: span.Internal, Name: "block " + kind.String(), Start: began, End: time.Now(),
		Attrs: []span.Attr{
			{Key: "process", Text: v.p.o.Name}, {Key: "pid", N: int64(v.p.o.PID)}, {Key: "volume", N: int64(v.id)}, {Key: "offset", N: int64(offset)}, {Key: "bytes", N: int64(n)},
			{Key: "buffer_cache", Text: string(v.place().node)},
		},
	}
	if err != nil {
		s.Err = err.Error()
	}
	v.p.c.o.Net.Spans.Tell(s)
}

// start sends one part; b is where a read goes or what a write brings.
func (v *Volume) start(p *part, op wire.Op, k wire.Block, b []byte) {
	p.call.Op, p.call.Epoch, p.call.Err, p.call.Page, p.call.Into = op, v.p.o.Epoch, nil, nil, nil
	k.Process = v.p.o.Epoch
	p.k, p.retry = k, blockio.Retry{}
	if op == wire.OpBlockRead {
		p.call.Into = b
	} else {
		p.call.Page = b
	}
	v.send(p)
}

// send sends one part to where the buffer cache is now.
func (v *Volume) send(p *part) {
	p.at = v.place()
	p.k.VolumeEpoch = p.at.epoch
	p.call.Err = nil
	p.call.Body = p.k.Append(p.body[:0])
	p.peer = v.p.c.peer(p.at.addr)
	if p.call.Trace = v.trace; v.trace != 0 {
		p.sent = time.Now()
	}
	p.err = p.peer.Start(&p.call)
}

// finish waits for one part, and sends it again while the mComponent cannot be reached, and when the buffer cache has moved since.
func (v *Volume) finish(ctx context.Context, p *part, patience time.Duration) error {
	began := time.Now()
	for {
		err := p.err
		if err == nil {
			err = p.peer.Wait(&p.call)
			if v.trace != 0 {
				p.peer.TellSpan(&p.call, span.Root(v.trace), p.sent, time.Now())
			}
		}
		if err == nil {
			if n := len(p.call.Into); p.call.N != n {
				return wire.Errorf(wire.KindBadRequest, "%d bytes came, want %d", p.call.N, n)
			}
			return nil
		}
		wait, again := p.retry.Failed(wire.KindOf(err), time.Since(began), patience, v.place() != p.at)
		if !again || ctx.Err() != nil || v.p.life().Err() != nil {
			return err
		}
		v.p.blockRetries.Add(1)
		if wait > 0 {
			pause(ctx, wait)
		}
		v.send(p)
	}
}

func (v *Volume) count(kind BlockKind, began time.Time) {
	v.p.nBlocks.Add(1)
	v.p.mu.Lock()
	record(v.p.blocks[kind], time.Since(began))
	v.p.mu.Unlock()
}
