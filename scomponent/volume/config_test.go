package volume

import (
	"testing"

	"splitkernel/netlayer/wire"
)

// TestACopyIsNotAttachedUnderAnOlderConfiguration: a copy that was lost is made again under the configuration that says so. A buffer cache with an older
// one, which would count it for what it was, is refused from the first attach on, under any epoch; one that knows may attach, and then an older one still not.
func TestACopyIsNotAttachedUnderAnOlderConfiguration(t *testing.T) {
	meta, err := Check(wire.VolumeCreateReq{Volume: 1, Epoch: 2, Name: "v", SizeBytes: wire.PageSize, Config: 3}, BootID{})
	if err != nil {
		t.Fatal(err)
	}
	v := New(meta, BootID{})
	if !v.IsCopy() {
		t.Error("it is not one of several copies")
	}
	attach := func(e wire.Epoch, config, instance uint64, want wire.Kind) {
		t.Helper()
		if _, _, err := v.CopyAttach(wire.StorageAttachReq{Volume: 1, Epoch: e, Config: config, Instance: instance, SizeBytes: wire.PageSize}); wire.KindOf(err) != want {
			t.Errorf("attach under epoch %d with configuration %d: %v, want %v", e, config, err, want)
		}
		if err := v.CheckInvariants(); err != nil {
			t.Error(err)
		}
	}
	attach(2, 2, 7, wire.KindStale)
	attach(3, 2, 7, wire.KindStale)
	if _, err := v.CopyRead(wire.ReplicaBlock{Volume: 1, Epoch: 2, Count: 1}); wire.KindOf(err) != wire.KindNotOwner {
		t.Errorf("a read before the first attach: %v", err)
	}
	attach(2, 3, 7, wire.KindNone)
	if _, err := v.CopyRead(wire.ReplicaBlock{Volume: 1, Epoch: 2, Count: 1}); err != nil {
		t.Errorf("a read after it: %v", err)
	}
	attach(2, 3, 8, wire.KindStale)
	attach(3, 2, 8, wire.KindStale)
	attach(3, 4, 8, wire.KindNone)
	attach(4, 3, 9, wire.KindStale)
}
