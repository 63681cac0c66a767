package gsm

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
//	register ID blocks=N          as a new incarnation
//	caches ID…                    the mComponents that the stamps name from now on
//	policy STORAGE CACHE          of the stamps from now on; their chance is the sequence
//	create NAME bytes=N
//	delete volume=N
//	list
//	restore                       goes on with a state restored from a snapshot
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		s, seq := New(), uint64(0)
		var caches []membership.Live
		policy, cachePolicy := "most_free", "fewest_volumes"
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
			d.MaybeScanArgs(t, "bytes", &bytes)
			d.MaybeScanArgs(t, "blocks", &blocks)
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
					ID: wire.NodeID(id), Role: wire.RoleStorage, Addr: "unix:" + id, Capacity: wire.Capacity{StorageBytes: blocks * wire.PageSize},
				}})
				say(res, "epoch %d", res.Epoch)
			case "caches":
				caches = nil
				for _, a := range d.CmdArgs {
					caches = append(caches, membership.Live{ID: wire.NodeID(a.Key), Epoch: 1, Addr: "unix:" + a.Key})
				}
			case "policy":
				policy, cachePolicy = d.CmdArgs[0].Key, d.CmdArgs[1].Key
			case "create":
				res := apply(Request{Op: OpCreate, Spec: VolumeSpec{Name: d.CmdArgs[0].Key, SizeBytes: bytes}})
				v := res.Volume
				say(res, "volume %d of %d bytes at %s, %s, cache %s, %s, epoch %d", v.Volume, v.SizeBytes, v.Storage, v.StorageAddr, v.Cache, v.CacheAddr, v.Epoch)
			case "delete":
				say(apply(Request{Op: OpDelete, Volume: wire.VolumeID(volume)}), "deleted")
			case "list":
				for _, v := range s.Volumes(0) {
					fmt.Fprintf(&out, "volume %d %s: %d bytes at %s, cache %s\n", v.Volume, v.Name, v.SizeBytes, v.Storage, v.Cache)
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
