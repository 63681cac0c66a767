package replay

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"splitkernel/mcomponent"
	"splitkernel/mcomponent/buffercache"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
	"splitkernel/scomponent"
	"splitkernel/scomponent/blockdev"
	"splitkernel/scomponent/replica"
	volumecore "splitkernel/scomponent/volume"
	"splitkernel/sim/record"
)

const copiedBlocks = 256

// copiesCluster is two mComponents and four sComponents, which may be killed, and a client in the place of pComponent and managers.
type copiesCluster struct {
	t     *testing.T
	addr  map[wire.NodeID]string
	peers map[wire.NodeID]*netlayer.Peer
	disks map[wire.NodeID]*blockdev.Memory
	ill   map[wire.NodeID]*blockdev.Faulty
	kills map[wire.NodeID]func()
	boots map[wire.NodeID]int
	m     map[wire.NodeID]*mcomponent.Component
	again []func() *record.Result
	req   wire.VolumeAttachReq
	is    [copiedBlocks][]byte
	at    wire.NodeID // of the buffer cache
}

func newCopiesCluster(t *testing.T, through bool) *copiesCluster {
	c := &copiesCluster{t: t, addr: map[wire.NodeID]string{}, peers: map[wire.NodeID]*netlayer.Peer{}, disks: map[wire.NodeID]*blockdev.Memory{}, ill: map[wire.NodeID]*blockdev.Faulty{},
		kills: map[wire.NodeID]func(){}, boots: map[wire.NodeID]int{}, m: map[wire.NodeID]*mcomponent.Component{}, at: "m1"}
	for _, id := range []wire.NodeID{"m1", "m2", "s1", "s2", "s3", "s4"} {
		c.addr[id] = fmt.Sprintf("inproc:replay-copies-%d", volumeSerial.Add(1))
	}
	c.req = wire.VolumeAttachReq{Volume: 7, Epoch: 1, SizeBytes: copiedBlocks * wire.PageSize, Config: 1, WriteQuorum: 2, ReadQuorum: 2, Through: through}
	for _, id := range []wire.NodeID{"s1", "s2", "s3", "s4"} {
		c.disks[id] = blockdev.NewMemory()
		c.ill[id] = blockdev.NewFaulty(c.disks[id])
		c.start(id)
		t.Cleanup(func() { c.kills[id]() })
		c.must(id, wire.OpVolumeCreate, wire.VolumeCreateReq{Volume: 7, Epoch: 1, Name: "v", SizeBytes: c.req.SizeBytes})
		if id != "s4" {
			c.req.Replicas = append(c.req.Replicas, wire.VolumeReplica{Node: id, Addr: c.addr[id], Member: 1, State: wire.ReplicaInSync})
		}
	}
	for _, id := range []wire.NodeID{"m1", "m2"} {
		o := mcomponent.DefaultOptions()
		o.Node, o.Net, o.BufferCacheBytes = id, moveNet(wire.RoleMemory, id), 32*wire.PageSize
		o.Copies = replica.DefaultOptions()
		o.Copies.Batch, o.Copies.RetryMax = 64, 20*time.Millisecond
		r, again := tapeOf(t)
		o.Recorder, c.again = r, append(c.again, again)
		m, err := mcomponent.New(o)
		if err != nil {
			t.Fatal(err)
		}
		c.m[id] = m
		stop := c.serve(id, wire.RoleMemory, m.Handler())
		t.Cleanup(func() {
			m.Stop()
			stop()
			m.Close(context.Background()) // its volume may be gone: what that says is not asked here
		})
	}
	for b := range c.is {
		c.is[b] = make([]byte, wire.PageSize)
	}
	return c
}

// start starts an sComponent on its disk; kill ends it without a word to anybody.
func (c *copiesCluster) start(id wire.NodeID) {
	o := scomponent.DefaultOptions()
	o.Node, o.Addr, o.Net, o.Devices, o.BootID = id, c.addr[id], moveNet(wire.RoleStorage, id), c.ill[id], fmt.Sprint(id, c.boots[id])
	r, again := tapeOf(c.t)
	o.Recorder, c.again = r, append(c.again, again)
	s, err := scomponent.New(o)
	if err != nil {
		c.t.Fatal(err)
	}
	stop := c.serve(id, wire.RoleStorage, s.Handler())
	c.kills[id] = sync.OnceFunc(func() {
		stop()
		if err := s.Close(context.Background()); err != nil {
			c.t.Error(err)
		}
	})
}

func (c *copiesCluster) serve(id wire.NodeID, role wire.Role, h netlayer.Handler) (stop func()) {
	l, err := netlayer.Listen(netlayer.Addr(c.addr[id]))
	if err != nil {
		c.t.Fatal(err)
	}
	so := netlayer.DefaultServerOptions()
	so.Cluster, so.Role, so.Node, so.Workers, so.DrainMS = "test", role, id, mcomponent.MinServerWorkers, 1
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- netlayer.NewServer(h, so).Serve(ctx, l) }()
	p := netlayer.NewPeer(netlayer.AddrOf(l), moveNet(wire.RoleManager, "g1"))
	c.peers[id] = p
	return func() {
		p.Close()
		cancel()
		<-done
	}
}

// do does one request until it is not refused as busy or unreachable.
func (c *copiesCluster) do(id wire.NodeID, op wire.Op, body, page, into []byte) error {
	for end := time.Now().Add(20 * time.Second); ; {
		err := c.peers[id].Do(&netlayer.Call{Op: op, Body: body, Page: page, Into: into})
		if k := wire.KindOf(err); (k != wire.KindBusy && k != wire.KindUnavailable && k != wire.KindTimeout) || time.Now().After(end) {
			return err
		}
	}
}

func (c *copiesCluster) must(id wire.NodeID, op wire.Op, m any) {
	c.t.Helper()
	if err := c.do(id, op, wire.Marshal(m), nil, nil); err != nil {
		c.t.Fatalf("%v at %s: %v", op, id, err)
	}
}

func (c *copiesCluster) block(op wire.Op, k wire.Block, page, into []byte) error {
	k.Volume, k.VolumeEpoch = 7, c.req.Epoch
	return c.do(c.at, op, k.Append(nil), page, into)
}

// work writes and reads blocks at random, whole ones and parts, and flushes now and then.
func (c *copiesCluster) work(rng *rand.Rand, n int) {
	c.t.Helper()
	for range n {
		b := rng.Uint64N(copiedBlocks)
		first := rng.IntN(wire.SectorsPerPage)
		count := 1 + rng.IntN(wire.SectorsPerPage-first)
		if rng.IntN(2) == 0 {
			first, count = 0, wire.SectorsPerPage
		}
		k := wire.Block{Version: volumeSerial.Add(1), Offset: b*wire.PageSize + uint64(first)*wire.SectorSize, Length: uint32(count) * wire.SectorSize}
		part := c.is[b][first*wire.SectorSize : (first+count)*wire.SectorSize]
		switch rng.IntN(8) {
		case 0:
			if err := c.block(wire.OpBlockFlush, wire.Block{}, nil, nil); err != nil {
				c.t.Fatalf("flush: %v", err)
			}
		case 1, 2, 3:
			got := make([]byte, len(part))
			if err := c.block(wire.OpBlockRead, k, nil, got); err != nil {
				c.t.Fatalf("read of block %d: %v", b, err)
			}
			if !bytes.Equal(got, part) {
				c.t.Fatalf("block %d: sectors %d to %d are not what was written", b, first, first+count-1)
			}
		default:
			for i := range count {
				binary.LittleEndian.PutUint64(part[i*wire.SectorSize:], rng.Uint64())
			}
			if err := c.block(wire.OpBlockWrite, k, part, nil); err != nil {
				c.t.Fatalf("write of block %d: %v", b, err)
			}
		}
	}
}

// config tells the buffer cache a configuration until it says that all is well with it.
func (c *copiesCluster) config(well func(wire.VolumeConfigRep) bool) {
	c.t.Helper()
	var rep wire.VolumeConfigRep
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		if err := c.peers[c.at].Control(context.Background(), wire.OpVolumeConfig, 0, &wire.VolumeConfigReq{Volume: c.req}, &rep); err != nil {
			c.t.Fatal(err)
		}
		if rep.Config == c.req.Config && well(rep) {
			return
		}
		<-time.After(5 * time.Millisecond) // between two polls
	}
	c.t.Fatalf("the copies are not well: %+v", rep)
}

func allWell(r wire.VolumeConfigRep) bool { return len(r.Behind) == 0 && len(r.Lost) == 0 && r.InSync }

func (c *copiesCluster) counter(name string) float64 {
	for _, n := range c.m[c.at].Counters() {
		if n.Name == name {
			return n.Value
		}
	}
	c.t.Fatalf("no counter %s", name)
	return 0
}

// TestCopies: a volume of three copies is right while sComponents are killed, their machines lose power, blocks rot and disks are
// full; copies that were away catch up, one is replaced, and the buffer cache dies; every tape is re-executed.
func TestCopies(t *testing.T) {
	for _, through := range []bool{true, false} {
		t.Run(map[bool]string{true: "through", false: "back"}[through], func(t *testing.T) {
			rng := rand.New(rand.NewPCG(11, 7))
			c := newCopiesCluster(t, through)
			c.must("m1", wire.OpVolumeAttach, c.req)
			c.work(rng, 100)

			c.kills["s1"]()
			c.work(rng, 100)
			c.start("s1")
			c.config(allWell)

			c.kills["s2"]()
			c.disks["s2"].PowerCut()
			c.boots["s2"]++
			c.work(rng, 100)
			c.start("s2")
			c.config(allWell)
			c.work(rng, 100)

			corrupt := c.counter("copies_corrupt")
			for n := 0; n < 50 && (n == 0 || c.counter("copies_corrupt") == corrupt); n++ { // until one of them is read from s3, and was not written before
				for range 40 {
					c.must("s3", wire.OpCorruptBlock, wire.CorruptReq{Seed: rng.Uint64()})
				}
				c.work(rng, 200)
			}
			if c.counter("copies_corrupt") == corrupt || c.counter("copies_repaired") == 0 {
				t.Error("no rotten block was found and repaired")
			}

			c.ill["s1"].SetIll(blockdev.Ill{Full: true, FullSuffix: ".img"})
			c.work(rng, 80)
			c.ill["s1"].SetIll(blockdev.Ill{})
			c.config(allWell)

			// s2 is gone for good: s4 is filled, and takes its place.
			c.kills["s2"]()
			c.req.Replicas = append(slices.Clone(c.req.Replicas), wire.VolumeReplica{Node: "s4", Addr: c.addr["s4"], Member: 1, State: wire.ReplicaFilling})
			c.req.Replicas[1].State = wire.ReplicaLeaving
			c.req.Config++
			c.config(func(wire.VolumeConfigRep) bool { return true })
			c.work(rng, 80)
			c.config(func(r wire.VolumeConfigRep) bool { return r.InSync })
			c.req.Replicas = slices.Clone(c.req.Replicas[:3])
			c.req.Replicas[1] = wire.VolumeReplica{Node: "s4", Addr: c.addr["s4"], Member: 1, State: wire.ReplicaInSync}
			c.req.Config++
			c.config(allWell)
			c.kills["s3"]()
			c.work(rng, 100)
			c.start("s3")
			c.config(allWell)

			// The buffer cache is there no more: of what was written through nothing is lost, else the volume fails by name.
			if !through {
				if err := c.block(wire.OpBlockFlush, wire.Block{}, nil, nil); err != nil {
					t.Fatal(err)
				}
			}
			c.req.Epoch++
			c.at = "m2"
			c.must("m2", wire.OpVolumeAttach, c.req)
			c.work(rng, 200)
			c.config(allWell)
			if err := c.do("m1", wire.OpBlockFlush, wire.Block{Volume: 7, VolumeEpoch: 1}.Append(nil), nil, nil); through && err == nil {
				// nothing was written there since: it need not ask anybody
			} else if err != nil && !errors.Is(err, wire.ErrNotOwner) {
				t.Errorf("the old buffer cache: %v", err)
			}
			if !through {
				k := wire.Block{Version: volumeSerial.Add(1), Length: wire.PageSize}
				if err := c.block(wire.OpBlockWrite, k, make([]byte, wire.PageSize), nil); err != nil {
					t.Fatal(err)
				}
				c.req.Epoch++
				if err := c.do("m1", wire.OpVolumeAttach, wire.Marshal(c.req), nil, nil); !errors.Is(err, wire.ErrFailed) {
					t.Errorf("an attach after the loss of writes: %v", err)
				}
			}
			for _, id := range []wire.NodeID{"s1", "s2", "s3", "s4"} {
				c.kills[id]()
			}
			for _, m := range c.m {
				m.Stop()
				m.Close(context.Background())
			}
			seen := map[string]int{}
			for _, again := range c.again {
				for _, k := range again().Cores {
					seen[k.Kind] += int(k.Events)
				}
			}
			for _, kind := range []string{replica.TapeKind, volumecore.TapeKind, buffercache.TapeKind} {
				if seen[kind] < 100 {
					t.Errorf("%d records of %s", seen[kind], kind)
				}
			}
		})
	}
}
