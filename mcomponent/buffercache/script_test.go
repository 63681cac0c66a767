package buffercache

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"splitkernel/netlayer/wire"
)

// TestScripts plays the cache in the words of the protocol: an event, and the effects that it causes. Offsets and lengths
// are sectors. `go test -run Scripts -rewrite` writes the effects that come.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		var c *Cache
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "cache" {
				o := Options{Blocks: 8, Window: 4, MaxWaiters: 4, MaxVolumes: 2}
				d.MaybeScanArgs(t, "blocks", &o.Blocks)
				d.MaybeScanArgs(t, "window", &o.Window)
				d.MaybeScanArgs(t, "waiters", &o.MaxWaiters)
				c = New(o)
				return ""
			}
			var b strings.Builder
			switch d.Cmd {
			case "switch":
				return elsewhere(t, c, d)
			case "again":
				return again(t, c, d)
			}
			for _, e := range event(t, c, d) {
				b.WriteString(show(e))
			}
			if err := c.CheckInvariants(); err != nil {
				fmt.Fprintf(&b, "BROKEN: %v\n", err)
			}
			return b.String()
		})
	})
}

func event(t *testing.T, c *Cache, d *datadriven.TestData) []Effect {
	var call, id, at, n, version uint64
	volume, epoch := uint64(1), uint64(1)
	fails := ""
	d.MaybeScanArgs(t, "call", &call)
	d.MaybeScanArgs(t, "volume", &volume)
	d.MaybeScanArgs(t, "epoch", &epoch)
	d.MaybeScanArgs(t, "at", &at)
	d.MaybeScanArgs(t, "n", &n)
	d.MaybeScanArgs(t, "version", &version)
	d.MaybeScanArgs(t, "fails", &fails)
	k := wire.Block{Volume: wire.VolumeID(volume), VolumeEpoch: wire.Epoch(epoch), Version: version, Offset: at * wire.SectorSize, Length: uint32(n) * wire.SectorSize}
	switch d.Cmd {
	case "attach":
		return c.Attach(call, wire.VolumeAttachReq{Volume: k.Volume, Epoch: k.VolumeEpoch, SizeBytes: 64 * wire.PageSize, Storage: "s1"}, nil)
	case "detach":
		return c.Detach(call, wire.VolumeRef{Volume: k.Volume, Epoch: k.VolumeEpoch}, nil)
	case "discard":
		return c.Discard(call, k.Volume, k.VolumeEpoch, nil)
	case "read":
		return c.Read(call, k, nil)
	case "write":
		return c.Write(call, k, nil)
	case "flush":
		return c.Flush(call, k, nil)
	case "done":
		d.ScanArgs(t, "id", &id)
		return c.Done(id, failure(t, d, fails), nil)
	}
	t.Fatalf("unknown verb %q", d.Cmd)
	return nil
}

// failure is how a storage operation fails.
func failure(t *testing.T, d *datadriven.TestData, name string) error {
	switch name {
	case "":
		return nil
	case "no_space":
		return wire.Errorf(wire.KindNoSpace, "disk full")
	case "stale":
		return wire.Errorf(wire.KindStale, "epoch 2 was seen")
	case "unavailable":
		return wire.Errorf(wire.KindUnavailable, "connection lost")
	case "busy":
		return wire.Errorf(wire.KindBusy, "it moves")
	case "timeout":
		return wire.Errorf(wire.KindTimeout, "no answer")
	}
	d.Fatalf(t, "unknown failure %q", name)
	return nil
}

// elsewhere says that volume 1 has moved to another sComponent.
func elsewhere(t *testing.T, c *Cache, d *datadriven.TestData) string {
	var epoch uint64
	var to string
	d.ScanArgs(t, "epoch", &epoch)
	d.ScanArgs(t, "to", &to)
	if err := c.Switch(wire.SwitchReq{Volume: 1, Epoch: wire.Epoch(epoch), To: wire.NodeID(to)}); err != nil {
		return err.Error() + "\n"
	}
	return ""
}

// again asks whether a storage operation is sent again that failed at s1 under epoch 1, or where it says.
func again(t *testing.T, c *Cache, d *datadriven.TestData) string {
	id, epoch, at, fails, waited := uint64(0), uint64(1), "s1", "", 0
	d.ScanArgs(t, "id", &id)
	d.ScanArgs(t, "fails", &fails)
	d.MaybeScanArgs(t, "epoch", &epoch)
	d.MaybeScanArgs(t, "from", &at)
	d.MaybeScanArgs(t, "waited_ms", &waited)
	to, pause, yes := c.Again(id, Place{Epoch: wire.Epoch(epoch), Storage: wire.NodeID(at)}, wire.KindOf(failure(t, d, fails)), time.Duration(waited)*time.Millisecond)
	if !yes {
		return "no\n"
	}
	return fmt.Sprintf("at %s under epoch %d after %v\n", to.Storage, to.Epoch, pause)
}

// show prints the sectors of a mask as eight characters, sector 0 first.
func show(e Effect) string {
	mask := strings.Map(func(r rune) rune {
		if r == '0' {
			return '.'
		}
		return '#'
	}, fmt.Sprintf("%08b", reverse(e.Mask)))
	head := fmt.Sprintf("%d: %v volume %d epoch %d", e.ID, e.Kind, e.Volume, e.Place.Epoch)
	switch e.Kind {
	case AttachStorage:
		return head + "\n"
	case MarkStorage, FlushStorage:
		return fmt.Sprintf("%s generation %d\n", head, e.Version)
	case ReadStorage:
		return fmt.Sprintf("%s block %d\n", head, e.Block)
	case WriteStorage:
		return fmt.Sprintf("%s block %d %s version %d\n", head, e.Block, mask, e.Version)
	case Fill:
		return fmt.Sprintf("fill slot %d %s\n", e.Slot, mask)
	case CopyIn, CopyOut:
		return fmt.Sprintf("%v call %d slot %d %s\n", e.Kind, e.Call, e.Slot, mask)
	}
	if e.Err != nil {
		return fmt.Sprintf("reply to %d: %v\n", e.Call, e.Err)
	}
	return fmt.Sprintf("reply to %d: ok\n", e.Call)
}

func reverse(m Mask) (r Mask) {
	for i := range wire.SectorsPerPage {
		if m&(1<<i) != 0 {
			r |= 0x80 >> i
		}
	}
	return r
}
