package netlayer_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// childEnv holds the two addresses on which this test binary, started again as a child, serves: netlayer and bare bytes.
const childEnv = "NETLAYER_TEST_CHILD"

// The sizes of a miss on the wire, in bytes; the bare ping-pong moves the same.
const (
	missRequest = wire.HeaderLen + wire.MissLen
	missReply   = wire.HeaderLen + wire.PageSize
)

func TestMain(m *testing.M) {
	if addrs := os.Getenv(childEnv); addrs != "" {
		if err := serveChild(addrs); err != nil {
			fmt.Fprintln(os.Stderr, "child:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// serveChild serves until its standard input ends, which it also does when the parent dies.
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
			go pong(c)
		}
	}()
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	fmt.Printf("%s %s\n", netlayer.AddrOf(l), netlayer.AddrOf(raw))
	o := netlayer.DefaultServerOptions()
	o.Cluster, o.Node = "bench", "m1"
	return netlayer.NewServer(newStore(), o).Serve(ctx, l)
}

// pong answers requests of missRequest bytes with missReply bytes: the floor.
func pong(c net.Conn) {
	defer c.Close()
	req, rep := make([]byte, missRequest), make([]byte, missReply)
	for {
		if _, err := io.ReadFull(c, req); err != nil {
			return
		}
		if _, err := c.Write(rep); err != nil {
			return
		}
	}
}

// store serves misses from memory as an mComponent does: the page's checksum is kept with it. OpQuery gives the number of
// allocations and the processor time of the process so far, OpPropose never answers before the server stops.
type store struct {
	pages [][]byte
	crcs  []uint32
}

func newStore() *store {
	s := new(store)
	for i := range 256 {
		page := make([]byte, wire.PageSize)
		for j := range page {
			page[j] = byte(i + j)
		}
		s.pages = append(s.pages, page)
		s.crcs = append(s.crcs, wire.Checksum(page))
	}
	return s
}

func (s *store) Inline(op wire.Op) bool { return op < 32 }

func (s *store) Serve(ctx context.Context, req *netlayer.Request, rep *netlayer.Reply) error {
	switch req.Op {
	case wire.OpMiss:
		m, ok := wire.ParseMiss(req.Body)
		if !ok {
			return wire.Errorf(wire.KindBadRequest, "no miss")
		}
		i := int(m.Page) % len(s.pages)
		copy(rep.Page(wire.PageSize), s.pages[i])
		rep.SetPageCRC(s.crcs[i])
	case wire.OpFlush:
		f, ok := wire.ParseFlush(req.Body)
		if !ok || len(req.Page) != wire.PageSize {
			return wire.Errorf(wire.KindBadRequest, "no flush")
		}
		i := int(f.Page) % len(s.pages)
		copy(s.pages[i], req.Page)
		s.crcs[i] = req.PageCRC
	case wire.OpQuery:
		rep.SetBody(fmt.Appendf(nil, "%d %d", mallocs(), cpuTime()))
	case wire.OpPropose:
		<-ctx.Done()
		return wire.Errorf(wire.KindUnavailable, "stopped")
	}
	return nil
}

func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

// cpuTime is the processor time of this process so far.
func cpuTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// child is a server in another process.
type child struct {
	cmd          *exec.Cmd
	stdin        io.WriteCloser
	framed, bare netlayer.Addr
}

func startChild(tb testing.TB, transport string) *child {
	tb.Helper()
	framed, bare := "tcp:127.0.0.1:0", "tcp:127.0.0.1:0"
	if transport == "unix" {
		dir := tb.TempDir()
		framed, bare = "unix:"+filepath.Join(dir, "f"), "unix:"+filepath.Join(dir, "b")
	}
	exe, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	c := &child{cmd: exec.Command(exe)}
	c.cmd.Env = append(os.Environ(), childEnv+"="+framed+" "+bare)
	c.cmd.Stderr = os.Stderr
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		tb.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		tb.Fatalf("the child did not start: %v", err)
	}
	a, b, _ := strings.Cut(strings.TrimSpace(line), " ")
	c.framed, c.bare = netlayer.Addr(a), netlayer.Addr(b)
	tb.Cleanup(func() {
		c.stdin.Close()
		c.cmd.Wait()
	})
	return c
}

// pin binds every thread of this process, and so those of children started later, to processor 0 until the benchmark ends.
// Without it the figures flip with the scheduler's placement, the floor's too.
func pin(b *testing.B) {
	b.Helper()
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		b.Skipf("cannot pin: %v", err)
	}
	var zero unix.CPUSet
	zero.Set(0)
	procs := runtime.GOMAXPROCS(1)
	setAll := func(set *unix.CPUSet) error {
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		for _, t := range tasks {
			id, err := strconv.Atoi(t.Name())
			if err != nil {
				return err
			}
			if err := unix.SchedSetaffinity(id, set); err != nil && err != unix.ESRCH {
				return err
			}
		}
		return nil
	}
	if err := setAll(&zero); err != nil {
		b.Skipf("cannot pin: %v", err)
	}
	b.Cleanup(func() {
		runtime.GOMAXPROCS(procs)
		if err := setAll(&all); err != nil {
			b.Errorf("unpin: %v", err)
		}
	})
}

func peerOptions() netlayer.Options {
	o := netlayer.DefaultOptions()
	o.Cluster, o.Node = "bench", "p1"
	o.CallTimeoutMS = 60_000 // other programs on the machine may stop this one for seconds
	return o
}
