package pcomponent

import (
	"testing"

	"splitkernel/netlayer/wire"
)

// TestHeartbeatsTellWhatProcessesDo: accesses and busy time of those that run, and nothing of one that rests.
func TestHeartbeatsTellWhatProcessesDo(t *testing.T) {
	p := open(t, startOwners(t, 1)[0], small(256, "list"), 1, nil)
	mapPages(t, p, 0, 64, true)
	var l wire.Load
	if p.c.Hot(&l); len(l.Hot) != 0 || len(l.HotAll) != 0 {
		t.Fatalf("%+v though there was no interval yet", l)
	}
	th, w := p.Thread(0), counts{}
	th.Begin()
	for k := range uint64(64) {
		w.touch(t, th, k, true)
	}
	th.End()
	p.c.Hot(&l)
	if len(l.Hot) != 1 || len(l.HotAll) != 1 || l.Hot[0].Kind != wire.MoveProcess || l.Hot[0].PID != p.o.PID || l.Hot[0].Ops == 0 || l.Hot[0].MilliCPU > 1000 {
		t.Errorf("%+v, want the process with its accesses and at most one processor", l)
	}
	if got := p.c.Load().Accesses; got != 64 {
		t.Errorf("%d accesses in all, want 64", got)
	}
}
