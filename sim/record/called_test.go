package record

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/balance"
	"splitkernel/gmanagers/gpm"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/moves"
	"splitkernel/gmanagers/redundancy"
	"splitkernel/gmanagers/repair"
	"splitkernel/gmanagers/restart"
	"splitkernel/mcomponent/recovery"
	"splitkernel/mcomponent/replica"
	"splitkernel/netlayer/session"
	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/handover"
	"splitkernel/scomponent/iosched"
	"splitkernel/scomponent/migrate"
	"splitkernel/scomponent/volume"
)

// calledScene is a core of whose tape things are changed.
type calledScene struct {
	name string                // of the core
	play func(r tape.Recorder) // records a core
	head func(head []byte) any // another head
	miss int                   // an event: it is seen at once if it is missing
	show string                // in the state at the end
}

func changed[H any](change func(*H)) func([]byte) any {
	return func(head []byte) any {
		var h H
		if err := wire.Unmarshal(head, &h); err != nil {
			panic(err)
		}
		change(&h)
		return &h
	}
}

var (
	sceneMove  = wire.MoveReq{Move: wire.MoveID{Manager: wire.GSM, No: 4}, Kind: wire.MoveVolume, Volume: 3, PID: 7, OldEpoch: 1, Epoch: 2, UndoEpoch: 3, To: "s2", ToAddr: "unix:/s2", TimeoutMS: 60_000}
	sceneBlock = wire.Block{Volume: 3, VolumeEpoch: 1, Version: 1, Offset: 4096, Length: 4096}
	errScene   = wire.Errorf(wire.KindUnavailable, "nobody answers")
)

func calledScenes() []calledScene {
	return []calledScene{{
		name: "volume 3 of s1",
		play: func(r tape.Recorder) {
			core := volume.New(volume.Meta{ID: 3, Name: "v", SizeBytes: 8 * wire.PageSize, Epoch: 1}, volume.BootID{1})
			v, h := &volume.Taped{Volume: core}, core.Head("s1")
			v.Record(r, core, volume.TapeKind, &h)
			_, _ = v.Attach(wire.VolumeAttachReq{Volume: 3, Epoch: 1, SizeBytes: 4096})
			v.Header()
			_, _, _ = v.Write(wire.Block{VolumeEpoch: 1, Version: 1}) // a mark
			_, _, _ = v.Write(sceneBlock)
			_, _ = v.Read(sceneBlock)
			_, _ = v.Read(wire.Block{Offset: 4096, Length: 4096})
			_, _ = v.Flush(sceneBlock)
			v.Flushed(sceneBlock)
			v.Header()
			var end wire.VolumeCopyEndReq
			v.Leave(&end)
			v.Raise(5)
			v.Arrived()
			_, _ = v.Fail("the disk is gone")
		},
		head: changed(func(h *volume.TapeHead) { h.Meta.SizeBytes = wire.PageSize }),
		miss: 4, // without the mark nothing is taken away by the flush
		show: "failed: the disk is gone",
	}, {
		name: "flushes of volume 3 of s1",
		play: func(r tape.Recorder) {
			s := &iosched.Taped{Scheduler: iosched.New(2)}
			s.Record(r, s.Scheduler, iosched.TapeKind, &iosched.TapeHead{Node: "s1", Volume: 3, Limit: 2})
			for id := range uint64(4) {
				s.Flush(id+1, nil)
			}
			s.Synced(nil, nil)
			s.Synced(errors.New("the disk is gone"), nil)
		},
		head: changed(func(h *iosched.TapeHead) { h.Limit = 1 }),
		miss: 2,
		show: "Refused:1",
	}, {
		name: "move 4 of volume 3 from s1",
		play: func(r tape.Recorder) {
			h := migrate.GiverHead{Node: "s1", Options: migrate.DefaultOptions(), Req: sceneMove, Blocks: 64}
			g := &migrate.TapedGiver{Giver: h.Make()}
			g.Record(r, g.Giver, migrate.GiverTapeKind, &h)
			for _, b := range []uint64{1, 2, 3, 9} {
				g.Holds(b)
			}
			g.Start(1, nil)        // open
			g.Done(2, 1, nil, nil) // copy
			g.Wrote(5)
			g.Done(3, 2, errScene, nil) // again
			g.Done(4, 3, nil, nil)      // sync
			g.Done(5, 4, wire.ErrStale, nil)
		},
		head: changed(func(h *migrate.GiverHead) { h.Options.BatchBlocks = 2 }),
		miss: 2, // blocks that it holds
		show: "the sync of round 1",
	}, {
		name: "move 4 of volume 3 to s2",
		play: func(r tape.Recorder) {
			k := migrate.Take(wire.VolumeCopyOpenReq{Move: sceneMove.Move, Volume: 3, Epoch: 2})
			t, h := &migrate.TapedTaker{Taker: k}, k.Head("s2")
			t.Record(r, k, migrate.TakerTapeKind, &h)
			_ = t.Copy(sceneMove.Move, 1)
			_ = t.Copy(sceneMove.Move, 2)
			_ = t.Copy(sceneMove.Move, 1)
			_, _ = t.End(sceneMove.Move, 2, true)
			t.Ended()
			_ = t.Serve(h.Ref)
		},
		head: changed(func(h *migrate.TakerHead) { h.Ref.Move.No = 5 }),
		miss: 3,
		show: "round 2, complete true",
	}, {
		name: "coordinator 0000000000000009 of admissions",
		play: func(r tape.Recorder) {
			h := admission.TapeHead{ID: 9, Grace: time.Second}
			c := &admission.Taped{Coordinator: h.New()}
			c.Record(r, c.Coordinator, admission.TapeKind, &h)
			place := admission.Placement{PID: 7, Node: "p1"}
			c.Begin(admission.Open{Phase: admission.Intent, Coordinator: 9, WantsVolumes: true, Placement: place}, admission.VNodeSpec{Threads: 1, ExCacheLines: 1}, nil)
			c.Voted(wire.GMM, admission.Prepare, admission.Vote{PID: 7, Home: admission.Home{Node: "m1"}}, nil)
			c.Voted(wire.GSM, admission.Prepare, admission.Vote{PID: 7, Kind: wire.KindNoRoom, Text: "no disk", Never: true}, nil)
			c.Settled(admission.Outcome{PID: 7, Phase: admission.Leaving, Kind: wire.KindNoRoom, Text: "no disk"}, nil)
			c.Lost(wire.GMM, 7, errScene, nil)
			c.Found(time.Second, []admission.Open{{Phase: admission.Leaving, Kind: wire.KindNoRoom, Text: "no disk", Placement: place}}, nil)
		},
		head: changed(func(h *admission.TapeHead) { h.ID = 10 }),
		miss: 2,
		show: "process 7: freeing, in the log leaving, waits for [gmm], refused: no room: no disk",
	}, {
		name: "inquirer of gmm",
		play: func(r tape.Recorder) {
			h := admission.InquirerHead{Of: wire.GMM, Patience: time.Second}
			q := &admission.TapedInquirer{Inquirer: h.New()}
			q.Record(r, q.Inquirer, admission.InquirerTapeKind, &h)
			q.Due(1, []wire.PID{7})
			q.Due(time.Second+1, []wire.PID{7, 8})
			q.Due(time.Minute, nil)
		},
		head: changed(func(h *admission.InquirerHead) { h.Patience = 2 * time.Second }),
		miss: 2,
		show: "0 prepared holds",
	}, {
		name: "prober of gmm",
		play: func(r tape.Recorder) {
			h := membership.ProberHead{Of: wire.GMM, Lease: time.Second, Patience: 2 * time.Second}
			p := &membership.TapedProber{Prober: h.New()}
			p.Record(r, p.Prober, membership.ProberTapeKind, &h)
			silent := []membership.Doubt{{Member: wire.Member{ID: "m1", Epoch: 1, Addr: "unix:/m1"}, Silent: true}}
			p.Tick(1, silent, []membership.Witness{{ID: "m2", Addr: "unix:/m2"}}, nil)
			p.Answered(2, membership.ProbeAnswer{Of: "m1", Round: 1, Answered: true, Text: "refused"}, nil)
			p.Answered(3, membership.ProbeAnswer{Of: "m1", By: "m2", Round: 1, Answered: true, Text: "refused"}, nil)
			p.Tick(time.Second, silent, nil, nil)
			p.Tick(2*time.Second, silent, nil, nil)
		},
		head: changed(func(h *membership.ProberHead) { h.Lease = time.Hour }),
		miss: 3,
		show: "m1 epoch 1 since 0s, silent true, broken false: round 2",
	}, {
		name: "mover of gsm",
		play: func(r tape.Recorder) {
			m := &moves.Taped{Mover: moves.New()}
			m.Record(r, m.Mover, moves.TapeKind, &moves.TapeHead{Of: wire.GSM})
			l := moves.Listed{Req: sceneMove, Giver: moves.Party{Node: "s1", Addr: "unix:/s1", Epoch: 1}, Taker: moves.Party{Node: "s2", Addr: "unix:/s2", Epoch: 1}}
			m.Sync(1, []moves.Listed{l}, nil)
			m.Answered(2, sceneMove.Move, 1, wire.MoveStatusRep{}, nil, nil)
			m.Tick(3, nil) // nothing is due: no record
			m.Tick(time.Second, nil)
			m.Answered(time.Second, sceneMove.Move, 2, wire.MoveStatusRep{}, wire.Errorf(wire.KindNotFound, "forgotten"), nil)
			m.Answered(time.Second, sceneMove.Move, 3, wire.MoveStatusRep{}, wire.Errorf(wire.KindNotOwner, "not here"), nil)
			m.Answered(time.Second, sceneMove.Move, 4, wire.MoveStatusRep{}, nil, nil)
			m.Seen(time.Second, sceneMove.Move, 5, moves.Held{Serves: true, Epoch: 1}, nil, nil)
		},
		head: func([]byte) any { return struct{}{} },
		miss: 3,
		show: "s1 refused the order",
	}, {
		name: "rebuilder of gmm",
		play: func(r tape.Recorder) {
			d := &redundancy.Taped{Driver: redundancy.New()}
			d.Record(r, d.Driver, redundancy.TapeKind, &redundancy.TapeHead{Of: wire.GMM})
			l := redundancy.Listed{Part: redundancy.Part{PID: 1, Region: 2}, Stage: redundancy.Recover, Node: "m1", Addr: "unix:/m1", Epoch: 4, OldEpoch: 1, Config: 2}
			d.Sync(1, []redundancy.Listed{l}, nil)
			d.Answered(2, l.Part, 1, redundancy.Report{State: wire.RecoverServing, Done: 1, Known: 2}, nil, nil)
			d.Answered(3, l.Part, 2, redundancy.Report{}, nil, nil)
			d.Tick(4, nil) // nothing is due: no record
			d.Tick(2*time.Second, nil)
			d.Answered(2*time.Second, l.Part, 3, redundancy.Report{}, wire.Errorf(wire.KindTimeout, "silent"), nil)
		},
		head: func([]byte) any { return struct{}{} },
		miss: 3,
		show: "vRegion 2 of process 1: recover at m1",
	}, {
		name: "restarts of gpm",
		play: func(r tape.Recorder) {
			d := &restart.Taped{Driver: restart.New()}
			d.Record(r, d.Driver, restart.TapeKind, &restart.TapeHead{Of: wire.GPM})
			p := gpm.Process{PID: 7, Epoch: 1, Node: "p1", NodeEpoch: 1, Restart: true}
			d.Look([]restart.Stranded{{Process: p}})
			d.Look([]restart.Stranded{{Process: p}}) // nothing begins: no record
			d.Done(7, 1, restart.Outcome{})
			p.Epoch, p.Node, p.Restarting = 4, "p2", true
			d.Look([]restart.Stranded{{Process: p, Current: true}})
			d.Done(7, 2, restart.Outcome{Rep: wire.RestartRep{State: wire.RestartUnder}})
			d.Done(7, 3, restart.Outcome{Err: wire.Errorf(wire.KindTimeout, "silent")})
			d.Look([]restart.Stranded{{Process: p, Current: true}})
			d.Done(7, 4, restart.Outcome{Rep: wire.RestartRep{State: wire.RestartRunning, Done: 300}})
		},
		head: func([]byte) any { return struct{}{} },
		miss: 3,
		show: "process 7 at p2, epoch 4: report, call 5, from checkpoint 0, of 300 accesses",
	}, {
		name: "keeper of gsm",
		play: func(r tape.Recorder) {
			h := repair.TapeHead{Of: wire.GSM, ReplaceAfter: time.Second}
			k := &repair.Taped{Keeper: h.New()}
			k.Record(r, k.Keeper, repair.TapeKind, &h)
			v := repair.Volume{Place: admission.Volume{Volume: 3, Epoch: 1, Cache: "m1", CacheAddr: "unix:/m1", Config: 1}, Unconfirmed: true}
			dead := repair.Volume{Place: admission.Volume{Volume: 5, Epoch: 1, Cache: "m1", Config: 1}, Missing: "s1", Why: "it is dead", Dead: true}
			k.Sync(1, []repair.Volume{v, dead}, nil)
			k.Sync(2, []repair.Volume{v, dead}, nil) // the same, and nothing is due: no record
			k.Answered(3, 3, 1, wire.VolumeConfigRep{}, wire.Errorf(wire.KindTimeout, "silent"), nil)
			k.Tick(4, nil) // nothing is due: no record
			k.Tick(time.Second/2, nil)
			k.Answered(time.Second/2, 3, 2, wire.VolumeConfigRep{Config: 1}, nil, nil)
			k.Tick(time.Second+1, nil)
		},
		head: changed(func(h *repair.TapeHead) { h.ReplaceAfter = time.Minute }),
		miss: 3,
		show: "s1 is missing, propose, call 4",
	}, {
		name: "copies of the vRegions of m1",
		play: func(r tape.Recorder) {
			h := replica.PrimaryTapeHead{Node: "m1", Options: replica.DefaultOptions()}
			p := &replica.TapedPrimary{Primary: replica.NewPrimary(h.Options)}
			p.Record(r, p.Primary, replica.PrimaryTapeKind, &h)
			cfg := wire.RegionConfig{PID: 1, Epoch: 1, Config: 1, Policy: wire.MemoryPolicy{Kind: wire.MemorySync, Copies: 1}, Holders: []wire.Holder{{Node: "m2", Filling: true}}}
			p.Configure(1, 3, cfg, nil)
			p.Listed(1, 3, []wire.PageNo{5}, nil)
			p.Write(2, 3, 4, 7, nil)
			p.Tick(2, nil) // nothing is due: no record
			p.Answered(3, 1, replica.Answer{}, nil)
			p.Answered(4, 2, replica.Answer{Err: wire.Errorf(wire.KindTimeout, "silent")}, nil)
			p.Tick(time.Second, nil)
			p.Unmap(time.Second, 3, 4<<wire.PageShift, wire.PageSize, 8, nil)
			p.Lose(3, 6, 1, 9)
			p.Flushing(3, 6, 1, 8)
		},
		head: func([]byte) any { return struct{}{} },
		miss: 2,
		show: "m2: open true",
	}, {
		name: "what m2 holds for others",
		play: func(r tape.Recorder) {
			h := replica.HolderTapeHead{Node: "m2", RegionBytes: 8 * wire.PageSize, Options: replica.DefaultOptions()}
			x := &replica.TapedHolder{Holder: replica.NewHolder(h.Options, h.Node, h.RegionBytes)}
			x.Record(r, x.Holder, replica.HolderTapeKind, &h)
			x.Registered(1)
			q := wire.ReplicaOpenReq{PID: 1, Epoch: 1, Config: 1, Policy: wire.MemoryPolicy{Kind: wire.MemoryLog, Copies: 1}, Member: 1}
			if _, err := x.Open(q); err != nil {
				panic(err)
			}
			x.Add(q, 2)
			w := wire.ReplicaWrite{PID: 1, Page: 4, OwnerEpoch: 1, ProcessEpoch: 1, Version: 3, Config: 1}
			for range 2 {
				if _, _, err := x.Write(w, true); err != nil {
					panic(err)
				}
			}
			s, _ := x.NextSave(1)
			x.Saved(2, s, nil)
			w.OwnerEpoch = 0
			_, _, _ = x.Write(w, true) // stale
		},
		head: changed(func(h *replica.HolderTapeHead) { h.Options.LogBytes = 0 }),
		miss: 2,
		show: "vRegion 0 of process 1",
	}, {
		name: "recovery of vRegion 0 of process 1 at m3 under epoch 4",
		play: func(r tape.Recorder) {
			h := recovery.TapeHead{Options: recovery.DefaultOptions(), Pages: 8, Slot: 2, Addr: "unix:/m3", Req: wire.RegionRecoverReq{Self: "m3", Sources: []wire.Holder{{Node: "m2"}},
				Config: wire.RegionConfig{PID: 1, Epoch: 4, Config: 2, Policy: wire.MemoryPolicy{Kind: wire.MemoryLog, Copies: 1}}}}
			v := &recovery.Taped{Recovery: recovery.New(h.Options, h.Req, h.Slot, h.First, h.Pages, h.Addr)}
			v.Record(r, v.Recovery, recovery.TapeKind, &h)
			v.Begin(1, nil)
			v.Answered(2, 1, recovery.Answer{Err: wire.Errorf(wire.KindTimeout, "silent")}, nil)
			v.Tick(time.Second, nil)
			v.Answered(time.Second, 2, recovery.Answer{Pages: 3}, nil)
			v.Answered(time.Second, 3, recovery.Answer{}, nil)
			v.Answered(time.Second, 4, recovery.Answer{Parts: wire.RegionPartsRep{Mapped: []wire.MappedPart{{End: wire.PageSize}}}}, nil)
			v.Miss(time.Second, 3, 9, nil)
			v.Take(wire.PageEntry{Page: 3, State: wire.PageFull, Epoch: 1, Version: 2}, false)
			v.Cut(wire.CutState{Known: true, Cut: wire.Cut{Number: 1, Epoch: 1, Version: 5}, Process: 1})
			v.Rollback(wire.CutState{Known: true, Cut: wire.Cut{Number: 1, Epoch: 1, Version: 5}, Process: 4})
			v.Unmapped(5, 1)
			v.Answered(time.Second, 6, recovery.Answer{Next: 4, More: true, Count: 1}, nil)
		},
		head: func([]byte) any { return struct{}{} },
		miss: 2,
		show: "vRegion 0 of process 1 under epoch 4",
	}, {
		name: "balancer of each volume",
		play: func(r tape.Recorder) {
			h := balance.TapeHead{Kind: wire.MoveVolume, Options: balance.DefaultOptions(), Resource: "bytes", Policy: "round_robin"}
			h.Options.SettleMS = 0
			b, err := h.New()
			if err != nil {
				panic(err)
			}
			b.Record(r, b, balance.TapeKind, &h)
			for n := range time.Duration(3) {
				at := (n + 1) * time.Minute
				cs := []balance.Component{{ID: "s1", Epoch: 1, Alive: true, Room: 10, Capacity: 20, At: at}, {ID: "s2", Epoch: 1, Alive: true, Room: 20, Capacity: 20, At: at, Draining: n == 2}}
				var ts []balance.Thing
				for id := range wire.VolumeID(4) {
					ts = append(ts, balance.Thing{ID: balance.ThingID{Kind: wire.MoveVolume, Volume: id + 1}, Holder: cs[id/3].ID, Size: 2, At: at, Measured: true, Load: balance.Load{Ops: uint64(n+1) * 1000}})
					cs[id/3].Load.Ops += uint64(n+1) * 1000
				}
				b.Look(at, cs, ts)
				b.Soon(at + time.Second)
				b.SoonDrain(at + time.Second)
			}
		},
		head: changed(func(h *balance.TapeHead) { h.Policy = "worst_fit" }),
		miss: 2,
		show: "4 things",
	}, {
		name: "requests of m1 that are executed once",
		play: func(r tape.Recorder) {
			h := session.TapeHead{Node: "m1", Options: session.DedupeOptions{Sessions: 1, Window: 2, Bytes: 100}}
			d := &session.Taped{Dedupe: session.NewDedupe(h.Options)}
			d.Record(r, d.Dedupe, session.TapeKind, &h)
			d.Open(7)
			d.Open(8)
			d.Begin(7, 1, false)
			d.Begin(7, 1, true)
			d.End(7, 1, []byte("reply"))
			d.Begin(7, 1, true)
			d.Begin(7, 2, false)
			d.Forget(7, 2)
			d.Close(7)
		},
		head: changed(func(h *session.TapeHead) { h.Options.Bytes = 3 }),
		miss: 4,
		show: "0 requests run, 1 were executed with replies of 5 bytes",
	}, {
		name: "move 4 of process 7 from p1",
		play: func(r tape.Recorder) {
			h := handover.GiverHead{Node: "p1", Options: handover.DefaultOptions(), Req: sceneMove, Now: 1}
			g := &handover.TapedGiver{Giver: h.New()}
			g.Record(r, g.Giver, handover.GiverTapeKind, &h)
			for n := range time.Duration(3) {
				g.Next(2 + n)
				g.Step(2+n, []handover.Outcome{{}, {Lines: 70}, {Err: wire.Errorf(wire.KindBadRequest, "no")}}[n])
			}
			g.Next(9)
		},
		head: changed(func(h *handover.GiverHead) { h.Req.OldEpoch = 0 }),
		miss: 3,
		show: "dropping: copying under epoch 1",
	}, {
		name: "move 4 of process 7 to p2",
		play: func(r tape.Recorder) {
			h := handover.TakerHead{Node: "p2", Options: handover.DefaultOptions(), Move: sceneMove.Move, PID: 7, Epoch: 2, Now: 1}
			t := &handover.TapedTaker{Taker: h.New()}
			t.Record(r, t.Taker, handover.TakerTapeKind, &h)
			_, _ = t.Plan(2)
			chunk := wire.ProcessCopyReq{Total: 5, StateSum: 1, Sum: 2, Bytes: make([]byte, 5)}
			_, _ = t.Chunk(3, &chunk, 3)
			_, _ = t.Chunk(4, &chunk, 2)
			t.Checked(5, nil)
			t.Tick(6) // nothing comes of it: no record
			t.Tick(time.Hour)
			_, _, _ = t.Resume(time.Hour, wire.ProcessResumeReq{PID: 7, Epoch: 2})
			t.Opened(errScene)
			_, _ = t.Drop("over")
			t.GiverSays(wire.MoveUndone, nil)
		},
		head: changed(func(h *handover.TakerHead) { h.Epoch = 3 }),
		miss: 4,
		show: "refused: 5 of 5 bytes",
	}}
}

// TestCalledCores records each core whose records are calls, executes it again, and changes one thing at a time: an effect, a
// checksum, arguments, a record that is missing, the head. Each is found at its event.
func TestCalledCores(t *testing.T) {
	for _, s := range calledScenes() {
		t.Run(s.name, func(t *testing.T) {
			w, path := create(t, DefaultMaxBytes)
			s.play(w)
			end, err := w.Close()
			if err != nil {
				t.Fatal(err)
			}
			res, err := Execute(t.Context(), path, testOptions)
			if err != nil {
				t.Fatal(err)
			}
			if c := res.Cores[0]; res.Events != end.Records || c.Name != s.name || !c.Ended || !strings.Contains(c.State, s.show) {
				t.Errorf("%+v, want %d events, %q, %q", res, end.Records, s.name, s.show)
			}
			find := func(what string, at int, change func([]byte) []byte) {
				t.Helper()
				changed := rewrite(t, path, func(n int, r Record) []byte {
					if n == at {
						return change(bytes.Clone(r.Data))
					}
					return r.Data
				})
				res, err := Execute(t.Context(), changed, testOptions)
				if want := fmt.Sprintf("event %d: core 1: %s: ", at, s.name); err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%s of event %d: %v, want %s", what, at, err, want)
				}
				if at > 1 && res.Events != uint64(at-1) {
					t.Errorf("%s of event %d: %d events were executed", what, at, res.Events)
				}
			}
			effects := 0
			for at := 2; at <= int(end.Records); at++ {
				sum := func(b []byte) int { return 1 + int(b[0]) }
				find("checksum", at, func(b []byte) []byte { b[sum(b)] ^= 1; return b })
				find("arguments", at, func(b []byte) []byte { return append(b, 0) })
				find("kind of call", at, func(b []byte) []byte { b[sum(b)+4] = 99; return b })
				find("number of effects", at, func(b []byte) []byte { b[0]++; return b[:sum(b)-1] })
				has := false
				if rewrite(t, path, func(n int, r Record) []byte { has = has || n == at && r.Data[0] > 0; return r.Data }); has {
					effects++
					find("effect", at, func(b []byte) []byte { b[1] ^= 64; return b })
				}
			}
			if effects == 0 {
				t.Error("no event had an effect")
			}
			without := rewrite(t, path, func(n int, r Record) []byte {
				if n == s.miss {
					return nil
				}
				return r.Data
			})
			if _, err := Execute(t.Context(), without, testOptions); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("event %d: ", s.miss)) && !strings.Contains(err.Error(), "core 1: "+s.name) {
				t.Errorf("event %d missing: %v", s.miss, err)
			}
			other := rewrite(t, path, func(n int, r Record) []byte {
				if r.Begins {
					return wire.Marshal(s.head(r.Data))
				}
				return r.Data
			})
			if _, err := Execute(t.Context(), other, testOptions); err == nil {
				t.Error("with another head it does the same")
			}
		})
	}
}

// seedTape keeps what one scene records.
type seedTape struct {
	kind    string
	head    []byte
	records [][]byte
	state   []byte
}

func (s *seedTape) Open(kind string, head []byte) tape.Tape {
	s.kind, s.head = kind, bytes.Clone(head)
	return s
}
func (s *seedTape) Record(b []byte) bool {
	s.records = append(s.records, bytes.Clone(b))
	return true
}
func (s *seedTape) State(b []byte) { s.state = bytes.Clone(b) }
func (s *seedTape) End()           {}

// FuzzCalls makes a core of any head, restores any state into it and feeds any record: it may refuse them, and must not fall over them.
func FuzzCalls(f *testing.F) {
	var kinds []string
	for i, s := range calledScenes() {
		var k seedTape
		s.play(&k)
		kinds = append(kinds, k.kind)
		for _, r := range k.records {
			f.Add(uint8(i), k.head, k.state, r)
		}
		f.Add(uint8(i), k.head, []byte{}, k.records[0])
	}
	f.Fuzz(func(t *testing.T, scene uint8, head, state, rec []byte) {
		o := ExecuteOptions{memory: &memory{16 << 20}}
		c, err := begin(kinds[int(scene)%len(kinds)], head, &o)
		if err != nil {
			return
		}
		if len(state) > 0 {
			if perr := calling(func() { err = c.restore(state) }); err != nil || perr != nil {
				return
			}
			_ = c.snapshot()
		}
		_, _, _, _ = c.apply(rec)
		_ = c.state()
		_ = c.snapshot()
	})
}

// stepwise has each record begin a segment. There is one if there is more on the tape than states, so a volume is read meanwhile.
type stepwise struct {
	t    *testing.T
	w    *Writer
	fill *volume.Taped
}

func (s stepwise) Open(kind string, head []byte) tape.Tape { return stepTape{s, s.w.Open(kind, head)} }

type stepTape struct {
	s stepwise
	tape.Tape
}

func (s stepTape) Record(b []byte) bool {
	s.s.next()
	return s.Tape.Record(b)
}

// next waits until a segment begins.
func (s stepwise) next() {
	segment := func() uint64 {
		s.w.mu.Lock()
		defer s.w.mu.Unlock()
		return s.w.segment
	}
	was := segment()
	for deadline := time.Now().Add(20 * time.Second); segment() == was; s.w.flush2(s.t) {
		for range 100 {
			_, _ = s.fill.Read(sceneBlock)
		}
		if time.Now().After(deadline) {
			s.t.Fatal("no segment begins")
		}
	}
}

// TestCalledMiddle re-executes each core from the middle on, wherever its tape begins: it comes to the state to which it comes from
// its beginning on.
func TestCalledMiddle(t *testing.T) {
	w, path := create(t, DefaultMaxBytes)
	w.each = 1 // each block is a segment
	scenes := calledScenes()
	fill := &volume.Taped{Volume: volume.New(volume.Meta{ID: 1, Name: "fill", SizeBytes: 1 << 20}, volume.BootID{})}
	head := fill.Head("s1")
	fill.Log.Record(w, fill.Volume, volume.TapeKind, &head)
	for _, s := range scenes {
		s.play(stepwise{t, w, fill})
	}
	end, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	whole, err := Execute(t.Context(), path, testOptions)
	if err != nil || whole.Events != end.Records || len(whole.Cores) != 1+len(scenes) {
		t.Fatalf("%+v, %v", whole, err)
	}
	ns, err := segments(path)
	if err != nil || len(ns) < 3*len(scenes) {
		t.Fatalf("%d segments, %v", len(ns), err)
	}
	middle := map[string]bool{}
	for _, n := range ns[1:] {
		if err := os.Remove(segmentPath(path, n-1)); err != nil {
			t.Fatal(err)
		}
		res, err := Execute(t.Context(), path, testOptions)
		if err != nil {
			t.Fatalf("from segment %d on: %v", n, err)
		}
		for _, c := range res.Cores {
			was := whole.Cores[c.Number-1]
			if c.From+c.Events != was.Events || c.State != was.State {
				t.Errorf("from segment %d on: %+v, want %+v", n, c, was)
			}
			if c.From > 0 && c.Events > 0 {
				middle[c.Kind] = true
			}
		}
	}
	if len(middle) != len(scenes) {
		t.Errorf("in the middle began only %v", middle)
	}
}
