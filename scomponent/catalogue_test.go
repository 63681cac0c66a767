package scomponent

import (
	"testing"
	"time"

	"splitkernel/netlayer/wire"
	"splitkernel/scomponent/blockdev"
)

// held is a store whose directory, or one of whose devices, is not synced before it is let go.
type held struct {
	blockdev.Store
	device  string        // whose sync is held; empty is the directory
	at      chan struct{} // capacity 1: somebody is held
	release chan struct{} // closed when nobody is held any more; nil while nobody is to be
}

func (h *held) wait() {
	if h.release == nil {
		return
	}
	select {
	case h.at <- struct{}{}:
	default:
	}
	<-h.release
}

func (h *held) Sync() error {
	if h.device == "" {
		h.wait()
	}
	return h.Store.Sync()
}

func (h *held) Create(name string) (blockdev.Device, error) {
	d, err := h.Store.Create(name)
	if err != nil {
		return nil, err
	}
	return &heldDevice{d, h, name}, nil
}

type heldDevice struct {
	blockdev.Device
	h    *held
	name string
}

func (d *heldDevice) Sync() error {
	if d.h.device == d.name {
		d.h.wait()
	}
	return d.Device.Sync()
}

// TestRequestsDoNotWaitForTheCatalogue: while a volume is made, deleted, comes or goes and waits for an fsync, or a move waits for a request of its volume, other
// volumes are read and written, and the component tells what it holds.
func TestRequestsDoNotWaitForTheCatalogue(t *testing.T) {
	move := wire.MoveID{Manager: wire.GSM, No: 1}
	open := wire.VolumeCopyOpenReq{Move: move, Volume: 3, Name: "v3", SizeBytes: 1 << 16, Epoch: 2, Giver: "s9", GiverAddr: "inproc:nobody"}
	ref := wire.VolumeMoveRef{Move: move, Volume: 3, Epoch: 2}
	end := wire.VolumeCopyEndReq{Move: move, Volume: 3, Last: true}
	type step struct {
		op  wire.Op
		req any
	}
	for name, x := range map[string]struct {
		before []step
		device string // whose sync is held
		flush  bool   // by a flush of volume 2
		last   step
	}{
		"made":      {last: step{wire.OpVolumeCreate, wire.VolumeCreateReq{Volume: 3, Epoch: 1, Name: "v3", SizeBytes: 1 << 16}}},
		"deleted":   {last: step{wire.OpVolumeDelete, wire.VolumeRef{Volume: 2, Epoch: 1}}},
		"comes":     {last: step{wire.OpVolumeCopyOpen, open}},
		"completed": {before: []step{{wire.OpVolumeCopyOpen, open}}, last: step{wire.OpVolumeCopyEnd, end}},
		"served":    {before: []step{{wire.OpVolumeCopyOpen, open}, {wire.OpVolumeCopyEnd, end}}, last: step{wire.OpVolumeServe, ref}},
		"dropped":   {before: []step{{wire.OpVolumeCopyOpen, open}}, last: step{wire.OpVolumeDrop, ref}},
		"forgotten": {last: step{wire.OpMoveForget, wire.MoveRef{Move: move}}},
		"given": {device: "vol-2.img", flush: true, last: step{wire.OpMoveStart, wire.MoveReq{
			Move: move, Kind: wire.MoveVolume, Volume: 2, OldEpoch: 1, Epoch: 2, UndoEpoch: 3, To: "s9", ToAddr: "inproc:nobody", ViaAddr: "inproc:nobody", TimeoutMS: 10,
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			h := &held{Store: blockdev.NewMemory(), device: x.device, at: make(chan struct{}, 1)}
			s := newSite(t, "s1", h)
			for _, v := range []wire.VolumeCreateReq{{Volume: 1, Epoch: 1, Name: "v1", SizeBytes: 1 << 16}, {Volume: 2, Epoch: 1, Name: "v2", SizeBytes: 1 << 16}} {
				s.must(s.control(wire.OpVolumeCreate, v, nil))
				s.must(s.control(wire.OpVolumeAttach, wire.VolumeAttachReq{Volume: v.Volume, Epoch: 1, SizeBytes: 1 << 16}, nil))
			}
			for _, b := range x.before {
				s.must(s.control(b.op, b.req, nil))
			}
			n := &node{t: t, c: s.c, peer: s.peer}
			h.release = make(chan struct{})
			done := make(chan error, 2)
			waits := 1
			if x.flush {
				waits++
				go func() { done <- n.flush(wire.Block{Volume: 2, VolumeEpoch: 1, Version: 1}) }()
				<-h.at
			}
			go func() { done <- s.control(x.last.op, x.last.req, nil) }()
			if !x.flush {
				<-h.at
			} else {
				eventually(t, "the order to wait for the flush", func() bool {
					if s.c.ordersMu.TryLock() {
						s.c.ordersMu.Unlock()
						return false
					}
					return true
				})
			}
			free := make(chan error, 1)
			go func() {
				var err error
				for i := uint64(1); err == nil && i <= 20; i++ {
					k := wire.Block{Volume: 1, VolumeEpoch: 1, Version: i}
					if err = n.write(k, sector(byte(i))); err == nil {
						k.Length = wire.SectorSize
						_, err = n.read(k)
					}
					if i > 10 { // also of those that only look
						s.c.Holdings()
						s.c.Stats()
						s.c.moveStatus(wire.MoveRef{Move: move})
						s.c.leaving(7)
					}
				}
				free <- err
			}()
			select {
			case err := <-free:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(30 * time.Second):
				t.Error("requests of another volume wait")
			}
			close(h.release)
			for range waits {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
		})
	}
}
