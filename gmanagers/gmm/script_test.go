package gmm

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
)

// TestScripts runs testdata/*: each command is applied to one state. Run with -rewrite to write the answers anew.
//
//	register ID memory=PAGES [region=PAGES]   as a new incarnation
//	silent ID…                                from now on the stamps call these silent
//	traffic ID=N…                             from now on the stamps say so
//	policy NAME                               of the stamps from now on; their chance is the sequence
//	step VERB… pid=N [bytes=N]                prepare, commit or free
//	place pid=N                               prepare, commit
//	activate pid=N region=N… [seq=N]          seq repeats an old sequence
//	release pid=N                             free
//	list
//	restore                                   goes on with a state restored from a snapshot
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		s, seq := New(), uint64(0)
		overcommit, policy := uint64(1000), "least_loaded"
		silent, traffic := map[wire.NodeID]bool{}, map[wire.NodeID]uint64{}
		apply := func(q Request, again uint64) Result {
			c := Command{Client: 1, Overcommit: overcommit, Stamp: membership.Stamp{Policy: policy, Chance: seq}, Request: q}
			for _, m := range s.Members() {
				c.Stamp.Live = append(c.Stamp.Live, membership.Live{ID: m.ID, Epoch: m.Epoch, Traffic: traffic[m.ID], Silent: silent[m.ID]})
			}
			seq++
			if c.Seq = seq; again != 0 {
				c.Seq = again
			}
			return s.Apply(c)
		}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var pid, memory, region, ratio, again, reserve uint64
			for _, a := range []struct {
				key string
				to  *uint64
			}{{"pid", &pid}, {"memory", &memory}, {"region", &region}, {"ratio", &ratio}, {"seq", &again}, {"bytes", &reserve}} {
				if d.Cmd == "activate" && a.key == "region" {
					continue
				}
				d.MaybeScanArgs(t, a.key, a.to)
			}
			var out strings.Builder
			say := func(res Result, format string, args ...any) {
				if err := res.Err(); err != nil {
					fmt.Fprintf(&out, "%v\n", err)
				} else {
					fmt.Fprintf(&out, format+"\n", args...)
				}
			}
			step := func(verb admission.Verb) {
				res := apply(Request{Op: OpSteps, Steps: []admission.Step{{Verb: verb, PID: wire.PID(pid), MemoryBytes: reserve}}}, again)
				v := res.Votes[0]
				what := verb.String()
				if verb == admission.Prepare {
					what = fmt.Sprintf("home %s at %s, epoch %d, vRegions of %d bytes", v.Home.Node, v.Home.Addr, v.Home.Epoch, v.Home.RegionBytes)
				}
				say(Result{Kind: v.Kind, Text: v.Text}, "%s", what)
			}
			switch d.Cmd {
			case "overcommit":
				overcommit = ratio
			case "register":
				if region == 0 {
					region = 1
				}
				id := d.CmdArgs[0].Key
				res := apply(Request{Op: OpRegister, Member: wire.Member{
					ID: wire.NodeID(id), Role: wire.RoleMemory, Addr: "unix:" + id, Capacity: wire.Capacity{MemoryBytes: memory * wire.PageSize, RegionBytes: region * wire.PageSize},
				}}, 0)
				say(res, "epoch %d", res.Epoch)
			case "silent":
				for _, a := range d.CmdArgs {
					silent[wire.NodeID(a.Key)] = true
				}
			case "traffic":
				for _, a := range d.CmdArgs {
					var n uint64
					d.ScanArgs(t, a.Key, &n)
					traffic[wire.NodeID(a.Key)] = n
				}
			case "policy":
				policy = d.CmdArgs[0].Key
			case "place":
				step(admission.Prepare)
				apply(Request{Op: OpSteps, Steps: []admission.Step{{Verb: admission.Commit, PID: wire.PID(pid)}}}, 0)
			case "step":
				for _, a := range d.CmdArgs {
					for v := admission.Prepare; v <= admission.Free; v++ {
						if a.Key == v.String() {
							step(v)
						}
					}
				}
			case "activate":
				for _, a := range d.CmdArgs {
					if a.Key != "region" {
						continue
					}
					for _, v := range a.Vals {
						var r uint64
						fmt.Sscan(v, &r)
						res := apply(Request{Op: OpActivate, PID: wire.PID(pid), Region: wire.RegionNo(r)}, again)
						say(res, "vRegion %d: %s at %s, epoch %d", res.Owner.Region, res.Owner.Node, res.Owner.Addr, res.Owner.Epoch)
					}
				}
			case "release":
				step(admission.Free)
			case "list":
				for _, p := range s.Processes(0) {
					fmt.Fprintf(&out, "process %d: home %s", p.PID, p.Home)
					if p.Prepared {
						fmt.Fprint(&out, ", prepared")
					}
					for _, r := range p.Regions {
						fmt.Fprintf(&out, ", %d at %s", r.Region, r.Node)
					}
					for _, r := range p.Reserved {
						fmt.Fprintf(&out, ", %d reserved at %s", r.Regions, r.Node)
					}
					fmt.Fprintln(&out)
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
