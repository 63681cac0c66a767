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

	"splitkernel/mcomponent/pagestore"
	"splitkernel/netlayer"
	"splitkernel/netlayer/arena"
	"splitkernel/netlayer/wire"
)

// sink takes messages of pages and keeps nothing.
type sink struct{}

func (sink) Inline(wire.Op) bool { return true }

func (sink) Serve(context.Context, *netlayer.Request, *netlayer.Reply) error { return nil }

// messages sends n bytes as a move would, with the same messages and window, from one buffer to a handler that keeps nothing.
func messages(b *testing.B, peer *netlayer.Peer, n int) {
	o := DefaultOptions().Migrate
	body, page := make([]byte, wire.RegionCopyHeadLen+o.BatchPages*wire.PageEntryLen), make([]byte, o.BatchPages*wire.PageSize)
	calls := make([]netlayer.Call, o.WindowMessages)
	sent, left := 0, n/wire.PageSize
	for ; left > 0; left -= o.BatchPages {
		c := &calls[sent%len(calls)]
		if sent >= len(calls) {
			if err := peer.Wait(c); err != nil {
				b.Fatal(err)
			}
		}
		*c = netlayer.Call{Op: wire.OpRegionCopy, Body: body, Page: page}
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

func (l *load) start() {
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
				l.p.flush(nil, l.pid, at, l.version, l.page)
				continue
			}
			into, began := l.into.Load(), time.Now()
			l.p.miss(nil, l.pid, at)
			*into = append(*into, time.Since(began))
		}
	})
}

func quantile(times []time.Duration, q float64) float64 {
	if len(times) == 0 {
		return 0
	}
	slices.Sort(times)
	return float64(times[int(float64(len(times)-1)*q)]) / 1e3
}

func median(v []float64) float64 {
	slices.Sort(v)
	return (v[len(v)/2] + v[(len(v)-1)/2]) / 2
}

// fill flushes every page of a vRegion, without the transport: it is a large part of the time otherwise. No two pages are equal.
func (m *member) fill(pid wire.PID, first wire.PageNo, pages uint64) {
	page := filled(byte(pid))
	m.mu.Lock()
	defer m.mu.Unlock()
	for at := first; at < first+wire.PageNo(pages); at++ {
		copy(page, fmt.Sprint(at))
		slot, _ := m.owners.Check(pid, at, 1)
		f, act := m.store.Flush(slot, pid, at, 1, 1, wire.Checksum(page))
		if act != pagestore.Apply {
			panic("a page was not stored")
		}
		*m.pages.Page(f) = arena.Page(page)
	}
}

// The vRegion that moves. By ActivateRegion it is m1's.
const (
	benchRegion = 2
	benchFirst  = 2 << 30 / wire.PageSize
)

// benchOptions are those of giver and taker.
func benchOptions(size uint64) Options {
	o := testOptions()
	o.MemoryBytes, o.RegionBytes, o.MaxOutstanding, o.ReplicaLogBytes, o.ReplicaFileBytes = size+64<<20, 1<<30, 64, size+64<<20, 0
	return o
}

// The floors of a move: as many bytes over the same transport to the same process.
var floors = []string{"warm", "fresh", "hot", "messages"}

// BenchmarkMigration moves a vRegion full of pages to another process over a unix socket, each time between two rounds of raw copies of
// as many bytes to the same process. The vRegion has 1 GiB, with -short 64 MiB.
//
//   - alone and client: without and with a client that misses and flushes in the vRegion without a pause, during all of it.
//   - fresh and used: the taker's memory was never touched, as after "node add", or held another vRegion before.
//
// The raw copies: warm writes the giver's memory to the socket, and the other process reads it into memory of its own that was touched
// before, all of it distinct; this is the raw copy rate by which moves are measured. fresh is the same into memory that was never
// touched. hot sends one buffer again and again into one buffer, which no copy of memory can do. messages is hot with the messages of a
// move, to a handler that keeps nothing.
//
// x/warm is the rate of the move, 1 GiB over its whole time, by that of the warm copies around it, the median of the iterations;
// cpu/warm the same of the processor times of both processes. Wanted: x/warm of at least 0.5 beside the client.
func BenchmarkMigration(b *testing.B) {
	for _, memory := range []string{"fresh", "used"} {
		for _, how := range []string{"alone", "client"} {
			b.Run(memory+"/"+how, func(b *testing.B) { benchMigration(b, how == "client", memory == "used") })
		}
	}
}

func benchMigration(b *testing.B, beside, used bool) {
	size := uint64(1 << 30)
	if testing.Short() {
		size = 64 << 20
	}
	dir := b.TempDir()
	cl := &cluster{t: b, disk: newDisk()}
	giver := cl.start("m1", netlayer.Addr("unix:"+filepath.Join(dir, "m1")), func(o *Options) { *o = benchOptions(size) })
	taker := childMember(dir, "m2", "p1", wire.RoleCompute, size)
	defer taker.peer.Close()
	cl.m = append(cl.m, giver, taker)
	p := newClient(cl)
	p.addr = netlayer.Addr("unix:" + filepath.Join(dir, "p1")) // the other process is told of moves
	user := startChild(b, "client", size, dir)
	defer user.stop(b)
	pid := wire.PID(6)
	var kid *child
	begin := func() { kid = startChild(b, "taker", size, dir) }
	// move fills a vRegion and moves it, with what is to be done before and after that.
	move := func(before, after func()) (s wire.MoveStatusRep, cpu time.Duration) {
		pid++
		p.owners = map[wire.RegionNo]wire.Owner{}
		eventually(b, "that the giver has freed what it gave", func() bool {
			giver.mu.Lock()
			defer giver.mu.Unlock()
			return giver.store.Stats().Used == 0
		})
		p.open(giver, pid, benchRegion, size/wire.PageSize)
		giver.fill(pid, benchFirst, size/wire.PageSize)
		before()
		req, from := p.order(pid, benchRegion, taker, giver)
		at := cpuTime() + kid.cpu(b)
		s = cl.move(from, req)
		cpu = cpuTime() + kid.cpu(b) - at
		if s.State != wire.MoveDone {
			b.Fatalf("%+v", s)
		}
		after()
		cl.must(giver.control(wire.OpProcessExit, wire.ProcessExitReq{PID: pid, Epoch: 1}, nil))
		return s, cpu
	}
	if used {
		begin()
		defer func() { kid.stop(b) }()
		move(func() {}, func() {})
	}

	got := map[string][]float64{}
	note := func(what string, v float64) { got[what] = append(got[what], v) }
	for range b.N {
		if !used {
			begin()
		}
		walls, cpus := map[string]float64{}, map[string]float64{} // of both rounds of floors
		raw := netlayer.NewPeer(netlayer.Addr(kid.addr("sink")), peerOptions(wire.RoleMemory, "m8"))
		copies := func() {
			memory := bytesOf(giver.pages)[:size]
			for _, f := range floors {
				before, began := cpuTime()+kid.cpu(b), time.Now()
				switch f {
				case "warm":
					kid.bareCopy(b, intoWarm, memory)
				case "fresh":
					kid.bareCopy(b, intoFresh, memory)
				case "hot":
					kid.bareCopy(b, intoOne, memory)
				case "messages":
					messages(b, raw, int(size))
				}
				walls[f] += time.Since(began).Seconds()
				cpus[f] += (cpuTime() + kid.cpu(b) - before).Seconds()
			}
		}
		slot := func(n int) { // of the misses: alone, beside raw copies, beside the move
			if beside {
				user.ask(b, fmt.Sprint("slot ", n))
			}
		}
		s, cpu := move(func() {
			if beside {
				user.ask(b, fmt.Sprint("open ", pid))
				time.Sleep(300 * time.Millisecond) // the client alone
			}
			slot(1)
			copies()
			slot(2)
		}, func() {
			slot(1)
			copies()
			if beside {
				var n, p50, p99 [3]float64
				if _, err := fmt.Sscan(user.ask(b, "stop"), &n[0], &p50[0], &p99[0], &n[1], &p50[1], &p99[1], &n[2], &p50[2], &p99[2]); err != nil {
					b.Fatal(err)
				}
				all := 0.0
				for _, v := range walls {
					all += v
				}
				note("misses/s-raw", n[1]/all)
				for i, when := range []string{"alone", "raw", "move"} {
					note("miss-p50-"+when+"-µs", p50[i])
					note("miss-p99-"+when+"-µs", p99[i])
				}
				note("misses", n[2])
			}
		})
		raw.Close()
		if !used {
			kid.stop(b)
		}
		seconds := float64(s.DurationUS) / 1e6
		for _, f := range floors {
			note("x/"+f, walls[f]/2/seconds)
			note(f+"-MB/s", 2*float64(size)/walls[f]/1e6)
			note("cpu/"+f, cpus[f]/2/cpu.Seconds())
		}
		note("move-MB/s", float64(size)/seconds/1e6)
		note("cpu-s/GiB", cpu.Seconds()*float64(1<<30)/float64(size))
		note("sent/size", float64(s.Bytes)/float64(size))
		note("pause-µs", float64(s.PauseUS))
		if n := got["misses"]; len(n) > 0 {
			note("misses/s-move", n[len(n)-1]/seconds)
		}
	}
	delete(got, "misses")
	b.ReportMetric(slices.Min(got["x/warm"]), "min-x/warm")
	b.ReportMetric(slices.Max(got["x/warm"]), "max-x/warm")
	for what, v := range got {
		b.ReportMetric(median(v), what)
	}
	b.ReportMetric(0, "ns/op")
}
