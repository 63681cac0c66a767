package gpm

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
)

// TestScripts runs testdata/scripts/*: each command is applied to one state. Run with -rewrite to write the answers anew.
//
//	register ID lines=N            as a new incarnation
//	silent ID…                     from now on the stamps leave these out
//	policy NAME                    of the stamps from now on; their chance is the sequence
//	place NAME threads=N lines=N
//	end pid=N
//	list
//	restore                        goes on with a state restored from a snapshot
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		s, seq := New(), uint64(0)
		silent, policy := map[wire.NodeID]bool{}, "fewest_threads"
		apply := func(q Request) Result {
			c := Command{Client: 1, Stamp: membership.Stamp{Policy: policy, Chance: seq}, Request: q}
			for _, m := range s.Members() {
				if !silent[m.ID] {
					c.Stamp.Live = append(c.Stamp.Live, membership.Live{ID: m.ID, Epoch: m.Epoch})
				}
			}
			seq++
			c.Seq = seq
			return s.Apply(c)
		}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var pid, lines, threads uint64
			d.MaybeScanArgs(t, "pid", &pid)
			d.MaybeScanArgs(t, "lines", &lines)
			d.MaybeScanArgs(t, "threads", &threads)
			var out strings.Builder
			say := func(res Result, format string, args ...any) {
				if err := res.Err(); err != nil {
					fmt.Fprintf(&out, "%v\n", err)
				} else {
					fmt.Fprintf(&out, format+"\n", args...)
				}
			}
			switch d.Cmd {
			case "register":
				id := d.CmdArgs[0].Key
				res := apply(Request{Op: OpRegister, Member: wire.Member{
					ID: wire.NodeID(id), Role: wire.RoleCompute, Addr: "unix:" + id, Capacity: wire.Capacity{Cores: 1, ExCacheLines: lines},
				}})
				say(res, "epoch %d", res.Epoch)
			case "silent":
				for _, a := range d.CmdArgs {
					silent[wire.NodeID(a.Key)] = true
				}
			case "policy":
				policy = d.CmdArgs[0].Key
			case "place":
				res := apply(Request{Op: OpPlace, Spec: ProcessSpec{Name: d.CmdArgs[0].Key, Threads: uint32(threads), ExCacheLines: lines}})
				say(res, "process %d at %s, %s, epoch %d", res.Process.PID, res.Process.Node, res.Process.Addr, res.Process.Epoch)
			case "end":
				say(apply(Request{Op: OpEnd, PID: wire.PID(pid)}), "ended")
			case "list":
				for _, p := range s.Processes(0) {
					fmt.Fprintf(&out, "process %d %s: %d threads, %d lines at %s under epoch %d\n", p.PID, p.Name, p.Threads, p.ExCacheLines, p.Node, p.NodeEpoch)
				}
			case "restore":
				n := New()
				if err := n.Restore(s.Snapshot()); err != nil {
					return err.Error()
				}
				s = n
			default:
				d.Fatalf(t, "unknown command %q", d.Cmd)
			}
			if err := s.CheckInvariants(); err != nil {
				fmt.Fprintf(&out, "BROKEN: %v\n", err)
			}
			return out.String()
		})
	})
}
