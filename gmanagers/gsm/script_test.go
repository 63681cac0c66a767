package gsm

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
)

// TestScripts runs testdata/scripts/*: each command is applied to one state. Run with -rewrite to write the answers anew.
//
//	register ID blocks=N          as a new incarnation
//	caches ID…                    the mComponents that the stamps name from now on
//	policy STORAGE CACHE          of the stamps from now on; their chance is the sequence
//	step VERB… pid=N [bytes=N,N…]  prepare, commit or free
//	create NAME bytes=N           prepare and commit for a vNode of the next number, which has this volume alone
//	delete volume=N               free of the vNode of this volume
//	list
//	restore                       goes on with a state restored from a snapshot
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		s, seq := New(), uint64(0)
		var caches []membership.Live
		policy, cachePolicy := "most_free", "fewest_volumes"
		next := wire.PID(0)
		apply := func(q Request) Result {
			c := Command{Client: 1, Stamp: membership.Stamp{Policy: policy, Chance: seq}, CachePolicy: cachePolicy, Caches: caches, Request: q}
			for _, m := range s.Members() {
				c.Stamp.Live = append(c.Stamp.Live, membership.Live{ID: m.ID, Epoch: m.Epoch})
			}
			seq++
			c.Seq = seq
			return s.Apply(c)
		}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var volume, bytes, blocks uint64
			d.MaybeScanArgs(t, "volume", &volume)
			if d.Cmd != "step" {
				d.MaybeScanArgs(t, "bytes", &bytes)
			}
			d.MaybeScanArgs(t, "blocks", &blocks)
			var out strings.Builder
			say := func(res Result, format string, args ...any) {
				if err := res.Err(); err != nil {
					fmt.Fprintf(&out, "%v\n", err)
				} else {
					fmt.Fprintf(&out, format+"\n", args...)
				}
			}
			tell := func(st admission.Step) {
				v := apply(Request{Op: OpSteps, Steps: []admission.Step{st}}).Votes[0]
				if v.Kind != wire.KindNone || len(v.Volumes) == 0 {
					say(Result{Kind: v.Kind, Text: v.Text}, "%v", st.Verb)
				}
				for _, v := range v.Volumes {
					fmt.Fprintf(&out, "volume %d of %d bytes at %s, %s, cache %s, %s, epoch %d\n", v.Volume, v.SizeBytes, v.Storage, v.StorageAddr, v.Cache, v.CacheAddr, v.Epoch)
				}
			}
			switch d.Cmd {
			case "register":
				id := d.CmdArgs[0].Key
				res := apply(Request{Op: OpRegister, Member: wire.Member{
					ID: wire.NodeID(id), Role: wire.RoleStorage, Addr: "unix:" + id, Capacity: wire.Capacity{StorageBytes: blocks * wire.PageSize},
				}})
				say(res, "epoch %d", res.Epoch)
			case "caches":
				for i := range caches {
					caches[i].Silent = true
				}
				for _, a := range d.CmdArgs {
					caches = slices.DeleteFunc(caches, func(l membership.Live) bool { return string(l.ID) == a.Key })
					caches = append(caches, membership.Live{ID: wire.NodeID(a.Key), Epoch: 1, Addr: "unix:" + a.Key})
				}
			case "policy":
				policy, cachePolicy = d.CmdArgs[0].Key, d.CmdArgs[1].Key
			case "create":
				next++
				tell(admission.Step{Verb: admission.Prepare, PID: next, Volumes: []admission.VolumeSpec{{Name: d.CmdArgs[0].Key, SizeBytes: bytes}}})
				apply(Request{Op: OpSteps, Steps: []admission.Step{{Verb: admission.Commit, PID: next}}})
			case "delete":
				vs := s.Volumes(wire.VolumeID(volume))
				if len(vs) != 1 {
					return "no such volume\n"
				}
				tell(admission.Step{Verb: admission.Free, PID: vs[0].PID})
			case "step":
				st := admission.Step{}
				for _, a := range d.CmdArgs {
					for _, v := range a.Vals {
						var n uint64
						fmt.Sscan(v, &n)
						if a.Key == "pid" {
							st.PID = wire.PID(n)
						} else {
							st.Volumes = append(st.Volumes, admission.VolumeSpec{Name: fmt.Sprint("v", len(st.Volumes)), SizeBytes: n})
						}
					}
				}
				for _, a := range d.CmdArgs {
					for v := admission.Prepare; v <= admission.Free; v++ {
						if a.Key == v.String() {
							st.Verb = v
							tell(st)
						}
					}
				}
			case "list":
				for _, v := range s.Volumes(0) {
					fmt.Fprintf(&out, "volume %d %s: %d bytes at %s, cache %s, prepared %v\n", v.Volume, v.Name, v.SizeBytes, v.Storage, v.Cache, v.Prepared)
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
