package fault

import (
	"reflect"
	"testing"
	"time"

	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/excache"
)

func newMoveCore(t *testing.T) *Core {
	t.Helper()
	x := excache.DefaultOptions()
	x.Lines, x.Ways, x.FlushFrames = 16, 0, 4
	cache, err := excache.New(x)
	if err != nil {
		t.Fatal(err)
	}
	o := DefaultOptions()
	o.RegionBytes = 64 * wire.PageSize
	c, err := New(o, cache)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestStateGoesElsewhere writes pages, drains, and takes the state to another core: a page that was flushed is fetched
// there, one that never was is p-local, and versions go on.
func TestStateGoesElsewhere(t *testing.T) {
	a := newMoveCore(t)
	a.Map(0, 200, true, []wire.Owner{{Region: 0, Node: "m1", Epoch: 1}, {Region: 1, Node: "m2", Epoch: 3}, {Region: 2, Node: "m1", Epoch: 1}, {Region: 3, Node: "m1", Epoch: 1}})
	a.Map(300, 310, false, []wire.Owner{{Region: 4, Node: "m2", Epoch: 1}})
	for page := wire.PageNo(60); page < 70; page++ {
		a.Fault(0, 0, page, true, nil)
		a.Finish(0, nil)
	}
	if _, err := a.Export(); err == nil {
		t.Error("a process that was not drained was exported")
	}
	flushed := 0
	for !a.Drained() {
		for _, e := range a.Drain(0, nil) {
			if e.Kind == Write {
				flushed++
				a.FlushDone(0, e.Flush.ID, nil, nil)
			}
		}
	}
	s, err := a.Export()
	if err != nil || flushed != 10 || s.LastFlush != 10 || !reflect.DeepEqual(s.Flushed, []PageSpan{{60, 69}}) || len(s.Maps) != 2 || len(s.Owners) != 5 {
		t.Fatalf("%v, %d flushed, %+v", err, flushed, s)
	}
	bare := s
	bare.Owners = s.Owners[:4]
	if err := newMoveCore(t).Import(bare); wire.KindOf(err) != wire.KindFailed { // as a home tells that was started anew
		t.Errorf("a state whose vRegion 4 nobody owns: %v", err)
	}
	b := newMoveCore(t)
	if err := b.Import(s); err != nil {
		t.Fatal(err)
	}
	if err := b.Import(s); err == nil {
		t.Error("a core took two states")
	}
	kind := func(page wire.PageNo) EffectKind { return b.Fault(0, 0, page, true, nil)[0].Kind }
	if k := kind(65); k != Fetch {
		t.Errorf("a page that was flushed: effect %d, want a fetch", k)
	}
	b.Fetched(0, 0, nil, nil)
	b.Finish(0, nil)
	if k := kind(59); k != Zero {
		t.Errorf("a page that never was: effect %d, want zeros", k)
	}
	b.Finish(0, nil)
	if f := b.FreePage(); f != 201 {
		t.Errorf("page %d is free, want 201", f)
	}
	out := b.Drain(0, nil)
	if len(out) != 2 || out[0].Flush.ID != 11 {
		t.Errorf("versions do not go on: %+v", out)
	}
	if err := b.CheckInvariants(); err != nil {
		t.Error(err)
	}
	// The giver goes on after all.
	a.Undrain()
	if frame, ok := a.Hit(60, true); !ok || a.Drained() {
		t.Errorf("after the drain was undone: frame %d, %v", frame, ok)
	}
	for what, bad := range map[string]State{
		"overlapping mappings":  {Maps: []Mapping{{0, 5, true}, {5, 6, true}}},
		"a mapping upside down": {Maps: []Mapping{{5, 0, true}}},
		"flushed and unmapped":  {Maps: []Mapping{{0, 5, true}}, Flushed: []PageSpan{{4, 6}}},
		"a span upside down":    {Maps: []Mapping{{0, 5, true}}, Flushed: []PageSpan{{4, 2}}},
	} {
		if err := newMoveCore(t).Import(bad); wire.KindOf(err) != wire.KindBadRequest {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestNewsOfAnOwnerSendsAtOnce: what an older owner refused, did not answer in time or took with it is sent to the new one as soon as the core
// knows of both, and the pauses between attempts begin anew there.
func TestNewsOfAnOwnerSendsAtOnce(t *testing.T) {
	unavailable, notOwner := wire.Errorf(wire.KindUnavailable, "gone"), wire.Errorf(wire.KindNotOwner, "not mine")
	old, now := wire.Owner{Region: 0, Node: "m1", Epoch: 1}, wire.Owner{Region: 0, Node: "m2", Epoch: 4}
	for _, tc := range []struct {
		name string
		do   func(c *Core, flush uint64) []Effect // a miss and a flush are under way; what was sent when it returns
	}{
		{"failed, then told", func(c *Core, flush uint64) (out []Effect) {
			for range 5 { // pauses have grown
				c.Fetched(0, 0, unavailable, nil)
				c.FlushDone(0, flush, unavailable, nil)
				c.Tick(time.Hour, nil)
			}
			c.Fetched(0, 0, unavailable, nil)
			c.FlushDone(0, flush, unavailable, nil)
			return c.OwnerMoved(0, now, nil)
		}},
		{"told, then failed", func(c *Core, flush uint64) []Effect {
			if out := c.OwnerMoved(0, now, nil); len(out) != 0 {
				t.Errorf("sent while the first is under way: %+v", out)
			}
			return c.FlushDone(0, flush, unavailable, c.Fetched(0, 0, notOwner, nil))
		}},
		{"asks, then told", func(c *Core, flush uint64) []Effect {
			c.FlushDone(0, flush, notOwner, c.Fetched(0, 0, notOwner, nil))
			return c.OwnerMoved(0, now, nil)
		}},
		{"asks", func(c *Core, flush uint64) []Effect {
			c.FlushDone(0, flush, notOwner, c.Fetched(0, 0, notOwner, nil))
			return c.OwnerKnown(0, 0, now, nil, nil)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newMoveCore(t)
			c.Map(0, 63, false, []wire.Owner{old})
			for page := wire.PageNo(0); page < 16; page++ {
				c.Fault(0, 0, page, true, nil)
				c.Fetched(0, 0, nil, nil)
				c.Finish(0, nil)
			}
			begun := c.Fault(0, 0, 16, false, nil)
			if len(begun) != 1 || begun[0].Kind != Fetch || !begun[0].Piggyback {
				t.Fatalf("%+v, want a miss with a flush", begun)
			}
			out := tc.do(c, begun[0].Flush.ID)
			sent := map[EffectKind]wire.Owner{}
			for _, e := range out {
				sent[e.Kind] = e.Owner
			}
			if sent[Fetch] != now || sent[Write] != now {
				t.Errorf("%+v, want both sent to the new owner", out)
			}
			if err := c.CheckInvariants(); err != nil {
				t.Error(err)
			}
			// It does not serve yet: a short pause, as at first.
			busy := wire.Errorf(wire.KindBusy, "soon")
			c.Fetched(0, 0, busy, nil)
			if out := c.Tick(2*c.o.backoff(1), nil); len(out) != 1 || out[0].Kind != Fetch {
				t.Errorf("after a short pause %+v, want a miss", out)
			}
		})
	}
}
