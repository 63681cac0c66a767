package pcomponent

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// places tells where a volume or a home is: the first answers, one after the other, then the last.
type places struct {
	said  []VolumeOptions
	homes []wire.Owner // likewise
	err   error
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

func (w *places) Home(context.Context, wire.PID) (wire.Owner, error) {
	if w.err != nil {
		return wire.Owner{}, w.err
	}
	o := w.homes[0]
	if len(w.homes) > 1 {
		w.homes = w.homes[1:]
	}
	return o, nil
}

// TestOpenAtAMovedHome: a process whose home moved before it began finds it, also if the books learn of the move late; one whose home was
// given back fails.
func TestOpenAtAMovedHome(t *testing.T) {
	os := startOwners(t, 2)
	p := open(t, os[0], small(8, "list"), 1, nil)
	var opened []wire.ProcessOpenReq // os[1].mu guards it
	os[0].open = func(wire.ProcessOpenReq) error { return wire.Errorf(wire.KindNotOwner, "the home moved") }
	os[1].open = func(q wire.ProcessOpenReq) error { opened = append(opened, q); return nil }
	o := ProcessOptions{PID: 77, Epoch: 4, Name: "late", Home: wire.Owner{Node: os[0].id, Addr: string(os[0].addr), Epoch: 1}, Threads: 1, ExCache: small(8, "list"), RegionBytes: 1 << 20}
	for _, m := range []Managers{nil, &places{err: wire.ErrNotFound}} {
		p.c.o.Managers = m
		if _, err := p.c.Open(background(t), o); !errors.Is(err, wire.ErrNotOwner) {
			t.Fatalf("by %+v: %v, want that the home moved", m, err)
		}
	}
	now := wire.Owner{Node: os[1].id, Addr: string(os[1].addr), Epoch: 2}
	p.c.o.Managers = &places{homes: []wire.Owner{o.Home, o.Home, now}}
	q, err := p.c.Open(background(t), o)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close(background(t))
	os[1].mu.Lock()
	defer os[1].mu.Unlock()
	if at := q.Home(); at != now || len(opened) != 1 || opened[0].Home != 2 || opened[0].Epoch != 4 {
		t.Errorf("home %+v, opened %+v; want it opened once at %+v", at, opened, now)
	}
}

// TestAttachOfAMovedVolume: a volume that moved after the process was told of it is found, also if the books learn of the move
// late; one that was given back is not looked for.
func TestAttachOfAMovedVolume(t *testing.T) {
	os := startOwners(t, 2)
	p := open(t, os[0], small(8, "list"), 1, nil)
	old := VolumeOptions{ID: 3, Epoch: 1, SizeBytes: 1 << 20, Storage: "s1", StorageAddr: "inproc:s1", Cache: os[0].id, CacheAddr: string(os[0].addr)}
	now := old
	now.Epoch, now.Storage, now.StorageAddr, now.Cache, now.CacheAddr = 3, "s2", "inproc:s2", os[1].id, string(os[1].addr)
	os[0].attach = func(q wire.VolumeAttachReq) error {
		return wire.Errorf(wire.KindStale, "volume %d has moved", q.Volume)
	}
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
	if got.Epoch != 3 || got.Storage != "s2" || got.StorageAddr != "inproc:s2" || !reflect.DeepEqual(v.options(), now) {
		t.Errorf("attached %+v, %+v", got, v.options())
	}
}

// TestOpenAtAHomeThatTookOver before the process began: it was told here, when nobody could hear it.
func TestOpenAtAHomeThatTookOver(t *testing.T) {
	os := startOwners(t, 2)
	p := open(t, os[0], small(8, "list"), 1, nil)
	o := ProcessOptions{PID: 77, Epoch: 4, Name: "late", Home: wire.Owner{Node: os[0].id, Addr: string(os[0].addr), Epoch: 1}, Threads: 1, ExCache: small(8, "list"), RegionBytes: 1 << 20}
	now := wire.Owner{Node: os[1].id, Addr: string(os[1].addr), Epoch: 4}
	tell := func() {
		req := netlayer.Request{Op: wire.OpHomeSwitch, Body: wire.Marshal(wire.HomeSwitchReq{PID: o.PID, Home: now})}
		if err := p.c.Switched(&req); !errors.Is(err, wire.ErrNotFound) {
			t.Errorf("%v, want that no such process runs here", err)
		}
	}
	os[0].open = func(wire.ProcessOpenReq) error { tell(); return nil } // while it opens at the old one
	for _, where := range []string{"behind the opening", "before it"} {
		q, err := p.c.Open(background(t), o)
		if err != nil {
			t.Fatal(err)
		}
		if at := q.Home(); at != now {
			t.Errorf("told %s: home %+v, want %+v", where, at, now)
		}
		os[0].open = func(wire.ProcessOpenReq) error { t.Error("opened at the old home"); return nil }
		if err := q.Close(background(t)); err != nil {
			t.Error(err)
		}
	}
}
