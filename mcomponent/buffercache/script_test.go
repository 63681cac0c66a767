package buffercache

import (
	"fmt"
	"strings"
	"testing"

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
		var err error
		switch fails {
		case "no_space":
			err = wire.Errorf(wire.KindNoSpace, "disk full")
		case "stale":
			err = wire.Errorf(wire.KindStale, "epoch 2 was seen")
		case "unavailable":
			err = wire.Errorf(wire.KindUnavailable, "connection lost")
		}
		return c.Done(id, err, nil)
	}
	t.Fatalf("unknown verb %q", d.Cmd)
	return nil
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
