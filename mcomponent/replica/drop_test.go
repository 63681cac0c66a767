package replica

import (
	"testing"

	"splitkernel/netlayer/wire"
)

// TestADropComesLate: a holder that was started again is taken out and taken in anew by one configuration. That the owner has it forget what it had may be
// heard after it was opened anew, and must not take what it has been given since; heard before, or by one that is a holder no more, it takes what is there.
func TestADropComesLate(t *testing.T) {
	p := NewPrimary(DefaultOptions())
	held := func(member wire.Epoch, filling bool) wire.Holder {
		return wire.Holder{Node: "m1", Member: member, Filling: filling}
	}
	configure := func(config uint64, holders ...wire.Holder) (open *wire.ReplicaOpenReq, drop *wire.ReplicaRef) {
		t.Helper()
		for _, e := range p.Configure(0, slot, wire.RegionConfig{PID: pid, Region: region, Epoch: 1, Config: config, Policy: wire.MemoryPolicy{Kind: wire.MemorySync, Copies: 1}, Holders: holders}, nil) {
			switch e.Kind {
			case Open:
				open = e.Open
			case Drop:
				drop = e.Drop
			}
		}
		return open, drop
	}
	holder := func(member wire.Epoch, req *wire.ReplicaOpenReq) *Holder {
		t.Helper()
		h := NewHolder(DefaultOptions(), "m1", pages*wire.PageSize)
		h.Registered(member)
		if _, err := h.Open(*req); err != nil {
			t.Fatal(err)
		}
		h.Add(*req, slot)
		return h
	}
	open, _ := configure(1, held(1, false))
	was := holder(1, open)

	open, drop := configure(2, held(2, true))
	if open == nil || drop == nil {
		t.Fatalf("m1 was started again: it is opened by %+v and told to drop %+v", open, drop)
	}
	if _, ok, err := was.Drop(*drop); !ok || err != nil {
		t.Fatalf("what it had under the configuration before stays: %t, %v", ok, err)
	}
	again := holder(2, open)
	if _, ok, err := again.Drop(*drop); ok || wire.KindOf(err) != wire.KindStale {
		t.Fatalf("it was opened anew, and dropped by what was said of before: %t, %v", ok, err)
	}
	if _, drop = configure(3); drop == nil {
		t.Fatal("it is no holder any more, and is not told")
	}
	if _, ok, err := again.Drop(*drop); !ok || err != nil {
		t.Fatalf("it is no holder any more, and keeps what it had: %t, %v", ok, err)
	}
}
