package gpm

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
)

// TestScripts runs testdata/scripts/*: each command is applied to one state. Run with -rewrite to write the answers anew.
//
//	register ID lines=N            as a new incarnation
//	silent ID…                     from now on the stamps call these silent
//	policy NAME                    of the stamps from now on; their chance is the sequence
//	admit NAME threads=N lines=N   enters an intent
//	change VERB… pid=N               decide-commit, decide-abort, end-commit, end-free or ask
//	release pid=N
//	place NAME threads=N lines=N   admit, decide-commit, end-commit
//	end pid=N                      release, end-free
//	list
//	restore                        goes on with a state restored from a snapshot
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		s, seq := New(), uint64(0)
		silent, policy := map[wire.NodeID]bool{}, "fewest_threads"
		apply := func(q Request) Result {
			c := Command{Client: 1, Stamp: membership.Stamp{Policy: policy, Chance: seq}, Request: q}
			for _, m := range s.Members() {
				c.Stamp.Live = append(c.Stamp.Live, membership.Live{ID: m.ID, Epoch: m.Epoch, Silent: silent[m.ID]})
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
			case "admit", "place":
				res := apply(Request{Op: OpAdmit, Spec: admission.VNodeSpec{Name: d.CmdArgs[0].Key, Threads: uint32(threads), ExCacheLines: lines}})
				say(res, "process %d at %s, %s, epoch %d", res.VNode.PID, res.VNode.Node, res.VNode.Addr, res.VNode.Epoch)
				if d.Cmd == "place" && res.Kind == wire.KindNone {
					apply(Request{Op: OpChanges, Changes: []admission.Change{{Verb: admission.DecideCommit, PID: res.VNode.PID}, {Verb: admission.EndCommit, PID: res.VNode.PID}}})
				}
			case "change":
				for _, a := range d.CmdArgs {
					for v := admission.DecideCommit; v <= admission.Ask; v++ {
						if a.Key == strings.ReplaceAll(v.String(), " ", "-") {
							m := admission.Change{Verb: v, PID: wire.PID(pid)}
							if v == admission.DecideAbort {
								m.Kind, m.Text = wire.KindNoRoom, "why not"
							}
							res := apply(Request{Op: OpChanges, Changes: []admission.Change{m}})
							say(res, "%v %v %s", res.Outcomes[0].Phase, res.Outcomes[0].Kind, res.Outcomes[0].Text)
						}
					}
				}
			case "release":
				say(apply(Request{Op: OpRelease, PID: wire.PID(pid)}), "released")
			case "end":
				say(apply(Request{Op: OpRelease, PID: wire.PID(pid)}), "ended")
				apply(Request{Op: OpChanges, Changes: []admission.Change{{Verb: admission.EndFree, PID: wire.PID(pid)}}})
			case "list":
				for _, p := range s.Processes(0) {
					fmt.Fprintf(&out, "process %d %s: %d threads, %d lines at %s under epoch %d, %v\n", p.PID, p.Name, p.Threads, p.ExCacheLines, p.Node, p.NodeEpoch, p.Phase)
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
