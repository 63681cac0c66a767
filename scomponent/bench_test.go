package scomponent

import (
	"context"
	"fmt"
	"testing"
	"time"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
	"splitkernel/scomponent/blockdev"
	"splitkernel/scomponent/migrate"
)

// rawCopy is the other end of a copy that does nothing but write what comes into a file.
type rawCopy struct{ d blockdev.Device }

func (rawCopy) Inline(wire.Op) bool { return false }

func (r rawCopy) Serve(_ context.Context, req *netlayer.Request, _ *netlayer.Reply) error {
	if req.Op == wire.OpBlockFlush {
		return r.d.Sync()
	}
	m, ok := wire.ParseVolumeCopy(req.Body)
	if !ok {
		return wire.ErrBadRequest
	}
	_, err := r.d.WriteAt(m.Bytes(0, m.Count), int64(m.Block(0)*wire.PageSize))
	return err
}

// BenchmarkVolumeMove moves a volume whose every block was written between two sComponents with files, over a Unix socket, and
// beside it copies the same bytes in messages of the same size into a file, with one fdatasync at the end. It reports both rates,
// their ratio and the pause.
func BenchmarkVolumeMove(b *testing.B) {
	const size, blocks = 64 << 20, 64 << 20 / wire.PageSize
	open := func(id wire.NodeID) *site {
		d, err := blockdev.OpenDir(b.TempDir())
		if err != nil {
			b.Fatal(err)
		}
		s := &site{t: b, id: id, store: d, options: migrate.DefaultOptions(), addr: netlayer.Addr(fmt.Sprintf("unix:%s/%s", b.TempDir(), id))}
		s.peer = netlayer.NewPeer(s.addr, moveNet(wire.RoleMemory, "m1"))
		s.start()
		b.Cleanup(func() { s.stop(); s.peer.Close() })
		return s
	}
	from, to := open("s1"), open("s2")
	c := newCache(b, from, to)
	from.must(from.control(wire.OpVolumeCreate, wire.VolumeCreateReq{Volume: 1, Epoch: 1, Name: "v", SizeBytes: size}, nil))
	page := make([]byte, wire.PageSize)
	for i := range uint64(blocks) {
		stamp(page, i, 1)
		must(b, c.do(wire.Block{Volume: 1, Version: 1, Offset: i * wire.PageSize, Length: wire.PageSize}, wire.OpBlockWrite, page, nil))
	}
	must(b, c.do(wire.Block{Volume: 1}, wire.OpBlockFlush, nil, nil))

	raw, err := blockdev.OpenDir(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer raw.Close()
	var moved, copied, pause time.Duration
	for n := 0; b.Loop(); n++ {
		d, err := raw.Create("copy")
		if err != nil {
			b.Fatal(err)
		}
		addr := netlayer.Addr(fmt.Sprintf("unix:%s/raw", b.TempDir()))
		end := serveAt(b, rawCopy{d}, wire.RoleStorage, "raw", addr)
		peer := netlayer.NewPeer(addr, moveNet(wire.RoleStorage, "s1"))
		began := time.Now()
		copyRaw(b, peer, blocks)
		copied += time.Since(began)
		peer.Close()
		end()
		d.Close()

		_, e := c.place()
		req := from.order(to, c, e)
		began = time.Now()
		from.must(from.control(wire.OpMoveStart, req, nil))
		rep := from.ended(req)
		moved += time.Since(began)
		pause = max(pause, time.Duration(rep.PauseUS)*time.Microsecond)
		if rep.State != wire.MoveDone {
			b.Fatalf("%+v", rep)
		}
		eventually(b, "the end of all work", func() bool { return from.c.Stats().MovesUnderway == 0 })
		from, to = to, from
	}
	rate := func(d time.Duration) float64 { return float64(b.N) * size / (1 << 20) / d.Seconds() }
	b.ReportMetric(rate(moved), "move_MiB/s")
	b.ReportMetric(rate(copied), "copy_MiB/s")
	b.ReportMetric(rate(moved)/rate(copied), "move/copy")
	b.ReportMetric(float64(pause.Microseconds())/1000, "max_pause_ms")
}

// copyRaw sends blocks as a move does: so many messages under way, so many blocks in each.
func copyRaw(b *testing.B, p *netlayer.Peer, blocks int) {
	o := migrate.DefaultOptions()
	calls := make([]netlayer.Call, o.Window)
	bodies := make([][]byte, o.Window)
	i := 0
	for at := 0; at < blocks; at += o.BatchBlocks {
		call := &calls[i%o.Window]
		if i >= o.Window {
			must(b, p.Wait(call))
		}
		body, m := wire.NewVolumeCopy(bodies[i%o.Window], wire.VolumeCopy{Count: min(o.BatchBlocks, blocks-at)})
		for j := range m.Count {
			m.SetBlock(j, uint64(at+j))
		}
		bodies[i%o.Window] = body
		*call = netlayer.Call{Op: wire.OpVolumeCopy, Body: body}
		must(b, p.Start(call))
		i++
	}
	for j := max(0, i-o.Window); j < i; j++ {
		must(b, p.Wait(&calls[j%o.Window]))
	}
	must(b, p.Do(&netlayer.Call{Op: wire.OpBlockFlush, Body: wire.Block{}.Append(nil), Timeout: 60 * time.Second}))
}
