package vcluster

import (
	"cmp"
	"fmt"
	"slices"

	"splitkernel/mcomponent/buffercache"
	"splitkernel/netlayer/heat"
	"splitkernel/netlayer/wire"
	"splitkernel/scomponent/device"
	"splitkernel/scomponent/iosched"
	"splitkernel/scomponent/volume"
	"splitkernel/sim/vtime"
)

// storage is an sComponent: its volumes, and a device. What is written lies in the memory of its operating system until a flush
// takes it to the device; what is read comes from the device unless it lies there.
type storage struct {
	c        *Cluster
	o        *Node
	no       int32
	epoch    wire.Epoch
	dev      *device.Device
	vols     map[wire.VolumeID]*vol
	reserved uint64
	next     uint64              // of the device: where the next volume begins
	spaces   map[uint64][]uint64 // where volumes were that are gone, by size
	moving   *storageMoves       // what moves to and from it; nil if nothing did

	reads, writes, flushes uint64
	bytes                  uint64 // of blocks
	waits                  waits
}

// vol is a volume.
type vol struct {
	core    *volume.Volume
	sched   *iosched.Scheduler
	base    uint64              // where it begins on the device
	blocks  map[uint64]*sectors // by block; a block that is missing is zeros
	dirty   map[uint64]bool     // blocks that a flush takes to the device
	owed    volume.Persist      // a header that must be written
	waiting map[uint64]flushing
	last    uint64
	// versions are of the blocks of a volume that has other copies.
	versions map[uint64]wire.BlockVersion
	bad      map[uint64]uint8 // sectors that were corrupted on purpose, by block
	served   heat.Meter       // block requests, and their bytes
	bytes    heat.Meter

	closed  error        // what requests are answered while it moves
	running int          // requests
	quiet   vtime.Signal // none runs
	give    *volumeMove  // it is being given away: hears of every write
}

// flushing is a flush that waits to be covered.
type flushing struct {
	k wire.Block
	q *blockCall
}

func newStorage(c *Cluster, o *Node, no int32) (*storage, error) {
	d, err := device.New(c.o.Hardware.Device, vtime.Stream(c.o.Seed, "device", uint64(no)))
	if err != nil {
		return nil, fmt.Errorf("hardware: device: %w", err)
	}
	return &storage{c: c, o: o, no: no, dev: d, vols: map[wire.VolumeID]*vol{}}, nil
}

func (s *storage) load() wire.Load {
	return wire.Load{ReservedBytes: s.reserved, Volumes: uint32(len(s.vols)), BlockOps: s.reads + s.writes + s.flushes, BlockBytes: s.bytes}
}

// io does f when the device has read or written.
func (s *storage) io(op device.Op, offset uint64, bytes int, f func()) {
	at := s.dev.Do(s.c.clock.Now(), op, offset, uint64(bytes))
	s.c.digest.mark(at, markDevice, uint64(s.no)<<8|uint64(op), offset)
	s.c.of(s.no, at, f)
}

// flush does f when everything that was written is durable.
func (s *storage) flush(f func()) {
	at := s.dev.Flush(s.c.clock.Now())
	s.c.digest.mark(at, markDevice, uint64(s.no)<<8|0xff, 0)
	s.c.of(s.no, at, f)
}

func (s *storage) create(q wire.VolumeCreateReq) error {
	meta, err := volume.Check(q, volume.BootID{})
	if err != nil {
		return err
	}
	if v := s.vols[q.Volume]; v != nil {
		if old := v.core.Meta(); old.Name != meta.Name || old.SizeBytes != meta.SizeBytes {
			return wire.Errorf(wire.KindExists, "volume %d at %s exists as %q with %d bytes, wanted is %q with %d", q.Volume, s.o.ID, old.Name, old.SizeBytes, meta.Name, meta.SizeBytes)
		}
		return nil
	}
	if err := s.room(meta.SizeBytes); err != nil {
		return err
	}
	if err := s.noSpace(fmt.Sprintf("volume %d cannot be made", q.Volume)); err != nil {
		return err
	}
	s.place(q.Volume, meta)
	return nil
}

// place makes a volume where there is space on the device.
func (s *storage) place(id wire.VolumeID, meta volume.Meta) *vol {
	v := &vol{core: volume.New(meta, volume.BootID{}), sched: iosched.New(s.o.FlushQueue), base: s.next, blocks: map[uint64]*sectors{}, dirty: map[uint64]bool{}, waiting: map[uint64]flushing{}}
	if was := s.spaces[meta.SizeBytes]; len(was) > 0 {
		v.base, s.spaces[meta.SizeBytes] = was[len(was)-1], was[:len(was)-1]
	} else {
		s.next += meta.SizeBytes
	}
	s.vols[id] = v
	s.reserved += meta.SizeBytes
	return v
}

// forget takes a volume out of the books.
func (s *storage) forget(id wire.VolumeID) {
	v := s.vols[id]
	size := v.core.Meta().SizeBytes
	s.reserved -= size
	delete(s.vols, id)
	if s.spaces == nil {
		s.spaces = map[uint64][]uint64{}
	}
	s.spaces[size] = append(s.spaces[size], v.base)
}

func (s *storage) remove(q wire.VolumeRef) error {
	v := s.vols[q.Volume]
	if v == nil {
		if gone := s.gaveAway(q.Volume); gone != nil {
			return gone
		}
		return wire.Errorf(wire.KindNotFound, "volume %d is not at %s", q.Volume, s.o.ID)
	}
	if v.give != nil && v.give.Status().State != wire.MoveLost {
		return wire.Errorf(wire.KindBusy, "volume %d is moving to %s: retry", q.Volume, v.give.req.To)
	}
	if s.moving != nil && s.moving.incoming[q.Volume] != nil {
		return v.closed
	}
	if meta := v.core.Meta(); q.Epoch < meta.Epoch {
		return wire.Errorf(wire.KindStale, "volume %d (%s): delete under epoch %d, want at least %d", q.Volume, meta.Name, q.Epoch, meta.Epoch)
	}
	s.forget(q.Volume)
	return nil
}

func (s *storage) find(id wire.VolumeID) (*vol, error) {
	if v := s.vols[id]; v != nil {
		return v, nil
	}
	return nil, wire.Errorf(wire.KindNotFound, "volume %d is not at %s", id, s.o.ID)
}

func (s *storage) attach(q wire.VolumeAttachReq, done func(error)) {
	v, err := s.find(q.Volume)
	if err == nil {
		err = v.closed
	}
	if err != nil {
		done(err)
		return
	}
	p, err := v.core.Attach(q)
	v.running++
	s.persist(v, p, func() {
		v.ended()
		done(err)
	})
}

// persist writes the header of a volume as it must be, then goes on.
func (s *storage) persist(v *vol, p volume.Persist, then func()) {
	if v.owed = max(v.owed, p); v.owed == volume.Nothing {
		then()
		return
	}
	v.core.Header() // counts its sequence
	synced := v.owed == volume.Synced
	v.owed = volume.Nothing
	if !synced { // handed to the operating system
		then()
		return
	}
	s.io(device.Write, v.base, volume.HeaderLen, func() { s.flush(then) })
}

// count counts a request.
func (v *vol) count(k wire.Block) {
	v.served.Add(1)
	v.bytes.Add(uint64(k.Length))
}

// ended counts a request that ran.
func (v *vol) ended() {
	if v.running--; v.running == 0 {
		v.quiet.Broadcast()
	}
}

// block serves a block request.
func (s *storage) block(op wire.Op, k wire.Block, q *blockCall) {
	v, err := s.find(k.Volume)
	if err == nil {
		err = v.closed
	}
	if err != nil {
		q.reply(err)
		return
	}
	v.running++
	reply := q.reply
	q.reply = func(err error) {
		v.ended()
		reply(err)
	}
	v.count(k)
	s.bytes += uint64(k.Length)
	served := func() {
		if f := s.c.o.Served; f != nil {
			f(Served{Node: s.o.ID, Thing: wire.MoveVolume, Volume: k.Volume, Epoch: k.VolumeEpoch})
		}
	}
	switch op {
	case wire.OpBlockRead:
		s.reads++
		p, err := v.core.Read(k)
		if err == nil {
			served()
		}
		s.persist(v, p, func() {
			if err != nil {
				q.reply(err)
				return
			}
			n := k.Offset / wire.PageSize
			give := func() {
				if err := v.checked(s, k, uint8(buffercache.MaskOf(k))); err != nil {
					q.reply(err)
					return
				}
				if b := v.blocks[n]; b != nil {
					each(buffercache.MaskOf(k), func(i int) { q.data[i] = b[i] })
				}
				q.reply(nil)
			}
			if v.dirty[n] {
				give()
				return
			}
			s.io(device.Read, v.base+k.Offset, int(k.Length), give)
		})
	case wire.OpBlockWrite:
		if k.Length > 0 { // a mark is no write
			s.writes++
		}
		apply, p, err := v.core.Write(k)
		if err == nil {
			served()
		}
		s.persist(v, p, func() {
			if err == nil && apply {
				err = s.noSpace(fmt.Sprintf("volume %d: write of %d bytes at offset %d", k.Volume, k.Length, k.Offset))
			}
			if err == nil && apply {
				v.rewritten(k, uint8(buffercache.MaskOf(k)))
				n := k.Offset / wire.PageSize
				b := v.blocks[n]
				if b == nil {
					b = new(sectors)
					v.blocks[n] = b
				}
				each(buffercache.MaskOf(k), func(i int) { b[i] = q.data[i] })
				v.dirty[n] = true
				if v.give != nil {
					v.give.core.Wrote(n)
				}
			}
			q.reply(err)
		})
	default:
		s.flushes++
		p, err := v.core.Flush(k)
		s.persist(v, p, func() {
			if err != nil {
				q.reply(err)
				return
			}
			v.last++
			v.waiting[v.last] = flushing{k, q}
			s.sync(v, v.sched.Flush(v.last, nil))
		})
	}
}

// sync performs what the scheduler of a volume wants.
func (s *storage) sync(v *vol, out []iosched.Effect) {
	for _, e := range out {
		if e.Kind == iosched.Ack {
			f := v.waiting[e.ID]
			delete(v.waiting, e.ID)
			if e.Err != nil {
				f.q.reply(e.Err)
				continue
			}
			s.persist(v, v.core.Flushed(f.k), func() { f.q.reply(nil) })
			continue
		}
		s.write(v, func() { s.sync(v, v.sched.Synced(nil, nil)) })
	}
}

// write takes what lies in memory of a volume to the device, and then goes on.
func (s *storage) write(v *vol, then func()) {
	blocks := sorted(v.dirty)
	clear(v.dirty)
	left := 1
	ended := func() {
		if left--; left == 0 {
			s.flush(then)
		}
	}
	for i := 0; i < len(blocks); { // runs of blocks are one operation
		j := i + 1
		for j < len(blocks) && blocks[j] == blocks[j-1]+1 {
			j++
		}
		left++
		s.io(device.Write, v.base+blocks[i]*wire.PageSize, (j-i)*wire.PageSize, ended)
		i = j
	}
	ended()
}

func (s *storage) whoWaits(report func(who, what string)) {
	for _, id := range sorted(s.vols) {
		if n := len(s.vols[id].waiting); n > 0 {
			report(string(s.o.ID), fmt.Sprintf("%d flushes of volume %d", n, id))
		}
	}
}

// sorted gives the keys of a map in order.
func sorted[K cmp.Ordered, T any](of map[K]T) []K {
	ids := make([]K, 0, len(of))
	for id := range of {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
