package replica

import (
	"testing"

	"splitkernel/netlayer/wire"
)

// TestADropComesLate: one configuration may take out a holder and take it in anew, as it was started again, or gets another share. It is not told to drop what it
// had, for it may hear that after it was opened, and would lose what it has been given since: it begins empty anyhow. Who is a holder no more is told.
func TestADropComesLate(t *testing.T) {
	for _, c := range []struct {
		name   string
		member wire.Epoch
		index  uint32
	}{{"started again", 2, 0}, {"another share", 1, 1}} {
		t.Run(c.name, func(t *testing.T) {
			p := NewPrimary(DefaultOptions())
			configure := func(config uint64, holders ...wire.Holder) (open *wire.ReplicaOpenReq, drop *wire.ReplicaRef) {
				t.Helper()
				for _, e := range p.Configure(0, slot, wire.RegionConfig{PID: pid, Region: region, Epoch: 1, Config: config, Policy: wire.MemoryPolicy{Kind: wire.MemoryErasure, Data: 1, Parity: 1}, Holders: holders}, nil) {
					switch e.Kind {
					case Open:
						open = e.Open
					case Drop:
						drop = e.Drop
					}
				}
				return open, drop
			}
			h := NewHolder(DefaultOptions(), "m1", pages*wire.PageSize)
			h.Registered(1)
			write := func(config uint64) {
				t.Helper()
				_, a, err := h.Write(wire.ReplicaWrite{PID: pid, Page: first, OwnerEpoch: 1, Config: config, ProcessEpoch: 1, Version: config, Sum: 9}, true)
				if a != Store || err != nil {
					t.Fatalf("%v, %v", a, err)
				}
			}
			open, _ := configure(1, wire.Holder{Node: "m1", Member: 1})
			if _, err := h.Open(*open); err != nil {
				t.Fatal(err)
			}
			h.Add(*open, slot)
			write(1)

			open, drop := configure(2, wire.Holder{Node: "m1", Member: c.member, Index: c.index, Filling: true})
			if c.member != 1 {
				h = NewHolder(DefaultOptions(), "m1", pages*wire.PageSize)
				h.Registered(c.member)
			}
			o, err := h.Open(*open)
			if o.New {
				h.Add(*open, slot)
			}
			if err != nil || h.Has(pid, first) {
				t.Fatalf("it is opened anew, and has what it had: %t, %v", h.Has(pid, first), err)
			}
			write(2)
			if drop != nil {
				_, ok, err := h.Drop(*drop)
				t.Fatalf("it is told to drop what it had, and heard so after it was opened: takes it what it has now %t, %v", ok, err)
			}
			if _, drop = configure(3); drop == nil {
				t.Fatal("it is no holder any more, and is not told")
			}
			if _, ok, err := h.Drop(*drop); !ok || err != nil || h.Has(pid, first) {
				t.Fatalf("it is no holder any more, and keeps what it had: %t, %v", ok, err)
			}
		})
	}
}
