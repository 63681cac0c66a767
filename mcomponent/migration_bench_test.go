package mcomponent

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"splitkernel/mcomponent/pagestore"
	"splitkernel/netlayer"
	"splitkernel/netlayer/arena"
	"splitkernel/netlayer/wire"
)

// sink takes messages of pages and keeps nothing: the floor under a move.
type sink struct{}

func (sink) Inline(wire.Op) bool { return true }

func (sink) Serve(context.Context, *netlayer.Request, *netlayer.Reply) error { return nil }

// phase is what one part of a run took.
type phase struct{ wall, cpu float64 } // seconds, of all threads

// timed runs f. The processor time tells what f costs also when others use the machine.
func timed(f func()) phase {
	cpu := func() float64 {
		var u unix.Rusage
		unix.Getrusage(unix.RUSAGE_SELF, &u)
		return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
	}
	at, began := cpu(), time.Now()
	f()
	return phase{time.Since(began).Seconds(), cpu() - at}
}

// rawCopy sends n bytes as a move would, over the same transport with the same messages and window.
func rawCopy(b *testing.B, peer *netlayer.Peer, n uint64) {
	o := testOptions().Migrate
	body := make([]byte, wire.RegionCopyHeadLen+o.BatchPages*(wire.PageEntryLen+wire.PageSize))
	calls := make([]netlayer.Call, o.WindowMessages)
	sent, left := 0, int(n/wire.PageSize)
	for ; left > 0; left -= o.BatchPages {
		c := &calls[sent%len(calls)]
		if sent >= len(calls) {
			if err := peer.Wait(c); err != nil {
				b.Fatal(err)
			}
		}
		*c = netlayer.Call{Op: wire.OpRegionCopy, Body: body}
		if err := peer.Start(c); err != nil {
			b.Fatal(err)
		}
		sent++
	}
	for i := range min(sent, len(calls)) {
		if err := peer.Wait(&calls[i]); err != nil {
			b.Fatal(err)
		}
	}
}

// load is a client that misses and flushes in turn, without a pause, as one thread of a process does.
type load struct {
	p       *client
	pid     wire.PID
	first   wire.PageNo
	pages   uint64
	page    []byte
	version uint64
	into    atomic.Pointer[[]time.Duration] // where the times of misses go
	stop    chan struct{}
	wg      sync.WaitGroup
}

func (l *load) start(b *testing.B) {
	l.stop = make(chan struct{})
	l.wg.Go(func() {
		for {
			select {
			case <-l.stop:
				return
			default:
			}
			l.version++
			at := l.first + wire.PageNo(l.version*2654435761%l.pages)
			if l.version%2 != 0 {
				l.p.flush(b, l.pid, at, l.version, l.page)
				continue
			}
			into, began := l.into.Load(), time.Now()
			l.p.miss(b, l.pid, at)
			*into = append(*into, time.Since(began))
		}
	})
}

func p99(b *testing.B, times []time.Duration) float64 {
	if len(times) == 0 {
		b.Fatal("the client had no miss")
	}
	slices.Sort(times)
	return float64(times[len(times)*99/100]) / 1e3
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// fill flushes every page of a vRegion, without the transport: it is a large part of the time otherwise.
func (m *member) fill(pid wire.PID, first wire.PageNo, pages uint64, page []byte) {
	sum := wire.Checksum(page)
	m.mu.Lock()
	defer m.mu.Unlock()
	for at := first; at < first+wire.PageNo(pages); at++ {
		slot, _ := m.owners.Check(pid, at, 1)
		f, act := m.store.Flush(slot, pid, at, 1, 1, sum)
		if act != pagestore.Apply {
			panic("a page was not stored")
		}
		*m.pages.Page(f) = arena.Page(page)
	}
}

// BenchmarkMigration moves a vRegion full of pages, each time between two raw copies of as many bytes over the same transport with
// the same messages, once alone and once with a client at all three of them. The vRegion has 1 GiB, with -short 64 MiB. Each taker is a new
// one, whose memory was never touched, as after "node add"; "back" goes back and forth between two.
//
// ratio is of the rates, 1 GiB over the whole time of the move against 1 GiB over that of the raw copies around it, the median of
// the iterations; cpu-ratio that of the processor times. Wanted: a ratio of at least 0.5 beside the client.
func BenchmarkMigration(b *testing.B) {
	for _, transport := range []string{"unix", "inproc"} {
		for _, how := range []string{"alone", "client", "client-back"} {
			b.Run(transport+"/"+how, func(b *testing.B) { benchMigration(b, transport == "unix", how != "alone", how == "client-back") })
		}
	}
}

func benchMigration(b *testing.B, overUnix, beside, back bool) {
	size := uint64(1 << 30)
	if testing.Short() {
		size = 64 << 20
	}
	dir := b.TempDir()
	at := func(name string) netlayer.Addr {
		if overUnix {
			return netlayer.Addr("unix:" + filepath.Join(dir, name))
		}
		return inproc()
	}
	cl := &cluster{t: b, disk: newDisk()}
	add := func() {
		id := wire.NodeID(fmt.Sprintf("m%d", len(cl.m)+1))
		cl.m = append(cl.m, cl.start(id, at(string(id)), func(o *Options) { o.MemoryBytes, o.RegionBytes, o.MaxOutstanding = size+64<<20, 1<<30, 64 }))
	}
	add()
	p := newClient(cl)
	const pid, r = 7, 2
	l := &load{p: p, pid: pid, first: 2 << 30 / wire.PageSize, pages: size / wire.PageSize, page: filled(7), version: 1}
	home := cl.m[0]
	if !back { // whose taker is another each time
		home = cl.start("m0", at("m0"), func(o *Options) { o.RegionBytes = 1 << 30 })
	}
	p.open(home, pid, r, l.pages)
	cl.m[0].fill(pid, l.first, l.pages, l.page)
	_, addr, stop := serve(b, sink{}, wire.RoleMemory, "m9", at("raw"))
	defer stop()
	raw := netlayer.NewPeer(addr, peerOptions(wire.RoleMemory, "m8"))
	defer raw.Close()

	var ratio, cpu, rawRate, moveRate, pause, sent, before, during, around []float64
	for range b.N {
		if !back || len(cl.m) == 1 {
			add()
		}
		var misses [3][]time.Duration
		if beside {
			l.into.Store(&misses[0])
			l.start(b)
			time.Sleep(300 * time.Millisecond) // the client alone
			l.into.Store(&misses[1])
		}
		copies := timed(func() { rawCopy(b, raw, size) })
		l.into.Store(&misses[2])
		var s wire.MoveStatusRep
		req, from := p.order(pid, r, cl.m[len(cl.m)-1], home)
		if from == cl.m[len(cl.m)-1] {
			req, from = p.order(pid, r, cl.m[0], home)
		}
		took := timed(func() { s = cl.move(from, req) })
		l.into.Store(&misses[1])
		again := timed(func() { rawCopy(b, raw, size) })
		if beside {
			close(l.stop)
			l.wg.Wait()
			before, around, during = append(before, p99(b, misses[0])), append(around, p99(b, misses[1])), append(during, p99(b, misses[2]))
		}
		if s.State != wire.MoveDone {
			b.Fatalf("%+v", s)
		}
		if !back {
			from.stop()
		}
		rate, seconds := 2*float64(size)/(copies.wall+again.wall), float64(s.DurationUS)/1e6
		rawRate, moveRate = append(rawRate, rate/1e6), append(moveRate, float64(size)/seconds/1e6)
		ratio, cpu = append(ratio, float64(size)/seconds/rate), append(cpu, (copies.cpu+again.cpu)/2/took.cpu)
		pause, sent = append(pause, float64(s.PauseUS)), append(sent, float64(s.Bytes)/float64(size))
	}
	b.ReportMetric(slices.Min(ratio), "min-ratio")
	b.ReportMetric(slices.Max(ratio), "max-ratio")
	b.ReportMetric(median(ratio), "ratio")
	b.ReportMetric(median(rawRate), "raw-MB/s")
	b.ReportMetric(median(moveRate), "move-MB/s")
	b.ReportMetric(median(pause), "pause-µs")
	b.ReportMetric(median(sent), "sent/size")
	if !beside {
		b.ReportMetric(median(cpu), "cpu-ratio")
		return
	}
	b.ReportMetric(median(before), "miss-p99-before-µs")
	b.ReportMetric(median(around), "miss-p99-raw-µs")
	b.ReportMetric(median(during), "miss-p99-move-µs")
}
