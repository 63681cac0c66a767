package mcomponent

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"splitkernel/netlayer"
	"splitkernel/netlayer/arena"
	skunix "splitkernel/netlayer/unix"
	"splitkernel/netlayer/wire"
)

// childEnv holds what this test binary, started again for a benchmark of moves, is: "taker" or "client"; then how many bytes a vRegion has,
// and the folder of the sockets.
const childEnv = "MCOMPONENT_BENCH_CHILD"

// bareChunk is how many bytes a bare copy writes and reads at once: the fastest of 16 KiB to 1 MiB.
const bareChunk = 256 << 10

// The receivers of bare copies.
const (
	intoOne   = 'o' // one buffer of bareChunk bytes, again and again: only the transport is paid
	intoWarm  = 'w' // an arena that was written before
	intoFresh = 'f' // an arena that was never touched
)

// bytesOf gives all bytes of an arena.
func bytesOf(a *arena.Arena) []byte {
	return unsafe.Slice(&a.Page(0)[0], a.Frames()*wire.PageSize)
}

// cpuTime is the processor time of this process so far.
func cpuTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// refuses is managers that place nothing.
type refuses struct{}

func (refuses) ActivateRegion(context.Context, wire.PID, wire.RegionNo) (wire.Activated, error) {
	return wire.Activated{}, wire.Errorf(wire.KindNoRoom, "nothing is placed here")
}

// BackupFile gives none.
func (refuses) BackupFile(context.Context, wire.FileReq) (f wire.ReplicaFile, err error) {
	return f, wire.Errorf(wire.KindNoRoom, "there are no sComponents")
}

// runChild is a child. It ends with its standard input, which ends with its parent; each line there is a command, and answered by one.
func runChild(env string) error {
	var role, dir string
	var size uint64
	if _, err := fmt.Sscan(env, &role, &size, &dir); err != nil {
		return err
	}
	if role == "client" {
		return runClient(dir, size)
	}
	return runTaker(dir, size)
}

// childMember is a component of the benchmark as others see it.
func childMember(dir string, id, self wire.NodeID, role wire.Role, size uint64) *member {
	o, addr := benchOptions(size), netlayer.Addr("unix:"+filepath.Join(dir, string(id)))
	o.Node = id
	return &member{Component: &Component{o: o}, addr: addr, peer: netlayer.NewPeer(addr, peerOptions(role, self))}
}

// runClient is the pComponent. "open N" begins to use the vRegion of process N, "slot I" says where the times of misses go, "stop" ends
// that and tells of each slot how many misses it has, their median and their 99th percentile in µs.
func runClient(dir string, size uint64) error {
	p := &client{owners: map[wire.RegionNo]wire.Owner{}, cl: &cluster{m: []*member{childMember(dir, "m1", "p1", wire.RoleCompute, size), childMember(dir, "m2", "p1", wire.RoleCompute, size)}}}
	defer p.cl.m[0].peer.Close()
	defer p.cl.m[1].peer.Close()
	l, err := netlayer.Listen(netlayer.Addr("unix:" + filepath.Join(dir, "p1")))
	if err != nil {
		return err
	}
	so := netlayer.DefaultServerOptions()
	so.Cluster, so.Role, so.Node = "test", wire.RoleCompute, "p1"
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- netlayer.NewServer(p, so).Serve(ctx, l) }()
	fmt.Println("ready")
	var u *load
	var misses [3][]time.Duration
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var what string
		var n int
		fmt.Sscan(in.Text(), &what, &n)
		answer := "ok"
		switch what {
		case "open":
			p.mu.Lock()
			p.owners = map[wire.RegionNo]wire.Owner{benchRegion: {Region: benchRegion, Node: "m1", Epoch: 1}}
			p.mu.Unlock()
			misses = [3][]time.Duration{}
			u = &load{p: p, pid: wire.PID(n), first: benchFirst, pages: size / wire.PageSize, page: filled(7), version: 1}
			u.into.Store(&misses[0])
			u.start()
		case "slot":
			u.into.Store(&misses[n])
		case "stop":
			close(u.stop)
			u.wg.Wait()
			answer = ""
			for _, m := range misses {
				answer += fmt.Sprintf("%d %.2f %.2f ", len(m), quantile(m, 0.5), quantile(m, 0.99))
			}
		}
		fmt.Println(answer)
	}
	cancel()
	return <-served
}

// runTaker is the taker and the receiver of floors. It answers with the processor time so far.
func runTaker(dir string, size uint64) error {
	o := benchOptions(size)
	o.Node, o.Managers, o.Net, o.Addr = "m2", refuses{}, peerOptions(wire.RoleMemory, "m2"), netlayer.Addr("unix:"+filepath.Join(dir, "m2"))
	c, err := New(o)
	if err != nil {
		return err
	}
	warm, err := arena.New(int(size / wire.PageSize))
	if err != nil {
		return err
	}
	b := bytesOf(warm)
	for i := 0; i < len(b); i += wire.PageSize {
		b[i] = 1
	}
	bare, err := net.Listen("unix", filepath.Join(dir, "bare"))
	if err != nil {
		return err
	}
	go func() {
		for {
			nc, err := bare.Accept()
			if err != nil {
				return
			}
			if err := receive(nc, warm); err != nil {
				fmt.Fprintln(os.Stderr, "child:", err)
			}
		}
	}()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	served := make(chan error, 2) // one each
	for addr, h := range map[netlayer.Addr]netlayer.Handler{o.Addr: c.Handler(), netlayer.Addr("unix:" + filepath.Join(dir, "sink")): sink{}} {
		l, err := netlayer.Listen(addr)
		if err != nil {
			return err
		}
		so := netlayer.DefaultServerOptions()
		so.Cluster, so.Role, so.Node, so.Workers = "test", wire.RoleMemory, "m2", MinServerWorkers
		go func() { served <- netlayer.NewServer(h, so).Serve(ctx, l) }()
	}
	fmt.Println("ready")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		fmt.Println(int64(cpuTime()))
	}
	cancel()
	bare.Close()
	err = errors.Join(<-served, <-served)
	return errors.Join(err, c.Close(context.Background()))
}

// receive reads one bare copy: a byte that says where to, eight that say how much, and the bytes. It answers with a byte.
func receive(nc net.Conn, warm *arena.Arena) error {
	defer nc.Close()
	var head [9]byte
	if _, err := io.ReadFull(nc, head[:]); err != nil {
		return err
	}
	left, to := int(binary.LittleEndian.Uint64(head[1:])), warm
	chunk := make([]byte, bareChunk)
	if head[0] == intoFresh {
		var err error
		if to, err = arena.New(warm.Frames()); err != nil {
			return err
		}
		defer to.Close()
	}
	for b := bytesOf(to); left > 0; {
		if head[0] != intoOne {
			chunk = b[:min(len(b), bareChunk)]
			b = b[len(chunk):]
		}
		if _, err := io.ReadFull(nc, chunk); err != nil {
			return err
		}
		left -= len(chunk)
	}
	_, err := nc.Write(head[:1])
	return err
}

// child is the other process.
type child struct {
	dir string
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startChild(b *testing.B, role string, size uint64, dir string) *child {
	b.Helper()
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	c := &child{dir: dir, cmd: exec.Command(exe)}
	c.cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %s", childEnv, role, size, dir))
	c.cmd.Stderr = os.Stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		b.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	c.out = bufio.NewReader(out)
	if _, err := c.out.ReadString('\n'); err != nil {
		b.Fatalf("the child did not start: %v", err)
	}
	return c
}

func (c *child) stop(b *testing.B) {
	c.in.Close()
	if err := c.cmd.Wait(); err != nil {
		b.Errorf("the child: %v", err)
	}
}

// ask gives the child a command and returns the answer.
func (c *child) ask(b *testing.B, command string) string {
	if _, err := io.WriteString(c.in, command+"\n"); err != nil {
		b.Fatal(err)
	}
	line, err := c.out.ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// cpu is the processor time of a taker so far.
func (c *child) cpu(b *testing.B) time.Duration {
	ns, err := strconv.ParseInt(c.ask(b, "cpu"), 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return time.Duration(ns)
}

func (c *child) addr(name string) string { return "unix:" + filepath.Join(c.dir, name) }

// bareCopy sends b to the child, or its first bareChunk bytes again and again, and waits until all of it was read.
func (c *child) bareCopy(t *testing.B, to byte, b []byte) {
	nc, err := skunix.Dial(context.Background(), filepath.Join(c.dir, "bare")) // with the buffers that the transport has
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	var head [9]byte
	head[0] = to
	binary.LittleEndian.PutUint64(head[1:], uint64(len(b)))
	if _, err := nc.Write(head[:]); err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(b); at += bareChunk {
		from := at
		if to == intoOne {
			from = 0
		}
		if _, err := nc.Write(b[from : from+bareChunk]); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.ReadFull(nc, head[:1]); err != nil {
		t.Fatal(err)
	}
}
