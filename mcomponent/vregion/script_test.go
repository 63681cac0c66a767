package vregion

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"splitkernel/netlayer/wire"
)

// TestScripts plays the home in the words of the protocol: an event, and the effects that it causes. Pages and vRegions are
// numbers; a vRegion has 8 pages. `go test -run Scripts -rewrite` writes the effects that come.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		o := testOptions()
		h := NewHome(o)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "bounds" {
				d.MaybeScanArgs(t, "outstanding", &o.MaxOutstanding)
				d.MaybeScanArgs(t, "operations", &o.MaxOperations)
				d.MaybeScanArgs(t, "vmas", &o.MaxVMAsPerProcess)
				d.MaybeScanArgs(t, "regions", &o.MaxRegionsPerProcess)
				h = NewHome(o)
				return ""
			}
			var b strings.Builder
			for _, e := range event(t, h, d) {
				b.WriteString(show(e))
			}
			if err := h.CheckInvariants(); err != nil {
				fmt.Fprintf(&b, "BROKEN: %v\n", err)
			}
			return b.String()
		})
	})
}

func event(t *testing.T, h *Home, d *datadriven.TestData) []Effect {
	var call, page, pages, id, freed uint64
	pid, epoch := uint64(1), uint64(1)
	owner, fails := "", ""
	d.MaybeScanArgs(t, "call", &call)
	d.MaybeScanArgs(t, "page", &page)
	d.MaybeScanArgs(t, "pages", &pages)
	d.MaybeScanArgs(t, "pid", &pid)
	d.MaybeScanArgs(t, "epoch", &epoch)
	d.MaybeScanArgs(t, "owner", &owner)
	d.MaybeScanArgs(t, "fails", &fails)
	d.MaybeScanArgs(t, "freed", &freed)
	p, e, addr, length := wire.PID(pid), wire.Epoch(epoch), page*wire.PageSize, pages*wire.PageSize
	switch d.Cmd {
	case "open":
		return []Effect{{Kind: Reply, Err: h.Open(wire.ProcessOpenReq{PID: p, Epoch: e})}}
	case "mmap":
		return h.Mmap(call, wire.MmapReq{PID: p, Epoch: e, Addr: addr, Length: length, Anon: true}, nil)
	case "munmap":
		return h.Munmap(call, wire.MunmapReq{PID: p, Epoch: e, Addr: addr, Length: length}, nil)
	case "brk":
		return h.Brk(call, wire.BrkReq{PID: p, Epoch: e, End: addr}, nil)
	case "owners":
		return h.Owners(call, wire.OwnersReq{PID: p, Addr: addr, Length: length}, nil)
	case "exit":
		return h.Exit(call, wire.ProcessExitReq{PID: p, Epoch: e}, nil)
	case "done":
		d.ScanArgs(t, "id", &id)
		res := Result{Owner: wire.Owner{Node: wire.NodeID(owner), Epoch: 1}, Freed: freed}
		if fails != "" {
			res.Err = wire.Errorf(wire.KindNoRoom, "%s", fails)
		}
		return h.Done(id, res, nil)
	}
	t.Fatalf("unknown verb %q", d.Cmd)
	return nil
}

func show(e Effect) string {
	pages := func(start, length uint64) string {
		return fmt.Sprintf("pages [%d, %d)", start/wire.PageSize, (start+length)/wire.PageSize)
	}
	head := fmt.Sprintf("%d: %v process %d vRegion %d", e.ID, e.Kind, e.PID, e.Region)
	switch e.Kind {
	case AskOwner:
		return head + "\n"
	case MapAt:
		return fmt.Sprintf("%s at %s %s\n", head, e.Owner.Node, pages(e.Map.Start, e.Map.Length))
	case UnmapAt:
		return fmt.Sprintf("%s at %s %s\n", head, e.Owner.Node, pages(e.Unmap.Start, e.Unmap.Length))
	case ExitAt:
		return fmt.Sprintf("%d: exit process %d at %s\n", e.ID, e.PID, e.Owner.Node)
	}
	s := fmt.Sprintf("reply to %d:", e.Call)
	if e.Err != nil {
		return fmt.Sprintf("%s %v\n", s, e.Err)
	}
	if e.Rep.Addr != 0 {
		s += fmt.Sprintf(" page %d", e.Rep.Addr/wire.PageSize)
	}
	for _, o := range e.Rep.Owners {
		s += fmt.Sprintf(" %d@%s", o.Region, o.Node)
	}
	if e.Freed > 0 {
		s += fmt.Sprintf(" freed %d", e.Freed)
	}
	return s + " ok\n"
}
