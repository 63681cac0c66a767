package e2e

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"splitkernel/mcomponent"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent"
	"splitkernel/pcomponent/excache"
	"splitkernel/sim/check"
	"splitkernel/sim/replay"
	"splitkernel/sim/trace"
)

// childEnv holds the addresses on which this test binary, started again, serves as an mComponent and as a bare ping-pong.
const childEnv = "SPLITKERNEL_E2E_CHILD"

// wireBytes are the bytes of a miss on the wire, there and back; the ping-pong moves the same, as it is told at its start.
func wireBytes(dirty bool) (request, reply int) {
	if dirty { // the victim goes along, and its acknowledgement comes behind the page
		return wire.HeaderLen + wire.MissFlushLen + wire.PageSize, wire.HeaderLen + wire.PageSize + wire.HeaderLen
	}
	return wire.HeaderLen + wire.MissLen, wire.HeaderLen + wire.PageSize
}

// itself gives every vRegion to the one mComponent of the benchmark.
type itself struct{ addr string }

func (m itself) ActivateRegion(_ context.Context, _ wire.PID, r wire.RegionNo) (wire.Activated, error) {
	return wire.Activated{Owner: wire.Owner{Region: r, Node: "m1", Addr: m.addr, Epoch: 1}}, nil
}

// BackupFile gives none.
func (itself) BackupFile(context.Context, wire.FileReq) (f wire.ReplicaFile, err error) {
	return f, wire.Errorf(wire.KindNoRoom, "there are no sComponents")
}

// counted answers OpNodeStats with the process's allocations and gives everything else to the mComponent.
type countedHandler struct{ netlayer.Handler }

func (h countedHandler) Serve(ctx context.Context, req *netlayer.Request, rep *netlayer.Reply) error {
	if req.Op != wire.OpNodeStats {
		return h.Handler.Serve(ctx, req, rep)
	}
	rep.SetControl(wire.NodeStatsRep{Counters: []wire.Counter{{Name: "mallocs", Value: float64(mallocs())}}})
	return nil
}

func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

// serveChild is an mComponent and a ping-pong until standard input ends.
func serveChild(addrs string) error {
	framed, bare, _ := strings.Cut(addrs, " ")
	l, err := netlayer.Listen(netlayer.Addr(framed))
	if err != nil {
		return err
	}
	raw, err := netlayer.Listen(netlayer.Addr(bare))
	if err != nil {
		return err
	}
	go func() {
		for {
			c, err := raw.Accept()
			if err != nil {
				return
			}
			go func() {
				var sizes [8]byte
				if _, err := io.ReadFull(c, sizes[:]); err != nil {
					return
				}
				req, rep := make([]byte, binary.LittleEndian.Uint32(sizes[:])), make([]byte, binary.LittleEndian.Uint32(sizes[4:]))
				for {
					if _, err := io.ReadFull(c, req); err != nil {
						return
					}
					if _, err := c.Write(rep); err != nil {
						return
					}
				}
			}()
		}
	}()
	o := mcomponent.DefaultOptions()
	o.Node, o.MemoryBytes, o.RegionBytes, o.Log = "m1", 256<<20, 1<<30, slog.New(slog.DiscardHandler)
	o.Net.Cluster, o.Net.Role, o.Net.Node = "bench", wire.RoleMemory, "m1"
	o.Managers = itself{string(netlayer.AddrOf(l))}
	m, err := mcomponent.New(o)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	so := netlayer.DefaultServerOptions()
	so.Cluster, so.Role, so.Node = "bench", wire.RoleMemory, "m1"
	so.Workers = max(so.Workers, mcomponent.MinServerWorkers)
	fmt.Printf("%s %s\n", netlayer.AddrOf(l), netlayer.AddrOf(raw))
	err = netlayer.NewServer(countedHandler{m.Handler()}, so).Serve(ctx, l)
	return errors.Join(err, m.Close(context.Background()))
}

// pin puts this process, and so the children it starts, on one processor until the benchmark ends, as taskset would before
// its start: the runtime then runs one goroutine at a time, too.
func pin(b *testing.B) {
	b.Helper()
	var old, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &old); err != nil {
		b.Fatal(err)
	}
	for i := range 1024 {
		if old.IsSet(i) {
			one.Set(i)
			break
		}
	}
	set := func(s *unix.CPUSet) {
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			b.Fatal(err)
		}
		for _, t := range tasks {
			if id, err := strconv.Atoi(t.Name()); err == nil {
				_ = unix.SchedSetaffinity(id, s) // a thread may have ended meanwhile
			}
		}
	}
	set(&one)
	procs := runtime.GOMAXPROCS(1)
	b.Cleanup(func() {
		runtime.GOMAXPROCS(procs)
		set(&old)
	})
}

// memoryChild starts the child and gives its two addresses.
func memoryChild(b *testing.B, transport string) (framed, bare netlayer.Addr) {
	b.Helper()
	addrs := "tcp:127.0.0.1:0 tcp:127.0.0.1:0"
	if transport == "unix" {
		dir := b.TempDir()
		addrs = "unix:" + filepath.Join(dir, "m") + " unix:" + filepath.Join(dir, "p")
	}
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childEnv+"="+addrs)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			b.Errorf("the child: %v", err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	f, p, _ := strings.Cut(strings.TrimSpace(line), " ")
	return netlayer.Addr(f), netlayer.Addr(p)
}

// computing opens a process of a pComponent in this process, with the child as its home, and maps pages of file memory,
// so that every first touch is a fetch.
func computing(b *testing.B, home netlayer.Addr, lines, threads int, pages uint64) *pcomponent.Process {
	b.Helper()
	o := pcomponent.DefaultOptions()
	o.ID = "p1"
	o.Net.Cluster, o.Net.Role, o.Net.Node = "bench", wire.RoleCompute, "p1"
	c, err := pcomponent.New(o)
	if err != nil {
		b.Fatal(err)
	}
	x := excache.DefaultOptions()
	x.Lines, x.Ways = lines, 0
	ctx := context.Background()
	p, err := c.Open(ctx, pcomponent.ProcessOptions{PID: 1, Epoch: 1, Name: "bench", Home: wire.Owner{Node: "m1", Addr: string(home)}, Threads: threads, ExCache: x, RegionBytes: 1 << 30})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := errors.Join(p.Close(ctx), c.Close(ctx)); err != nil {
			b.Error(err)
		}
	})
	if err := p.Map(ctx, wire.PageSize, pages*wire.PageSize, false, true, "bench"); err != nil {
		b.Fatal(err)
	}
	return p
}

// remoteMallocs asks the child how often it has allocated.
func remoteMallocs(b *testing.B, p *netlayer.Peer) uint64 {
	b.Helper()
	var rep wire.NodeStatsRep
	if err := p.Control(context.Background(), wire.OpNodeStats, 0, &wire.NodeStatsReq{}, &rep); err != nil {
		b.Fatal(err)
	}
	return uint64(rep.Counters[0].Value)
}

func quantile(d []time.Duration, q float64) float64 {
	slices.Sort(d)
	return float64(d[min(len(d)-1, int(q*float64(len(d))))]) / float64(time.Microsecond)
}

// BenchmarkPageMiss measures a page miss end to end, from the access in the pComponent over the mComponent of another
// process to the filled line, one at a time, both on one processor, in turns with a bare ping-pong of the same bytes over the same
// transport. clean: victims are clean; dirty: each miss carries the flush of a dirty victim.
func BenchmarkPageMiss(b *testing.B) {
	for _, transport := range []string{"unix", "tcp"} {
		for _, kind := range []string{"clean", "dirty"} {
			b.Run(transport+"/"+kind, func(b *testing.B) {
				pin(b)
				home, bare := memoryChild(b, transport)
				const lines, pages = 64, 4096
				p := computing(b, home, lines, 1, pages)
				aside := netlayer.NewPeer(home, peerOptions())
				defer aside.Close()
				nc, err := netlayer.Dial(context.Background(), bare)
				if err != nil {
					b.Fatal(err)
				}
				defer nc.Close()
				request, reply := wireBytes(kind == "dirty")
				sizes := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, uint32(request)), uint32(reply))
				if _, err := nc.Write(sizes); err != nil {
					b.Fatal(err)
				}
				req, rep := make([]byte, request), make([]byte, reply)
				th := p.Thread(0)
				page := uint64(0)
				miss := func() {
					page = page%pages + 1
					if _, err := th.Access(page, kind == "dirty"); err != nil {
						b.Fatal(err)
					}
				}
				ping := func() {
					if _, err := nc.Write(req); err != nil {
						b.Fatal(err)
					}
					if _, err := io.ReadFull(nc, rep); err != nil {
						b.Fatal(err)
					}
				}
				turn := func(n int, misses, pings []time.Duration) ([]time.Duration, []time.Duration) {
					th.Begin()
					for range n {
						t := time.Now()
						miss()
						misses = append(misses, time.Since(t))
					}
					th.End()
					for range n {
						t := time.Now()
						ping()
						pings = append(pings, time.Since(t))
					}
					return misses, pings
				}
				misses, pings := make([]time.Duration, 0, max(b.N, 4*pages)), make([]time.Duration, 0, max(b.N, 4*pages))
				for range 2 * pages / 64 {
					turn(64, misses, pings)
				}
				away, here := remoteMallocs(b, aside), mallocs()
				b.ResetTimer()
				for len(misses) < b.N {
					misses, pings = turn(min(64, b.N-len(misses)), misses, pings)
				}
				b.StopTimer()
				here, away = mallocs()-here, remoteMallocs(b, aside)-away
				m, f := quantile(misses, .5), quantile(pings, .5)
				b.ReportMetric(m, "miss-p50-µs")
				b.ReportMetric(quantile(misses, .99), "miss-p99-µs")
				b.ReportMetric(f, "floor-p50-µs")
				b.ReportMetric(m/f, "miss/floor")
				b.ReportMetric(float64(here+away)/float64(b.N), "mallocs/miss")
			})
		}
	}
}

func peerOptions() netlayer.Options {
	o := netlayer.DefaultOptions()
	o.Cluster, o.Role, o.Node = "bench", wire.RoleClient, "bench"
	return o
}

// BenchmarkPageMisses64 measures page misses with 64 threads of one process in flight at once.
func BenchmarkPageMisses64(b *testing.B) {
	for _, transport := range []string{"unix", "tcp"} {
		b.Run(transport, func(b *testing.B) {
			pin(b)
			home, _ := memoryChild(b, transport)
			const threads, lines, pages, batch = 64, 1024, 16384, 64
			p := computing(b, home, lines, threads, pages)
			run := func(n int) {
				var wg sync.WaitGroup
				for i := range threads {
					wg.Go(func() {
						th := p.Thread(i)
						// Each thread has pages of its own, so every access is a miss.
						page := uint64(0)
						for left := (n + threads - 1 - i) / threads; left > 0; left -= batch {
							th.Begin()
							for range min(batch, left) {
								if _, err := th.Access(uint64(i)*(pages/threads)+page+1, false); err != nil {
									b.Error(err)
									break
								}
								page = (page + 1) % (pages / threads)
							}
							th.End()
						}
					})
				}
				wg.Wait()
			}
			run(2 * pages)
			before := p.Counters()
			b.ResetTimer()
			run(b.N)
			b.StopTimer()
			after := p.Counters()
			if n := after.Fetches - before.Fetches; n < uint64(b.N)*99/100 {
				b.Fatalf("%d fetches of %d accesses", n, b.N)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "misses/s")
		})
	}
}

// bundled are the traces that come with the program.
func bundled(b *testing.B) []string {
	b.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "configs", "traces", "*.skt"))
	if err != nil || len(files) == 0 {
		b.Fatalf("no bundled traces: %v", err)
	}
	return files
}

// BenchmarkReplayCore decodes a bundled trace, makes every access in an ExCache that holds all of it, and compares and raises
// stamps: no locks, no messages.
func BenchmarkReplayCore(b *testing.B) {
	for _, file := range bundled(b) {
		b.Run(filepath.Base(file), func(b *testing.B) {
			info := stat(b, file)
			x := excache.DefaultOptions()
			x.Lines, x.Ways = int(info.FootprintPages)+1, 0
			pages := make([][wire.PageSize]byte, x.Frames())
			b.ResetTimer()
			refs := uint64(0)
			for range b.N {
				b.StopTimer() // first touches of a fresh cache are not what is measured: one pass fills it
				cache, err := excache.New(x)
				if err != nil {
					b.Fatal(err)
				}
				for i := range pages {
					pages[i] = [wire.PageSize]byte{}
				}
				want := check.NewPages()
				through(b, file, cache, pages, want)
				b.StartTimer()
				refs += through(b, file, cache, pages, want)
			}
			b.ReportMetric(float64(refs)/b.Elapsed().Seconds()/1e6, "Mrefs/s")
		})
	}
}

func stat(b *testing.B, file string) trace.Info {
	b.Helper()
	src, err := trace.Open(file)
	if err != nil {
		b.Fatal(err)
	}
	defer src.Close()
	info, err := trace.Stat(src)
	if err != nil {
		b.Fatal(err)
	}
	return info
}

// through makes every reference of a trace, map records left aside, so that memory stays what it is.
func through(b *testing.B, file string, cache *excache.Cache, pages [][wire.PageSize]byte, want *check.Pages) (refs uint64) {
	b.Helper()
	src, err := trace.Open(file)
	if err != nil {
		b.Fatal(err)
	}
	defer src.Close()
	for {
		batch, err := src.Next()
		if err == io.EOF {
			return refs
		}
		if err != nil {
			b.Fatal(err)
		}
		for i := range batch.Refs {
			r := &batch.Refs[i]
			page, write := r.Page(), r.Write()
			frame, ok := cache.Hit(page, write)
			if !ok {
				m := cache.Miss(page, write)
				cache.CountFill(m.Line, true)
				cache.Filled(m.Line)
				frame = cache.Complete(m.Line, write)
			}
			right := false
			if write {
				right = want.Write(page, &pages[frame])
			} else {
				right = want.Read(page, &pages[frame])
			}
			if !right {
				b.Fatalf("page %#x is wrong", page)
			}
		}
		refs += uint64(len(batch.Refs))
	}
}

// withoutBlocks copies a trace but for its block requests, which go to other components and are not what is measured.
func withoutBlocks(b *testing.B, file string) string {
	b.Helper()
	src, err := trace.Open(file)
	if err != nil {
		b.Fatal(err)
	}
	defer src.Close()
	h := src.Header()
	h.Volumes = nil
	path := filepath.Join(b.TempDir(), filepath.Base(file))
	w, err := trace.Create(path, h)
	if err != nil {
		b.Fatal(err)
	}
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	for {
		batch, err := src.Next()
		if err == io.EOF {
			must(w.Close())
			return path
		}
		must(err)
		at := 0
		for _, e := range batch.Events {
			for ; at < e.At; at++ {
				must(w.Ref(batch.Refs[at]))
			}
			if e.Kind.IsMap() {
				must(w.Event(e))
			}
		}
		for ; at < len(batch.Refs); at++ {
			must(w.Ref(batch.Refs[at]))
		}
	}
}

// BenchmarkReplayLive replays a bundled trace through a live pComponent whose ExCache holds all of it, with the memory in another
// process: map records, first touches and the final write-back included.
func BenchmarkReplayLive(b *testing.B) {
	for _, file := range bundled(b) {
		b.Run(filepath.Base(file), func(b *testing.B) {
			home, _ := memoryChild(b, "unix")
			info := stat(b, file)
			path := withoutBlocks(b, file)
			o := pcomponent.DefaultOptions()
			o.ID, o.ExCacheBytes = "p1", 1<<30
			o.Net = peerOptions()
			c, err := pcomponent.New(o)
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close(context.Background())
			h := replay.NewHost(c, slog.New(slog.DiscardHandler))
			defer h.Close()
			b.ResetTimer()
			refs, seconds := uint64(0), 0.0
			for i := range b.N {
				s := replay.Spec{
					PID: wire.PID(i + 1), Epoch: 1, Name: "bench", Trace: path, Threads: 1, Order: replay.OrderTrace, Repeat: 1, RegionBytes: 1 << 30,
					Home: wire.Owner{Node: "m1", Addr: string(home)}, ExCache: excache.DefaultOptions(),
				}
				s.ExCache.Lines, s.ExCache.Ways = int(info.FootprintPages)+1, 0
				r := h.Await(s)
				if r.Error != "" || r.Counters.IntegrityErrors > 0 {
					b.Fatal(r.Error, r.Integrity)
				}
				refs, seconds = refs+r.Counters.Accesses, seconds+r.Seconds
			}
			b.ReportMetric(float64(refs)/seconds/1e6, "Mrefs/s")
		})
	}
}
