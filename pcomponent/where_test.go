package pcomponent

import (
	"context"
	"errors"
	"testing"

	"splitkernel/netlayer/wire"
)

// places tells where a volume is: the first answers, one after the other, then the last.
type places struct {
	said []VolumeOptions
	err  error
}

func (w *places) Volume(context.Context, wire.VolumeID) (o VolumeOptions, err error) {
	if w.err != nil {
		return o, w.err
	}
	o = w.said[0]
	if len(w.said) > 1 {
		w.said = w.said[1:]
	}
	return o, nil
}

// TestAttachOfAMovedVolume: a volume that moved after the process was told of it is found, also if the books learn of the move
// late; one that was given back is not looked for.
func TestAttachOfAMovedVolume(t *testing.T) {
	os := startOwners(t, 2)
	p := open(t, os[0], small(8, "list"), 1, nil)
	old := VolumeOptions{ID: 3, Epoch: 1, SizeBytes: 1 << 20, Storage: "s1", StorageAddr: "inproc:s1", Cache: os[0].id, CacheAddr: string(os[0].addr)}
	now := old
	now.Epoch, now.Storage, now.StorageAddr, now.Cache, now.CacheAddr = 3, "s2", "inproc:s2", os[1].id, string(os[1].addr)
	os[0].attach = func(q wire.VolumeAttachReq) error { return wire.Errorf(wire.KindStale, "volume %d has moved", q.Volume) }
	var got wire.VolumeAttachReq // os[1].mu guards it
	os[1].attach = func(q wire.VolumeAttachReq) error { got = q; return nil }

	if _, err := p.Attach(background(t), old); !errors.Is(err, wire.ErrStale) {
		t.Fatalf("without managers: %v", err)
	}
	p.c.o.Managers = &places{err: wire.ErrNotFound}
	if _, err := p.Attach(background(t), old); !errors.Is(err, wire.ErrStale) {
		t.Fatalf("of a volume that was given back: %v", err)
	}
	p.c.o.Managers = &places{said: []VolumeOptions{old, old, now}}
	v, err := p.Attach(background(t), old)
	if err != nil {
		t.Fatal(err)
	}
	os[1].mu.Lock()
	defer os[1].mu.Unlock()
	if got.Epoch != 3 || got.Storage != "s2" || got.StorageAddr != "inproc:s2" || v.options() != now {
		t.Errorf("attached %+v, %+v", got, v.options())
	}
}
