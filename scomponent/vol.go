package scomponent

import (
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"splitkernel/netlayer"
	"splitkernel/netlayer/heat"
	"splitkernel/netlayer/wire"
	"splitkernel/scomponent/blockdev"
	"splitkernel/scomponent/iosched"
	"splitkernel/scomponent/volume"
)

// stripes is how many locks the blocks of a volume share, so that bytes and checksums of a block change together.
const stripes = 64

// vol is an open volume.
type vol struct {
	node wire.NodeID
	id   wire.VolumeID

	gate   sync.RWMutex // shared by requests; alone for a new epoch, an attach, a delete
	gone   bool         // deleted or closed; under gate
	broken error        // its files cannot be used; never changes
	closed error        // what requests are answered while it moves; under gate
	img    blockdev.Device
	sums   blockdev.Device
	blocks [stripes]sync.RWMutex

	st      sync.Mutex // what follows
	core    *volume.Taped
	owed    volume.Persist // a header that could not be written yet
	sched   *iosched.Taped
	effects []iosched.Effect
	waiting map[uint64]*flushWait
	lastID  uint64
	give    *giving    // it is being given away: hears of every write
	served  heat.Meter // block requests, and their bytes
	bytes   heat.Meter
}

// flushWait is a flush that waits to be covered by a sync, or to perform one.
type flushWait struct {
	turn chan turn // capacity 2: told to lead once, answered once
}

type turn struct {
	lead bool
	err  error
}

// scratch is what one read or write needs beside the page.
type scratch struct {
	entry [volume.EntryLen]byte
	got   [wire.SectorsPerPage]uint32
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// ioError turns an error of a device into one that crosses the wire.
func (v *vol) ioError(what string, err error) error {
	kind := wire.KindInternal
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		kind = wire.KindNoSpace
	}
	return wire.Errorf(kind, "volume %d at %s: %s: %v", v.id, v.node, what, err)
}

// persist writes the header as p and what is owed say. st is held. err is the request's own outcome and comes first, but
// the header is written in any case: a refusal may be a new fact.
func (v *vol) persist(p volume.Persist, err error) error {
	if v.owed = max(v.owed, p); v.owed == volume.Nothing {
		return err
	}
	b, off := v.core.Header()
	_, werr := v.sums.WriteAt(b, off)
	if werr == nil && v.owed == volume.Synced {
		werr = v.sums.Sync()
	}
	if werr == nil {
		v.owed = volume.Nothing
	} else if err == nil {
		err = v.ioError("its header cannot be written", werr)
	}
	return err
}

// enter takes the gate for a request. A request with a new epoch first waits alone for those under older ones to end.
func (v *vol) enter(k wire.Block) error {
	for {
		v.gate.RLock()
		if err := v.usable(); err != nil {
			v.gate.RUnlock()
			return err
		}
		v.st.Lock()
		fresh := v.core.NewEpoch(k.VolumeEpoch)
		v.st.Unlock()
		if !fresh {
			return nil
		}
		v.gate.RUnlock()
		v.gate.Lock()
		err := v.usable()
		if err == nil {
			v.st.Lock()
			err = v.persist(v.core.Flush(k)) // only the epoch matters here
			v.st.Unlock()
		}
		v.gate.Unlock()
		if err != nil {
			return err
		}
	}
}

func (v *vol) usable() error {
	if v.gone {
		return wire.Errorf(wire.KindNotFound, "volume %d is not at %s", v.id, v.node)
	}
	if v.broken != nil {
		return v.broken
	}
	return v.closed
}

func (v *vol) attach(req wire.VolumeAttachReq) error {
	v.gate.Lock()
	defer v.gate.Unlock()
	if err := v.usable(); err != nil {
		return err
	}
	v.st.Lock()
	defer v.st.Unlock()
	return v.persist(v.core.Attach(req))
}

// read fills the reply with sectors and the checksum that was stored with them.
func (v *vol) read(k wire.Block, rep *netlayer.Reply) error {
	if err := v.enter(k); err != nil {
		return err
	}
	defer v.gate.RUnlock()
	v.st.Lock()
	v.count(k)
	err := v.persist(v.core.Read(k))
	v.st.Unlock()
	if err != nil {
		return err
	}
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	page := rep.Page(int(k.Length))
	n, block := len(page)/wire.SectorSize, k.Offset/wire.PageSize

	lock := &v.blocks[block%stripes]
	lock.RLock()
	_, err = v.img.ReadAt(page, int64(k.Offset))
	var serr error
	if err == nil {
		_, serr = v.sums.ReadAt(s.entry[:], volume.EntryOffset(block))
	}
	lock.RUnlock()
	if err != nil {
		return v.ioError(fmt.Sprintf("read of %d bytes at offset %d", k.Length, k.Offset), err)
	}
	if serr != nil {
		return v.ioError(fmt.Sprintf("read of the checksums at offset %d", k.Offset), serr)
	}
	e, ok := volume.ParseEntry(s.entry[:])
	if !ok {
		return v.badEntry(block)
	}
	first := k.Offset % wire.PageSize / wire.SectorSize
	sums := e.Sums[first : first+uint64(n)]
	wire.SectorChecksums(s.got[:n], page)
	for i := range n {
		if s.got[i] != sums[i] {
			return wire.Errorf(wire.KindCorrupt, "volume %d at %s: the sector at offset %d has checksum %#08x, stored is %#08x: its bytes changed on the disk",
				v.id, v.node, k.Offset+uint64(i)*wire.SectorSize, s.got[i], sums[i])
		}
	}
	rep.SetPageCRC(wire.JoinSectors(sums))
	return nil
}

// badEntry is the error of a block of which nothing can be said.
func (v *vol) badEntry(block uint64) error {
	return wire.Errorf(wire.KindCorrupt, "volume %d at %s: the entry of the block at offset %d in %s does not fit its own checksum: it changed on the disk", v.id, v.node, block*wire.PageSize, volume.SumsName(v.id))
}

// write stores sectors with their checksums. Length 0 is a mark.
func (v *vol) write(k wire.Block, page []byte) error {
	if len(page) != int(k.Length) {
		return wire.Errorf(wire.KindBadRequest, "volume %d: a write of %d bytes with a payload of %d", k.Volume, k.Length, len(page))
	}
	if err := v.enter(k); err != nil {
		return err
	}
	defer v.gate.RUnlock()
	block := k.Offset / wire.PageSize
	lock := &v.blocks[block%stripes]
	lock.Lock() // before the version is checked, so that the order of versions is the order of writes
	defer lock.Unlock()
	v.st.Lock()
	v.count(k)
	apply, p, err := v.core.Write(k)
	err = v.persist(p, err)
	if err == nil && apply && v.give != nil {
		v.give.wrote(block)
	}
	v.st.Unlock()
	if err != nil || !apply {
		return err
	}
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	var e volume.Entry
	if len(page) < wire.PageSize { // the sums of the other sectors stay
		if _, err := v.sums.ReadAt(s.entry[:], volume.EntryOffset(block)); err != nil {
			return v.ioError(fmt.Sprintf("read of the checksums at offset %d", k.Offset), err)
		}
		var ok bool
		if e, ok = volume.ParseEntry(s.entry[:]); !ok {
			return v.badEntry(block)
		}
	}
	n, first := len(page)/wire.SectorSize, k.Offset%wire.PageSize/wire.SectorSize
	wire.SectorChecksums(s.got[:n], page)
	wrote, err := v.img.WriteAt(page, int64(k.Offset))
	if err == nil {
		e.Version = wire.BlockVersion{Epoch: k.VolumeEpoch, No: k.Version}
	} else if n = wrote / wire.SectorSize; len(page) == wire.PageSize { // what is whole keeps a checksum that fits
		ok := false
		if _, rerr := v.sums.ReadAt(s.entry[:], volume.EntryOffset(block)); rerr == nil {
			e, ok = volume.ParseEntry(s.entry[:])
		}
		if !ok {
			n = 0
		}
	}
	if copy(e.Sums[first:], s.got[:n]) > 0 {
		e.Put(s.entry[:])
		if _, serr := v.sums.WriteAt(s.entry[:], volume.EntryOffset(block)); err == nil {
			err = serr
		}
	}
	if err != nil {
		return v.ioError(fmt.Sprintf("write of %d bytes at offset %d", k.Length, k.Offset), err)
	}
	return nil
}

// flush returns after an fdatasync that began after this call. One of the flushes that wait performs it for all of them.
// A request that has begun to wait stays until it is answered, because it may be the one that syncs.
func (v *vol) flush(k wire.Block) error {
	if err := v.enter(k); err != nil {
		return err
	}
	defer v.gate.RUnlock()
	w := flushWait{turn: make(chan turn, 2)}
	v.st.Lock()
	v.count(k)
	p, err := v.core.Flush(k)
	if err = v.persist(p, err); err != nil {
		v.st.Unlock()
		return err
	}
	v.lastID++
	v.waiting[v.lastID] = &w
	v.effects = v.sched.Flush(v.lastID, v.effects[:0])
	v.perform()
	v.st.Unlock()

	t := <-w.turn
	if t.lead {
		err := v.sync()
		v.st.Lock()
		if err != nil {
			// After a failed sync the kernel may have dropped the pages, and a later sync would succeed without them.
			v.persist(v.core.Fail(fmt.Sprintf("fdatasync failed, what was written before may be lost: %v", err)))
			err = v.ioError("fdatasync", err)
		}
		v.effects = v.sched.Synced(err, v.effects[:0])
		v.perform()
		v.st.Unlock()
		t = <-w.turn
	}
	if t.err != nil {
		return t.err
	}
	v.st.Lock()
	defer v.st.Unlock()
	return v.persist(v.core.Flushed(k), nil)
}

// perform hands the effects of the scheduler to the flushes that they name. st is held.
func (v *vol) perform() {
	for _, e := range v.effects {
		w := v.waiting[e.ID]
		if e.Kind == iosched.Ack {
			delete(v.waiting, e.ID)
		}
		w.turn <- turn{lead: e.Kind == iosched.Sync, err: e.Err}
	}
}

// sync makes bytes and checksums durable, both files at once.
func (v *vol) sync() error {
	done := make(chan error, 1)
	go func() { done <- v.sums.Sync() }()
	err := v.img.Sync()
	return errors.Join(err, <-done)
}

// close waits for the requests that run and closes the files.
func (v *vol) close() error {
	v.gate.Lock()
	defer v.gate.Unlock()
	if v.gone {
		return nil
	}
	v.gone = true
	var err error
	if v.img != nil {
		err = errors.Join(err, v.img.Close())
	}
	if v.sums != nil {
		err = errors.Join(err, v.sums.Close())
	}
	return err
}
