package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/client"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/launcher"
)

// TestAStoppedComponentIsFenced: an mComponent that stands still is declared dead; when it goes on it drops what it held,
// joins under a new epoch, and the books agree with what the components hold. The vNodes of a killed
// pComponent end.
func TestAStoppedComponentIsFenced(t *testing.T) {
	temp, dir := ownTemp(t), t.TempDir()
	config := write(t, dir, "two.yaml", `name: two
region_bytes: 1MiB
manager: {lease_ms: 1000}
nodes:
  - {id: g1, role: manager}
  - {id: p1, role: pcomponent}
  - {id: m1, role: mcomponent}
  - {id: m2, role: mcomponent}
  - {id: s1, role: scomponent}
`)
	execute(t, dir, "up", "--cluster", config, "--name", "blue", "--out", filepath.Join(dir, "up")).want(t, exitOK)
	t.Cleanup(func() { execute(t, dir, "down", "--all") })
	st, err := launcher.Find("blue")
	if err != nil {
		t.Fatal(err)
	}
	o := client.DefaultOptions()
	o.Net.Cluster, o.Net.Token, o.Net.Role, o.Net.Node = st.ClusterID, st.Cluster.Token, wire.RoleClient, "test"
	pids := map[wire.NodeID]int{}
	for _, n := range st.Nodes {
		pids[wire.NodeID(n.ID)] = n.PID
		if n.Role == wire.RoleManager.String() {
			o.Managers = append(o.Managers, client.Manager{ID: wire.NodeID(n.ID), Addr: netlayer.Addr(n.Addr)})
		}
	}
	gm, err := client.New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer gm.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 4*patience)
	defer cancel()
	signal := func(id wire.NodeID, s syscall.Signal) {
		t.Helper()
		if err := syscall.Kill(pids[id], s); err != nil {
			t.Fatal(err)
		}
	}
	becomes := func(m wire.Manager, id wire.NodeID, want membership.State, epoch wire.Epoch) {
		t.Helper()
		for {
			ms, err := gm.Members(ctx, m)
			for _, s := range ms {
				if s.Member.ID == id && s.State == want && s.Member.Epoch == epoch {
					return
				}
			}
			if ctx.Err() != nil {
				t.Fatalf("%s is not %v under epoch %d: %+v, %v", id, want, epoch, ms, err)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}

	p, err := gm.Admit(ctx, admission.VNodeSpec{Name: "a", Threads: 1, ExCacheLines: 1})
	if err != nil {
		t.Fatal(err)
	}
	home := netlayer.NewPeer(netlayer.Addr(p.Home.Addr), o.Net)
	defer home.Close()
	if err := home.Control(ctx, wire.OpProcessOpen, p.Epoch, &wire.ProcessOpenReq{PID: p.PID, Epoch: p.Epoch}, nil); err != nil {
		t.Fatal(err)
	}
	var mapped wire.MmapRep
	if err := home.Control(ctx, wire.OpMmap, p.Epoch, &wire.MmapReq{PID: p.PID, Epoch: p.Epoch, Length: 4 << 20, Anon: true, Writable: true}, &mapped); err != nil || len(mapped.Owners) < 4 {
		t.Fatalf("%+v, %v", mapped, err)
	}
	execute(t, dir, "audit").want(t, exitOK, "1 vNodes")

	signal(p.Home.Node, syscall.SIGSTOP)
	becomes(wire.GMM, p.Home.Node, membership.Dead, 1)
	signal(p.Home.Node, syscall.SIGCONT)
	becomes(wire.GMM, p.Home.Node, membership.Active, 2)
	err = home.Control(ctx, wire.OpMmap, p.Epoch, &wire.MmapReq{PID: p.PID, Epoch: p.Epoch, Length: 4096}, nil)
	if !errors.Is(err, wire.ErrFailed) || !strings.Contains(err.Error(), string(p.Home.Node)+" was declared dead under epoch 1 and is fenced") {
		t.Errorf("mmap at the fenced home: %v", err)
	}
	for _, w := range mapped.Owners {
		if w.Node != p.Home.Node {
			continue
		}
		q := netlayer.Call{Op: wire.OpMiss, Body: wire.Miss{PID: p.PID, Page: wire.PageNo(uint64(w.Region) << 20 >> wire.PageShift), OwnerEpoch: w.Epoch}.Append(nil), Into: make([]byte, wire.PageSize)}
		if err := home.Do(&q); !errors.Is(err, wire.ErrFailed) || !strings.Contains(err.Error(), "is lost: "+string(w.Node)) {
			t.Errorf("miss in vRegion %d: %v", w.Region, err)
		}
	}
	// What is lost stays in the books until the vNode ends, and everybody who asks is told.
	var lost []string
	for _, w := range mapped.Owners {
		if w.Node == p.Home.Node {
			lost = append(lost, fmt.Sprintf("vregion %d", w.Region))
		}
	}
	pid := strconv.FormatUint(uint64(p.PID), 10)
	list, shown := execute(t, dir, "vnode", "list"), execute(t, dir, "vnode", "show", pid)
	list.want(t, exitOK)
	shown.want(t, exitOK)
	if want := "running, lost: " + strings.Join(append([]string{"home"}, lost...), ", "); !strings.Contains(list.stdout, want) {
		t.Errorf("%q is not listed: %s", want, list.stdout)
	}
	for _, what := range append([]string{"home"}, lost...) {
		if !regexp.MustCompile(`(?m)^` + what + ` +` + string(p.Home.Node) + ` \(epoch 1\).*, lost$`).MatchString(shown.stdout) {
			t.Errorf("%s is not told as lost: %s", what, shown.stdout)
		}
	}
	if n := strings.Count(shown.stdout, ", lost\n"); n != 1+len(lost) {
		t.Errorf("%d things are lost, want %d: %s", n, 1+len(lost), shown.stdout)
	}
	found := execute(t, dir, "audit")
	found.want(t, exitFailed, "2 differences")
	for _, want := range []string{
		"its home is lost with " + string(p.Home.Node) + " (epoch 1), and its vNode has not ended",
		fmt.Sprintf("%d of its %d vRegions are lost, the first is %s with ", len(lost), len(mapped.Owners), strings.Replace(lost[0], "vregion", "vRegion", 1)),
	} {
		if !strings.Contains(found.stdout, want) {
			t.Errorf("the audit does not say %q: %s", want, found.stdout)
		}
	}
	// The exit reaches the owners that stayed.
	if err := home.Control(ctx, wire.OpProcessExit, p.Epoch, &wire.ProcessExitReq{PID: p.PID, Epoch: p.Epoch}, nil); err != nil {
		t.Error(err)
	}
	if err := gm.Release(ctx, p.PID); err != nil {
		t.Error(err)
	}
	execute(t, dir, "audit").want(t, exitOK, "0 vNodes")

	// Another vNode, whose pComponent is killed: its vNode ends, and its home is told.
	if p, err = gm.Admit(ctx, admission.VNodeSpec{Name: "b", Threads: 1, ExCacheLines: 1, MemoryBytes: 1}); err != nil {
		t.Fatal(err)
	}
	home = netlayer.NewPeer(netlayer.Addr(p.Home.Addr), o.Net)
	defer home.Close()
	if err := home.Control(ctx, wire.OpProcessOpen, p.Epoch, &wire.ProcessOpenReq{PID: p.PID, Epoch: p.Epoch}, nil); err != nil {
		t.Fatal(err)
	}
	if err := home.Control(ctx, wire.OpMmap, p.Epoch, &wire.MmapReq{PID: p.PID, Epoch: p.Epoch, Length: 4 << 20, Anon: true, Writable: true}, nil); err != nil {
		t.Fatal(err)
	}
	signal("p1", syscall.SIGKILL)
	becomes(wire.GPM, "p1", membership.Dead, 1)
	execute(t, dir, "audit").want(t, exitOK, "0 vNodes")
	execute(t, dir, "down").want(t, exitOK)
	empty(t, temp)
}
