package scomponent

import (
	"testing"

	"splitkernel/netlayer/wire"
)

// TestHeartbeatsTellWhichVolumesAreHot: requests and bytes of each, and that others bear nothing.
func TestHeartbeatsTellWhichVolumesAreHot(t *testing.T) {
	n := start(t, dirOptions(t.TempDir()))
	defer n.stop()
	for id := wire.VolumeID(1); id <= 3; id++ {
		n.create(id, 1<<20)
	}
	var l wire.Load
	if n.c.Hot(&l); len(l.Hot) != 0 || len(l.HotAll) != 0 {
		t.Fatalf("%+v though there was no interval yet", l)
	}
	for i := range uint64(8) {
		n.must(n.write(wire.Block{Volume: 2, VolumeEpoch: 1, Version: i + 1}, sector('x')))
	}
	for range 2 {
		_, err := n.read(wire.Block{Volume: 3, VolumeEpoch: 1, Length: 1024})
		n.must(err)
	}
	n.c.Hot(&l)
	if len(l.Hot) != 2 || len(l.HotAll) != 1 || l.Hot[0].Volume != 2 || l.Hot[1].Volume != 3 || l.Hot[0].Kind != wire.MoveVolume {
		t.Fatalf("%+v, want volume 2, then 3, and no other", l)
	}
	a, b := l.Hot[0], l.Hot[1]
	if near := func(x, y, n uint64) bool { return x+n >= n*y && x <= n*y+n }; !near(a.Ops, b.Ops, 4) || !near(a.Bytes, b.Bytes, 2) {
		t.Errorf("%+v, want four times the requests and twice the bytes", l.Hot)
	}
}
