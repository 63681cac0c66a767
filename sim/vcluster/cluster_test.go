package vcluster

import (
	"fmt"
	"testing"

	"splitkernel/gmanagers/admission"
	"splitkernel/mcomponent/buffercache"
	"splitkernel/mcomponent/vregion"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/fault"
	"splitkernel/sim/hardware"
	"splitkernel/sim/vtime"
)

func testOptions(p, m, s int) Options {
	o := Options{Seed: 1, Hardware: hardware.DefaultOptions(), RegionBytes: 1 << 20, Fault: fault.DefaultOptions(), Managers: Managers{GPMPolicy: "fewest_threads", GMMPolicy: "least_loaded", GSMPolicy: "fewest_volumes", CachePolicy: "fewest_volumes", Overcommit: 4000}}
	add := func(role wire.Role, id string, n int) {
		for i := range n {
			o.Nodes = append(o.Nodes, Node{
				ID: wire.NodeID(fmt.Sprint(id, 1+i)), Role: role, Cores: 4, ExCacheBytes: 64 << 20, MemoryBytes: 64 << 20, Workers: 2, MaxOwnedRegions: 1 << 20,
				VRegion: vregion.DefaultOptions(), BufferCache: buffercache.DefaultOptions(), StorageBytes: 1 << 30, FlushQueue: 256, MaxVolumes: 256,
			})
		}
	}
	add(wire.RoleManager, "g", 3)
	add(wire.RoleStorage, "s", s)
	add(wire.RoleMemory, "m", m)
	add(wire.RoleCompute, "p", p)
	return o
}

func TestThin(t *testing.T) {
	c, err := New(testOptions(1, 2, 1))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Go("driver", func(y *vtime.Proc) {
		spec := admission.VNodeSpec{Name: "one", Threads: 1, ExCacheLines: 64, Volumes: []admission.VolumeSpec{{Name: "v", SizeBytes: 1 << 20}}}
		p, place, err := admitted(y, c, spec, 1024)
		if err != nil {
			t.Error(err)
			return
		}
		v := place.Volumes[0]
		vo := VolumeOptions{ID: v.Volume, Epoch: v.Epoch, Name: "v", SizeBytes: v.SizeBytes, Storage: v.Storage, Cache: v.Cache}
		if err := c.CreateVolume(y, "g1", vo); err != nil {
			t.Error(err)
		}
		th := p.Thread(0)
		th.Begin(y)
		for round := range 3 {
			for i := range uint64(1024) {
				s, err := th.Access(firstPage+i, true)
				if err != nil {
					t.Error(err)
					return
				}
				if int(s[0]) != round {
					t.Errorf("page %d holds %d in round %d", i, s[0], round)
					return
				}
				s[0]++
			}
		}
		th.Sync()
		vol, err := p.Attach(y, vo)
		if err != nil {
			t.Error(err)
			return
		}
		b := make([]byte, 32<<10)
		for i := range b {
			b[i] = byte(i / 512)
		}
		if err := vol.Write(y, 8192, b); err != nil {
			t.Error(err)
		}
		if err := vol.Flush(y); err != nil {
			t.Error(err)
		}
		if err := p.Drain(y); err != nil {
			t.Error(err)
		}
		if err := p.Close(y); err != nil {
			t.Error(err)
		}
		t.Logf("%+v at %v, %d events", p.Core().Cache().Stats(), y.Now(), c.Events())
	})
	if err := c.Run(0); err != nil {
		t.Fatal(err)
	}
	for _, x := range c.Components() {
		if x.ID == "s1" && (x.Writes != 8 || x.Syncs != 1) {
			t.Errorf("%s served %d writes and %d flushes, want those of 8 blocks and 1: the mark before them is none", x.ID, x.Writes, x.Syncs)
		}
	}
}
