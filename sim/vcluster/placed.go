package vcluster

import (
	"errors"
	"fmt"

	"splitkernel/gmanagers/admission"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/vtime"
)

// Placed is where the managers put a vNode in another run. With it nothing is decided again: what the vNode asks of the managers
// takes one command each and has the answer of then.
type Placed struct {
	Name    string // of the vNode
	PID     wire.PID
	Node    wire.NodeID
	Home    wire.NodeID
	Regions map[wire.RegionNo]wire.NodeID // the owner of each vRegion
	Volumes []PlacedVolume                // in the order of the spec
}

// PlacedVolume is where a volume is.
type PlacedVolume struct {
	ID             wire.VolumeID
	Storage, Cache wire.NodeID
}

// replayed are the vNodes of Options.Placed.
type replayed struct {
	byName map[string]*Placed
	byPID  map[wire.PID]*Placed
}

// replay takes what was placed; it reports everything that does not fit the cluster.
func (c *Cluster) replay(placed []Placed) (*replayed, error) {
	if placed == nil {
		return nil, nil
	}
	r := &replayed{map[string]*Placed{}, map[wire.PID]*Placed{}}
	var errs []error
	for i := range placed {
		p := &placed[i]
		is := func(what string, id wire.NodeID, role wire.Role) {
			if no, ok := c.byID[id]; !ok || c.o.Nodes[no].Role != role {
				errs = append(errs, fmt.Errorf("placement of %s: %s %q, want a %v of the cluster", p.Name, what, id, role))
			}
		}
		if r.byName[p.Name] != nil || r.byPID[p.PID] != nil {
			errs = append(errs, fmt.Errorf("placement of %s: there twice, or process %d is, want each once", p.Name, p.PID))
		}
		r.byName[p.Name], r.byPID[p.PID] = p, p
		is("its process at", p.Node, wire.RoleCompute)
		is("its home", p.Home, wire.RoleMemory)
		for _, no := range sorted(p.Regions) {
			is(fmt.Sprintf("vRegion %d at", no), p.Regions[no], wire.RoleMemory)
		}
		for _, v := range p.Volumes {
			is(fmt.Sprintf("volume %d at", v.ID), v.Storage, wire.RoleStorage)
			is(fmt.Sprintf("the buffer cache of volume %d at", v.ID), v.Cache, wire.RoleMemory)
		}
	}
	return r, errors.Join(errs...)
}

// commandBytes is about what a command of a vNode has.
const commandBytes = 200

// admit gives a vNode the place that it had.
func (r *replayed) admit(y *vtime.Proc, g *managers, spec admission.VNodeSpec) (a admission.Placement, err error) {
	p := r.byName[spec.Name]
	if p == nil {
		return a, wire.Errorf(wire.KindNotFound, "the placement does not name vNode %q: it did not run then", spec.Name)
	}
	if len(p.Volumes) != len(spec.Volumes) {
		return a, wire.Errorf(wire.KindBadRequest, "the placement has %d volumes of vNode %q, want %d", len(p.Volumes), spec.Name, len(spec.Volumes))
	}
	g.once(y, wire.GPM, "the admission of "+spec.Name)
	a = admission.Placement{PID: p.PID, Epoch: 1, Node: p.Node, Addr: addr(p.Node), Home: admission.Home{Node: p.Home, Addr: addr(p.Home), Epoch: 1, RegionBytes: g.c.o.RegionBytes}}
	for i, v := range p.Volumes {
		size := (spec.Volumes[i].SizeBytes + wire.PageSize - 1) / wire.PageSize * wire.PageSize
		a.Volumes = append(a.Volumes, admission.Volume{
			Volume: v.ID, Epoch: 1, SizeBytes: size, Storage: v.Storage, StorageAddr: addr(v.Storage), Cache: v.Cache, CacheAddr: addr(v.Cache),
		})
	}
	return a, nil
}

// owner gives a vRegion the owner that it had.
func (r *replayed) owner(pid wire.PID, region wire.RegionNo) (wire.Owner, error) {
	p := r.byPID[pid]
	if p == nil || p.Regions[region] == "" {
		return wire.Owner{}, wire.Errorf(wire.KindNotFound, "the placement names no owner of vRegion %d of process %d", region, pid)
	}
	id := p.Regions[region]
	return wire.Owner{Node: id, Addr: addr(id), Epoch: 1, Region: region}, nil
}

// once waits until one command of a group is committed.
func (g *managers) once(y *vtime.Proc, group wire.Manager, what string) {
	_ = wait(y, what, func(done func(error)) { // it has no error: nothing of it is carried out
		end := func() { done(nil) }
		g.logs[group].propose(entry{commandBytes, func() func() { return end }, func(error) { done(nil) }})
	})
}
