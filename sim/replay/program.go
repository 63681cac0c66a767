package replay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"splitkernel/configs"
	"splitkernel/gmanagers/admission"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent"
	"splitkernel/sim/trace"
)

// Program is the replay of one trace as a process of a vNode that somebody else has admitted, outside of a run.
type Program struct {
	Spec Spec // without its place
	v    *configs.VNode
	info trace.Info
}

// NewProgram reads what must be known of the trace of v, whose path is the machine's.
func NewProgram(ctx context.Context, v *configs.VNode) (*Program, error) {
	info, err := known(ctx, v.Trace, v.Format)
	if err != nil {
		return nil, err
	}
	if err := checkVolumes(v, info); err != nil {
		return nil, err
	}
	p := &Program{Spec: specOf(v, v.Trace, info), v: v, info: info}
	if err := p.Spec.foreseeable(info); err != nil {
		return nil, fmt.Errorf("excache.policy: %w", err)
	}
	return p, nil
}

// specOf is what is known of a process before it is placed.
func specOf(v *configs.VNode, path string, info trace.Info) Spec {
	threads := v.Threads
	if threads == 0 {
		threads = max(info.Threads, 1)
	}
	var volumes uint64
	for _, w := range volumesOf(v, info) {
		volumes += w.SizeBytes
	}
	return Spec{
		Checkpoints: Checkpoints{On: v.Goes(), Every: v.Checkpoint.Every, RoomBytes: v.CheckpointRoom(info.FootprintPages, volumes)},
		Name:        v.Name, Trace: path, Format: v.Format, Threads: threads, Spread: v.Threads != 0, Order: v.Order, Repeat: v.Repeat,
		MaxRefs: v.MaxRefs, ExCache: v.Excache.Sized(info.FootprintPages),
	}
}

// Trace is what VirtualOptions wants of the trace.
func (p *Program) Trace() Trace { return Trace{Path: p.Spec.Trace, Info: p.info} }

// Volumes are those that the process needs, in the order in which Start wants them: the last has its checkpoints, if it makes any.
func (p *Program) Volumes() []admission.VolumeSpec {
	out := volumesOf(p.v, p.info)
	if p.Spec.Checkpoints.On {
		out = append(out, checkpointVolume(p.v, &p.Spec))
	}
	return out
}

// checkpointVolume is the volume that has the checkpoints of a vNode.
func checkpointVolume(v *configs.VNode, s *Spec) admission.VolumeSpec {
	return admission.VolumeSpec{Name: v.Name + "-" + checkpointsName, SizeBytes: s.Checkpoints.RoomBytes, Copies: v.CopiesOf(checkpointsName)}
}

func volumesOf(v *configs.VNode, info trace.Info) (out []admission.VolumeSpec) {
	for _, vol := range info.Volumes {
		out = append(out, admission.VolumeSpec{Name: v.Name + "-" + vol.Name, SizeBytes: max(vol.SizeBytes, wire.PageSize), Copies: v.CopiesOf(vol.Name)})
	}
	return out
}

// checkVolumes reports entries of a vNode for volumes that its trace has not.
func checkVolumes(v *configs.VNode, info trace.Info) error {
	var errs []error
	for i, e := range v.Volumes {
		if e.Name == "" || slices.ContainsFunc(info.Volumes, func(have trace.VolumeInfo) bool { return have.Name == e.Name }) {
			continue
		}
		var names []string
		for _, have := range info.Volumes {
			names = append(names, have.Name)
		}
		want := "one of " + strings.Join(names, ", ")
		if len(names) == 0 {
			want = "none: the trace has no block requests"
		}
		errs = append(errs, fmt.Errorf("vnodes.%s.volumes[%d].name: %q, want %s", v.Name, i, e.Name, want))
	}
	return errors.Join(errs...)
}

// VolumeOptions is where an admitted volume is, for its process.
func VolumeOptions(p admission.Volume) pcomponent.VolumeOptions {
	o := pcomponent.VolumeOptions{
		ID: p.Volume, Epoch: p.Epoch, SizeBytes: p.SizeBytes, Storage: p.Storage, StorageAddr: p.StorageAddr, Cache: p.Cache, CacheAddr: p.CacheAddr, Through: p.Copies.Through,
	}
	if p.Copies.Replicated() {
		o.Replicas, o.Config, o.WriteQuorum, o.ReadQuorum = p.Replicas, p.Config, p.Copies.WriteQuorum, p.Copies.ReadQuorum
	}
	return o
}

// VolumeAt says where a volume of a process is.
type VolumeAt = pcomponent.VolumeOptions

// Place is what the managers gave a process.
type Place struct {
	PID         wire.PID
	Epoch       wire.Epoch
	RegionBytes uint64
	Home        wire.Owner
	Volumes     []VolumeAt
}

// Start starts the process at its pComponent.
func (p *Program) Start(ctx context.Context, at *netlayer.Peer, place Place) error {
	s := p.Spec
	s.PID, s.Epoch, s.RegionBytes, s.Home, s.Volumes = place.PID, place.Epoch, place.RegionBytes, place.Home, place.Volumes
	if last := len(s.Volumes) - 1; s.Checkpoints.On {
		s.Volumes, s.Store = s.Volumes[:last:last], s.Volumes[last]
	}
	return at.Control(ctx, wire.OpProcessStart, s.Epoch, &wire.ProcessStartReq{PID: s.PID, Spec: wire.Marshal(&s)}, nil)
}
