package configs

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/apart"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/excache"
	sentences "splitkernel/sim/faults"
	"splitkernel/sim/generate"
)

// MaxVnodes bounds the vNodes of a workload.
const MaxVnodes = 1 << 14

// Orders of a replay.
const (
	// OrderTrace has one access outstanding, in the order of the trace: the logical counters are then the same in every run.
	OrderTrace = "trace"
	// OrderThreads runs the threads of the trace concurrently.
	OrderThreads = "threads"
)

// Workload is what to run: a set of vNodes, each the replay of one trace.
type Workload struct {
	// Name is used for the run's folder and in the report.
	Name string
	// Seed is the source of all chance of the run; the report carries it.
	Seed uint64
	// Faults are what goes wrong during the run, in the language of package faults; each says when.
	Faults []string
	// AllowLoss lets faults cost what the cluster promises to keep; what is lost is then counted and named in the report.
	AllowLoss bool
	// Vnodes start together.
	Vnodes []VNode

	files fs.FS  // where traces are read, nil for the machine's files
	dir   string // traces are relative to this folder
}

// VNode is one program: a process, its memory and, if the trace has block records, its volumes.
type VNode struct {
	Name string
	// Trace is a path relative to the workload file, or references by rule: the text of a generate.Spec.
	Trace string
	// Format of the trace; empty lets the reader recognise it.
	Format string
	// Threads spreads the references over so many threads; 0 keeps the trace's own.
	Threads int
	// Order is OrderTrace (the default) or OrderThreads.
	Order string
	// Repeat replays the trace so many times, one after the other, in one process.
	Repeat int
	// MaxRefs ends each repetition after so many references; 0 is all.
	MaxRefs uint64
	// Tenant is whose quota the vNode counts against.
	Tenant string
	// Priority is 1, the lowest, to admission.MaxPriority.
	Priority int
	// IfFull is refuse, queue or preempt: what becomes of the vNode if it does not fit.
	IfFull string
	// ApartFrom is a group of the tenant, or empty: nothing of the vNode is at a component where something of another vNode of
	// the group is, nor, if ApartLevel is rack, in its rack.
	ApartFrom string
	// ApartLevel is component or rack.
	ApartLevel string
	// QueueDeadlineMS is how long it waits for room, unless it is refused at once.
	QueueDeadlineMS int `yaml:"queue_deadline_ms"`
	// Checkpoint says how often the process is saved, so that it goes on elsewhere if its pComponent is lost.
	Checkpoint Checkpoint
	// Restart is what becomes of it then if Checkpoint.Every is 0: never, it is ended, or from-beginning.
	Restart string
	// MemoryBytes is reserved for it in whole vRegions, so that its first ones cannot be refused; 0 reserves none.
	MemoryBytes uint64
	// Memory is what its memory survives.
	Memory Memory
	// Excache is the process's share of its pComponent's cache.
	Excache ExCache
	// Volumes say how volumes of its trace are kept; one that none names has one copy.
	Volumes []Volume
}

// Volume says how a volume of a trace is kept.
type Volume struct {
	// Name is that of the volume in the trace; empty is every one that no other entry names.
	Name string
	// Replicas is how many sComponents hold it.
	Replicas int
	// WriteQuorum is for how many of them a write and a flush wait, ReadQuorum for how many a read does; 0 is the least that is safe.
	WriteQuorum int
	ReadQuorum  int
	// Write is WriteBack or WriteThrough.
	Write string
}

// How writes are acknowledged.
const (
	// WriteBack acknowledges a write in the buffer cache; it is durable after a flush.
	WriteBack = "back"
	// WriteThrough acknowledges a write when it is at the sComponents.
	WriteThrough = "through"
)

// DefaultVolume has one copy, and writes are acknowledged by the buffer cache.
func DefaultVolume() Volume { return Volume{Replicas: 1, Write: WriteBack} }

// Copies is v as the managers are asked for it. Quorums that are not given are a majority of writes, and what makes reads meet them.
func (v Volume) Copies() admission.Copies {
	n, w, r := v.Replicas, v.WriteQuorum, v.ReadQuorum
	if w == 0 {
		w = n/2 + 1
	}
	if r == 0 {
		r = max(n-w+1, 1)
	}
	byte := func(n int) uint8 { return uint8(max(0, min(n, math.MaxUint8))) }
	return admission.Copies{Replicas: byte(n), WriteQuorum: byte(w), ReadQuorum: byte(r), Through: v.Write == WriteThrough}
}

// CopiesOf is how a volume of the trace is kept.
func (v *VNode) CopiesOf(name string) admission.Copies {
	all := admission.Copies{}
	for i := range v.Volumes {
		switch e := &v.Volumes[i]; e.Name {
		case name:
			return e.Copies()
		case "":
			all = e.Copies()
		}
	}
	return all
}

// validateVolumes reports the faults of how volumes are kept.
func (v *VNode) validateVolumes(fs *faults, prefix string) {
	if len(v.Volumes) > admission.MaxVolumes {
		fs.add(prefix+"volumes", "%d, want at most %d", len(v.Volumes), admission.MaxVolumes)
	}
	seen := map[string]bool{}
	for i := range v.Volumes {
		e, key := &v.Volumes[i], fmt.Sprintf("%svolumes[%d].", prefix, i)
		if seen[e.Name] {
			fs.add(key+"name", "%q is there twice, want each name once", e.Name)
		}
		seen[e.Name] = true
		if e.Write != WriteBack && e.Write != WriteThrough {
			fs.add(key+"write", "%q, want one of %s, %s", e.Write, WriteBack, WriteThrough)
		}
		if e.Replicas < 1 || e.Replicas > admission.MaxReplicas {
			fs.add(key+"replicas", "%d, want 1 to %d", e.Replicas, admission.MaxReplicas)
			continue
		}
		if e.WriteQuorum < 0 || e.ReadQuorum < 0 {
			fs.add(key+"write_quorum", "%d and read_quorum: %d, want 0 (the least that is safe) or more", e.WriteQuorum, e.ReadQuorum)
			continue
		}
		for _, f := range e.Copies().Faults() {
			fs.add(key+f.Key, "%s", f.Text)
		}
	}
}

// Checkpoint says how often a process is saved.
type Checkpoint struct {
	// Every is the number of accesses between two checkpoints; 0 makes none. A number of accesses, not a time, so that a live and a
	// virtual run make them at the same places and have the same counts.
	Every uint64
	// RoomBytes is the size of the volume that they are kept in: a half for the last two checkpoints, a half for what the last one needs of the
	// volumes; 0 sets it by the trace.
	RoomBytes uint64
}

// What becomes of a process without checkpoints whose pComponent is lost.
const (
	RestartNever     = "never"
	RestartBeginning = "from-beginning"
)

// Goes reports whether the process goes on elsewhere if its pComponent is lost.
func (v *VNode) Goes() bool { return v.Checkpoint.Every > 0 || v.Restart == RestartBeginning }

// CheckpointRoom is the size of the checkpoint volume for a trace that touches so many pages and uses volumes of so many bytes.
func (v *VNode) CheckpointRoom(pages, volumeBytes uint64) uint64 {
	room := v.Checkpoint.RoomBytes
	if room == 0 {
		// The versions of pages and sectors take 1 to 3 bytes each in a slot, a quarter of the room.
		room = 4 * (autoSlotBytes + 4*pages + 4*volumeBytes/wire.SectorSize)
	}
	return (room + roomUnit - 1) / roomUnit * roomUnit
}

const (
	// autoSlotBytes is the least that a slot has if RoomBytes is 0.
	autoSlotBytes = 4 << 20
	// roomUnit divides into two slots and a log of whole pages.
	roomUnit = 4 * wire.PageSize
	// MaxCheckpointBytes bounds Checkpoint.RoomBytes, MinCheckpointBytes what is not 0.
	MaxCheckpointBytes = 1 << 40
	MinCheckpointBytes = 4 << 20
)

// ExCache is excache.Options with another way to say the size: a share of what the trace touches.
type ExCache struct {
	excache.Options `yaml:",squash"`
	// SharePercent sets Lines to this share of the pages that the trace touches; 0 takes Lines as it stands. The share
	// decides, so Ways may be raised to make sets of equal size.
	SharePercent float64
}

// DefaultWorkload is an empty workload of seed 1.
func DefaultWorkload() Workload { return Workload{Seed: 1} }

// DefaultVNode replays in the order of the trace, once, with the ExCache at its defaults.
func DefaultVNode() VNode {
	return VNode{
		Order: OrderTrace, Repeat: 1, Tenant: admission.DefaultTenant, Priority: admission.DefaultPriority, IfFull: admission.Refuse.String(), Restart: RestartNever,
		ApartLevel: apart.Component.String(), QueueDeadlineMS: admission.DefaultDeadlineMS, Memory: DefaultMemory(), Excache: ExCache{Options: excache.DefaultOptions()},
	}
}

// MaxThreads bounds the threads of a vNode.
const MaxThreads = 1024

func loadVnodes(fs *faults, raw any) []VNode {
	list, ok := raw.([]any)
	if !ok || len(list) == 0 {
		fs.add("vnodes", "%s, want a list of at least one vNode", show(raw))
		return nil
	}
	var vnodes []VNode
	for i, e := range list {
		m, ok := e.(map[string]any)
		if !ok {
			fs.add(fmt.Sprintf("vnodes[%d]", i), "%s, want a section of keys", show(e))
			continue
		}
		prefix := fmt.Sprintf("vnodes[%d].", i)
		if name, ok := m["name"].(string); ok {
			prefix = "vnodes." + name + "."
		}
		m, count := counted(fs, prefix, m, MaxVnodes)
		v := DefaultVNode()
		volumes, ok := m["volumes"]
		delete(m, "volumes")
		fs.decode(checkSection(fs, prefix, m, reflect.TypeFor[VNode]()), &v)
		if ok {
			v.Volumes = loadVolumes(fs, prefix, volumes)
		}
		if x, ok := m["excache"].(map[string]any); ok && v.Excache.SharePercent != 0 {
			if n, given := x["lines"]; given && n != 0 {
				fs.add(prefix+"excache", "both lines and share_percent, want one of them")
			}
			v.Excache.Lines = 0 // follows from the share
		}
		vnodes = append(vnodes, v.times(count)...)
	}
	return vnodes
}

// loadVolumes reads how volumes are kept.
func loadVolumes(fs *faults, prefix string, raw any) (out []Volume) {
	list, ok := raw.([]any)
	if !ok {
		fs.add(prefix+"volumes", "%s, want a list", show(raw))
		return nil
	}
	for i, e := range list {
		key := fmt.Sprintf("%svolumes[%d]", prefix, i)
		m, ok := e.(map[string]any)
		if !ok {
			fs.add(key, "%s, want a section of keys", show(e))
			continue
		}
		v := DefaultVolume()
		fs.decode(checkSection(fs, key+".", m, reflect.TypeFor[Volume]()), &v)
		out = append(out, v)
	}
	return out
}

func (w *Workload) validate(fs *faults) {
	checkName(fs, "name", w.Name)
	_, errs := sentences.ParseList("faults", w.Faults)
	for _, err := range errs {
		fs.addErr("", err)
	}
	if len(w.Vnodes) > MaxVnodes {
		fs.add("vnodes", "%d, want at most %d", len(w.Vnodes), MaxVnodes)
	}
	seen := map[string]bool{}
	for i := range w.Vnodes {
		v := &w.Vnodes[i]
		prefix := "vnodes." + v.Name + "."
		if v.Name == "" {
			prefix = fmt.Sprintf("vnodes[%d].", i)
		}
		checkName(fs, prefix+"name", v.Name)
		if seen[v.Name] {
			fs.add(prefix+"name", "%q is there twice, want each name once", v.Name)
		}
		seen[v.Name] = true
		if v.Trace == "" {
			fs.add(prefix+"trace", "missing, want the path of a trace")
		} else if generate.Is(v.Trace) {
			for _, text := range flatten("", v.checkGenerator()) {
				fs.add(prefix+"trace", "%q: %s", v.Trace, text)
			}
		} else if err := w.checkTrace(v.Trace); err != nil {
			fs.add(prefix+"trace", "%q: %s", v.Trace, err)
		}
		if v.Order != OrderTrace && v.Order != OrderThreads {
			fs.add(prefix+"order", "%q, want one of %s, %s", v.Order, OrderThreads, OrderTrace)
		}
		if v.Threads < 0 || v.Threads > MaxThreads {
			fs.add(prefix+"threads", "%d, want 0 (as in the trace) to %d", v.Threads, MaxThreads)
		}
		if v.Repeat < 1 {
			fs.add(prefix+"repeat", "%d, want at least 1", v.Repeat)
		}
		if n := v.Checkpoint.RoomBytes; n != 0 && (n < MinCheckpointBytes || n > MaxCheckpointBytes) {
			fs.add(prefix+"checkpoint.room_bytes", "%d, want 0 (set by the trace), or %d to %d", n, uint64(MinCheckpointBytes), uint64(MaxCheckpointBytes))
		}
		if v.Restart != RestartNever && v.Restart != RestartBeginning {
			fs.add(prefix+"restart", "%q, want one of %s, %s", v.Restart, RestartBeginning, RestartNever)
		}
		v.validateAdmission(fs, prefix)
		v.validateVolumes(fs, prefix)
		v.Excache.validate(fs, prefix+"excache.")
	}
}

// validateAdmission reports the faults of what the managers are asked for.
func (v *VNode) validateAdmission(fs *faults, prefix string) {
	if v.Tenant == "" || len(v.Tenant) > admission.MaxTenantBytes || v.Tenant == admission.EveryTenant {
		fs.add(prefix+"tenant", "%q, want 1 to %d bytes, and not %q", v.Tenant, admission.MaxTenantBytes, admission.EveryTenant)
	}
	if v.Priority < 1 || v.Priority > admission.MaxPriority {
		fs.add(prefix+"priority", "%d, want 1 to %d", v.Priority, admission.MaxPriority)
	}
	if _, ok := admission.ParseIfFull(v.IfFull); !ok {
		fs.add(prefix+"if_full", "%q, want one of %v, %v, %v", v.IfFull, admission.Preempt, admission.Queue, admission.Refuse)
	}
	if level, ok := apart.ParseLevel(v.ApartLevel); !ok || v.ApartLevel == "" {
		fs.add(prefix+"apart_level", "%q, want one of %v, %v", v.ApartLevel, apart.Component, apart.Rack)
	} else if err := (apart.Rule{Group: v.ApartFrom, Level: level}).Check("apart"); v.ApartFrom != "" && err != nil {
		fs.add(prefix+"apart_from", "%.64q, want at most %d letters, digits, '-', '_' and '.'", v.ApartFrom, apart.MaxGroupBytes)
	}
	if v.QueueDeadlineMS < 1 || v.QueueDeadlineMS > admission.MaxDeadlineMS {
		fs.add(prefix+"queue_deadline_ms", "%d, want 1 to %d", v.QueueDeadlineMS, admission.MaxDeadlineMS)
	}
	if v.MemoryBytes > math.MaxInt64 {
		fs.add(prefix+"memory_bytes", "%d, want at most %d", v.MemoryBytes, int64(math.MaxInt64))
	}
	v.Memory.validate(fs, prefix+"memory.")
	if v.Goes() && v.Memory.Policy().Kind == wire.MemoryErasure {
		fs.add(prefix+"memory.replication", "%q with checkpoints, want none, log or sync: shares of memory do not go back to a checkpoint", v.Memory.Replication)
	}
}

func (x ExCache) validate(fs *faults, prefix string) {
	o := x.Options
	if x.SharePercent < 0 || x.SharePercent > 1000 {
		fs.add(prefix+"share_percent", "%v, want above 0 to 1000, or leave it out and set lines", x.SharePercent)
		return
	}
	if x.SharePercent > 0 {
		if o.Ways < 0 || o.Ways > excache.MaxLines {
			fs.add(prefix+"ways", "%d, want 0 (fully associative) to %d", o.Ways, excache.MaxLines)
		}
		o.Ways = 0
		o.Lines = 1 // both follow from the share once the trace has been read
	}
	fs.addErr(prefix, o.Validate())
}

// Sized gives the options of the cache for a trace that touches footprint pages.
func (x ExCache) Sized(footprint uint64) excache.Options {
	o := x.Options
	if x.SharePercent == 0 {
		return o
	}
	want := uint64(float64(footprint) * x.SharePercent / 100)
	lines := int(min(max(want, 1), excache.MaxLines))
	if o.Ways == 0 {
		o.Lines = lines
		return o
	}
	sets := 1
	for sets*2*o.Ways <= lines {
		sets *= 2
	}
	o.Ways = max(lines/sets, 1)
	o.Lines = o.Ways * sets
	return o
}

// checkGenerator reports what is wrong with references by rule.
func (v *VNode) checkGenerator() error {
	_, err := generate.Parse(v.Trace)
	if v.Format != "" {
		err = errors.Join(err, fmt.Errorf("format %q of a generator, which is no file, want none", v.Format))
	}
	return err
}

// checkTrace reports a trace that is not there, before anything is started.
func (w *Workload) checkTrace(name string) error {
	var st fs.FileInfo
	var err error
	if w.files != nil {
		st, err = fs.Stat(w.files, path.Join(w.dir, name))
	} else {
		st, err = os.Stat(w.onDisk(name)) // not opened: to open a pipe may wait for ever
	}
	switch {
	case err != nil:
		var path *fs.PathError
		if errors.As(err, &path) { // the message names the path already
			err = path.Err
		}
		return fmt.Errorf("cannot be opened: %w", err)
	case st.IsDir():
		return errors.New("is a folder, want a trace")
	case !st.Mode().IsRegular():
		return errors.New("is a device or a pipe, want a trace in a regular file")
	}
	return nil
}

// WhatFails gives the faults of the workload, which was validated.
func (w *Workload) WhatFails() []sentences.Fault {
	list, errs := sentences.ParseList("faults", w.Faults)
	if errs != nil {
		panic(errs[0])
	}
	return list
}

// Bundled reports whether the workload and its traces came with the program.
func (w *Workload) Bundled() bool { return w.files != nil }

func (w *Workload) onDisk(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(w.dir, name)
}

// TracePath gives the path of v's trace on this machine, or the text of its generator. A bundled trace is written to dir first.
func (w *Workload) TracePath(v *VNode, dir string) (string, error) {
	if generate.Is(v.Trace) {
		return w.generator(v)
	}
	if w.files == nil {
		p, err := filepath.Abs(w.onDisk(v.Trace))
		if err != nil {
			return "", fmt.Errorf("trace %s: %w", v.Trace, err)
		}
		return p, nil
	}
	text, err := fs.ReadFile(w.files, path.Join(w.dir, v.Trace))
	if err != nil {
		return "", fmt.Errorf("bundled trace %s: %w", v.Trace, err)
	}
	p := filepath.Join(dir, path.Base(v.Trace))
	if st, err := os.Stat(p); err == nil && st.Size() == int64(len(text)) {
		return p, nil // another vNode replays the same trace
	}
	if err := os.WriteFile(p, text, 0o600); err != nil {
		return "", fmt.Errorf("write bundled trace %s: %w", v.Trace, err)
	}
	return p, nil
}

// checkName keeps names fit for file names, metrics and keys.
func checkName(fs *faults, key, name string) {
	const max = 32
	ok := name != "" && len(name) <= max && !slices.ContainsFunc([]byte(name), func(c byte) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_')
	}) && !strings.HasPrefix(name, "-")
	if !ok {
		fs.add(key, "%q, want 1 to %d letters, digits, - or _", name, max)
	}
}
