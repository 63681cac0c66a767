package vregion

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"splitkernel/mcomponent/tapes"
	"splitkernel/netlayer/heat"
	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/wire"
)

// OwnersTapeKind is the kind of the tapes of Owners.
const OwnersTapeKind = "mcomponent/vregion/owners"

// maxTapeSlots bounds the slots that a tape may name. No mComponent serves as many vRegions.
const maxTapeSlots = 1 << 24

// OwnersTapeHead says how to make the owner role of a tape anew: its head, by wire.Marshal.
type OwnersTapeHead struct {
	Node     wire.NodeID
	Options  Options
	MaxSlots int
}

// New makes the owner role that the tape began with.
func (h *OwnersTapeHead) New() (*Owners, error) {
	err := h.Options.Validate()
	if h.MaxSlots < 0 || h.MaxSlots > maxTapeSlots {
		err = errors.Join(err, fmt.Errorf("%d vRegions, want at most %d", h.MaxSlots, maxTapeSlots))
	}
	if err != nil {
		return nil, err
	}
	return NewOwners(h.Options, h.Node, h.MaxSlots), nil
}

// OwnersInputKind says which call a record holds. Numbers are those of the format: explicit, never reused.
type OwnersInputKind uint8

// The inputs. What a miss or a flush asks, Check, is none: it changes nothing, and if it may be served it is an input of the page store, which
// names the slot. Count is on the tape as OwnWarm when it puts a slot among those that are to be read, and else as a number of the
// next OwnHeat. Error, Serving, Bounds, Mapped, Leaving, Absent, CheckMapped, Holdings, Regions and MappedBytes change nothing either, and
// what their callers make of their answers comes as an input.
const (
	OwnMap        OwnersInputKind = 1
	OwnUnmap      OwnersInputKind = 2
	OwnExit       OwnersInputKind = 3
	OwnRelease    OwnersInputKind = 4
	OwnFence      OwnersInputKind = 5
	OwnRegistered OwnersInputKind = 6
	OwnPass       OwnersInputKind = 7
	OwnFreeze     OwnersInputKind = 8
	OwnThaw       OwnersInputKind = 9
	OwnLose       OwnersInputKind = 10
	OwnLeave      OwnersInputKind = 11
	OwnLeft       OwnersInputKind = 12
	OwnArrive     OwnersInputKind = 13
	OwnServe      OwnersInputKind = 14
	OwnAdopt      OwnersInputKind = 15
	OwnDrop       OwnersInputKind = 16
	OwnWarm       OwnersInputKind = 17
	OwnHeat       OwnersInputKind = 18
	OwnHold       OwnersInputKind = 19
	OwnRecover    OwnersInputKind = 20
	OwnCut        OwnersInputKind = 21
	OwnRollback   OwnersInputKind = 22
)

var ownersInputNames = []string{"", "map", "unmap", "exit", "release", "fence", "registered", "pass", "freeze", "thaw", "lose", "leave", "left", "arrive", "serve",
	"adopt", "drop", "warm", "heat", "hold", "recover", "cut", "rollback"}

func (k OwnersInputKind) String() string {
	if int(k) < len(ownersInputNames) {
		return ownersInputNames[k]
	}
	return fmt.Sprintf("input(%d)", uint8(k))
}

// OwnersInput is one call of Owners, and a checksum of its answer. Which fields are set depends on the kind, as the parameters
// of the method of that name say.
type OwnersInput struct {
	Kind   OwnersInputKind
	Map    wire.RegionMapReq
	Unmap  wire.RegionUnmapReq
	Move   wire.MoveReq
	Cut    wire.RegionCutReq
	Back   wire.RegionRollbackReq
	PID    wire.PID
	Region wire.RegionNo
	Slot   uint32
	Epoch  wire.Epoch
	Node   wire.NodeID // where it goes or where it comes from
	Why    string      // of a fence
	Copied []uint32    // of a fence: the slots of which others have copies, ascending
	Mapped []wire.MappedPart
	Since  time.Duration // of heat
	Counts []uint64      // of heat: what was counted for each slot that is read

	Sum uint32
}

// String names the input, for people.
func (in *OwnersInput) String() string {
	s := in.Kind.String()
	switch in.Kind {
	case OwnMap:
		return s + fmt.Sprintf(" pid=%d region=%d start=%#x length=%d epoch=%d", in.Map.PID, in.Map.Region, in.Map.Start, in.Map.Length, in.Map.RegionEpoch)
	case OwnUnmap:
		return s + fmt.Sprintf(" pid=%d region=%d start=%#x length=%d epoch=%d", in.Unmap.PID, in.Unmap.Region, in.Unmap.Start, in.Unmap.Length, in.Epoch)
	case OwnExit:
		return s + fmt.Sprintf(" pid=%d", in.PID)
	case OwnFence:
		return s + fmt.Sprintf(" why=%q", in.Why)
	case OwnRegistered:
		return s + fmt.Sprintf(" epoch=%d", in.Epoch)
	case OwnPass:
		return s + fmt.Sprintf(" pid=%d region=%d to=%s epoch=%d", in.Move.PID, in.Move.Region, in.Move.To, in.Move.Epoch)
	case OwnArrive, OwnDrop, OwnHold, OwnRecover:
		return s + fmt.Sprintf(" pid=%d region=%d epoch=%d", in.PID, in.Region, in.Epoch)
	case OwnCut:
		return s + fmt.Sprintf(" pid=%d region=%d checkpoint=%d", in.Cut.PID, in.Cut.Region, in.Cut.Cut.Number)
	case OwnRollback:
		return s + fmt.Sprintf(" pid=%d region=%d process=%d checkpoint=%d", in.Back.PID, in.Back.Region, in.Back.Process, in.Back.Cut.Number)
	case OwnHeat:
		return s + fmt.Sprintf(" slots=%d", len(in.Counts))
	}
	return s + fmt.Sprintf(" slot=%d epoch=%d", in.Slot, in.Epoch)
}

// code goes over a record: kind byte, the fields of the kind, checksum (4 bytes).
func (in *OwnersInput) code(c *tape.Coder) {
	if tape.Num(c, &in.Kind); c.Reads() {
		*in = OwnersInput{Kind: in.Kind, Counts: in.Counts[:0]}
	}
	slot := func() { tape.Below(c, &in.Slot, maxTapeSlots) }
	switch in.Kind {
	case OwnMap:
		tapes.Message(c, &in.Map)
	case OwnUnmap:
		tapes.Message(c, &in.Unmap)
		tape.Num(c, &in.Epoch)
	case OwnCut:
		tapes.Message(c, &in.Cut)
		tape.Num(c, &in.Epoch)
	case OwnRollback:
		tapes.Message(c, &in.Back)
		tape.Num(c, &in.Epoch)
	case OwnExit:
		tape.Num(c, &in.PID)
	case OwnFence:
		tape.Text(c, &in.Why)
		tape.List(c, &in.Copied, maxTapeSlots, func(s *uint32) { tape.Below(c, s, maxTapeSlots) })
	case OwnRegistered:
		tape.Num(c, &in.Epoch)
	case OwnPass:
		tapes.Message(c, &in.Move)
	case OwnRelease, OwnLose, OwnLeft, OwnWarm:
		slot()
	case OwnFreeze, OwnThaw, OwnLeave:
		slot()
		tape.Text(c, &in.Node)
		tape.Num(c, &in.Epoch)
	case OwnArrive, OwnDrop, OwnHold, OwnRecover:
		tape.Num(c, &in.PID)
		tape.Num(c, &in.Region)
		tape.Num(c, &in.Epoch)
		tape.Text(c, &in.Node)
	case OwnServe, OwnAdopt:
		slot()
		tapes.Message(c, &in.Mapped)
		tape.Num(c, &in.Epoch)
	case OwnHeat:
		tape.Int(c, &in.Since)
		tape.List(c, &in.Counts, maxTapeSlots, func(n *uint64) { tape.Num(c, n) })
	default:
		c.Fail("input %d, which this version does not know", in.Kind)
	}
	c.Word(&in.Sum)
}

// Read takes a record apart.
func (in *OwnersInput) Read(b []byte) error {
	return tape.Decode(b, in.code)
}

// Apply makes the call that in holds, and gives the checksum of its answer. It panics where the method panics.
func (o *Owners) Apply(in *OwnersInput) uint32 {
	s := tape.Sum(0)
	switch in.Kind {
	case OwnMap:
		s = tapes.SumError(s, o.Map(in.Map))
	case OwnUnmap:
		s = sumUnmap(o.Unmap(in.Unmap, in.Epoch))
	case OwnCut:
		s = sumUnmap(o.Cut(in.Cut, in.Epoch))
	case OwnRollback:
		s = sumUnmap(o.Rollback(in.Back, in.Epoch))
	case OwnExit:
		s = sumSlots(o.Exit(in.PID, nil))
	case OwnRelease:
		o.Release(in.Slot)
	case OwnFence:
		s = sumSlots(o.Fence(in.Why, func(slot uint32) bool { return slices.Contains(in.Copied, slot) }, nil))
	case OwnRegistered:
		o.Registered(in.Epoch)
	case OwnPass:
		s = tapes.SumError(s, o.Pass(in.Move))
	case OwnFreeze:
		o.Freeze(in.Slot, in.Node)
	case OwnThaw:
		o.Thaw(in.Slot, in.Epoch)
	case OwnLose:
		o.Lose(in.Slot)
	case OwnLeave:
		o.Leave(in.Slot, in.Node, in.Epoch)
	case OwnLeft:
		o.Left(in.Slot)
	case OwnArrive:
		slot, err := o.Arrive(in.PID, in.Region, in.Epoch, in.Node)
		s = sumUnmap(slot, true, err)
	case OwnHold:
		slot, err := o.Hold(in.PID, in.Region, in.Epoch, in.Node)
		s = sumUnmap(slot, true, err)
	case OwnRecover:
		slot, err := o.Recover(in.PID, in.Region, in.Epoch, in.Node)
		s = sumUnmap(slot, true, err)
	case OwnServe:
		o.Serve(in.Slot, in.Mapped)
	case OwnAdopt:
		o.Adopt(in.Slot, in.Mapped, in.Epoch)
	case OwnDrop:
		s = sumUnmap(o.Drop(in.PID, in.Region, in.Epoch))
	case OwnWarm:
		o.Count(in.Slot)
		s = tape.Sum(0).Bool(o.slots[in.Slot].warm)
	case OwnHeat:
		slots := o.toRead(len(in.Counts))
		for i, slot := range slots {
			o.slots[slot].served.Set(in.Counts[i])
		}
		more := o.Heat(len(in.Counts), in.Since, heat.NewTop(1))
		s = o.sumHeat(more, slots)
	}
	return s.Word()
}

func sumUnmap(slot uint32, ok bool, err error) tape.Sum {
	return tapes.SumError(tape.Sum(0).Uint(uint64(slot)).Bool(ok), err)
}

func sumSlots(slots []uint32) tape.Sum {
	s := tape.Sum(0).Uint(uint64(len(slots)))
	for _, slot := range slots {
		s = s.Uint(uint64(slot))
	}
	return s
}

// toRead gives the slots that Heat of n will read.
func (o *Owners) toRead(n int) []uint32 {
	list := o.warm.reading[o.warm.next:]
	if len(list) == 0 {
		list = o.warm.slots
	}
	return append([]uint32(nil), list[:min(n, len(list))]...)
}

// sumHeat is a checksum of the rates that Heat has read.
func (o *Owners) sumHeat(more bool, slots []uint32) tape.Sum {
	s := tape.Sum(0).Bool(more)
	for _, slot := range slots {
		r := &o.slots[slot]
		s = r.served.Sum(s.Uint(uint64(slot)).Bool(r.warm))
	}
	return s
}

// TapedOwners is an Owners whose inputs are recorded. Without a tape it is the Owners: each input costs one branch more.
type TapedOwners struct {
	*Owners
	tape tape.Tape // nil: off
	in   OwnersInput
	c    tape.Coder
}

// Record begins a tape, before the first input.
func (o *TapedOwners) Record(t tape.Tape) { o.tape = t }

// put records what o.in holds. Only the fields of the kind are set: the rest is from records before.
func (o *TapedOwners) put(kind OwnersInputKind, s tape.Sum) {
	o.in.Kind, o.in.Sum = kind, s.Word()
	o.c.Write(o.c.Written()[:0])
	o.in.code(&o.c)
	if o.tape.Record(o.c.Written()) {
		o.tape.State(o.AppendState(nil)) // it may be large, and is seldom wanted
	}
}

// plain records an input that names a slot.
func (o *TapedOwners) plain(kind OwnersInputKind, slot uint32, node wire.NodeID, epoch wire.Epoch, s tape.Sum) {
	if o.tape != nil {
		o.in.Slot, o.in.Node, o.in.Epoch = slot, node, epoch
		o.put(kind, s)
	}
}

func (o *TapedOwners) Map(req wire.RegionMapReq) error {
	err := o.Owners.Map(req)
	if o.tape != nil {
		o.in.Map = req
		o.put(OwnMap, tapes.SumError(0, err))
	}
	return err
}

func (o *TapedOwners) Unmap(req wire.RegionUnmapReq, epoch wire.Epoch) (slot uint32, ok bool, err error) {
	slot, ok, err = o.Owners.Unmap(req, epoch)
	if o.tape != nil {
		o.in.Unmap, o.in.Epoch = req, epoch
		o.put(OwnUnmap, sumUnmap(slot, ok, err))
	}
	return slot, ok, err
}

func (o *TapedOwners) Cut(req wire.RegionCutReq, epoch wire.Epoch) (slot uint32, ok bool, err error) {
	slot, ok, err = o.Owners.Cut(req, epoch)
	if o.tape != nil {
		o.in.Cut, o.in.Epoch = req, epoch
		o.put(OwnCut, sumUnmap(slot, ok, err))
	}
	return slot, ok, err
}

func (o *TapedOwners) Rollback(req wire.RegionRollbackReq, epoch wire.Epoch) (slot uint32, ok bool, err error) {
	slot, ok, err = o.Owners.Rollback(req, epoch)
	if o.tape != nil {
		o.in.Back, o.in.Epoch = req, epoch
		o.put(OwnRollback, sumUnmap(slot, ok, err))
	}
	return slot, ok, err
}

func (o *TapedOwners) Exit(pid wire.PID, slots []uint32) []uint32 {
	n := len(slots)
	slots = o.Owners.Exit(pid, slots)
	if o.tape != nil {
		o.in.PID = pid
		o.put(OwnExit, sumSlots(slots[n:]))
	}
	return slots
}

func (o *TapedOwners) Fence(why string, copied func(slot uint32) bool, slots []uint32) []uint32 {
	n := len(slots)
	var asked []uint32
	slots = o.Owners.Fence(why, func(slot uint32) bool {
		is := copied != nil && copied(slot)
		if is {
			asked = append(asked, slot)
		}
		return is
	}, slots)
	if o.tape != nil {
		o.in.Why, o.in.Copied = why, asked
		o.put(OwnFence, sumSlots(slots[n:]))
	}
	return slots
}

func (o *TapedOwners) Registered(e wire.Epoch) {
	o.Owners.Registered(e)
	o.plain(OwnRegistered, 0, "", e, 0)
}

func (o *TapedOwners) Pass(req wire.MoveReq) error {
	err := o.Owners.Pass(req)
	if o.tape != nil {
		o.in.Move = req
		o.put(OwnPass, tapes.SumError(0, err))
	}
	return err
}

func (o *TapedOwners) Release(slot uint32) {
	o.Owners.Release(slot)
	o.plain(OwnRelease, slot, "", 0, 0)
}

func (o *TapedOwners) Freeze(slot uint32, to wire.NodeID) {
	o.Owners.Freeze(slot, to)
	o.plain(OwnFreeze, slot, to, 0, 0)
}

func (o *TapedOwners) Thaw(slot uint32, epoch wire.Epoch) {
	o.Owners.Thaw(slot, epoch)
	o.plain(OwnThaw, slot, "", epoch, 0)
}

func (o *TapedOwners) Lose(slot uint32) {
	o.Owners.Lose(slot)
	o.plain(OwnLose, slot, "", 0, 0)
}

func (o *TapedOwners) Leave(slot uint32, to wire.NodeID, epoch wire.Epoch) {
	o.Owners.Leave(slot, to, epoch)
	o.plain(OwnLeave, slot, to, epoch, 0)
}

func (o *TapedOwners) Left(slot uint32) {
	o.Owners.Left(slot)
	o.plain(OwnLeft, slot, "", 0, 0)
}

func (o *TapedOwners) Arrive(pid wire.PID, region wire.RegionNo, epoch wire.Epoch, from wire.NodeID) (uint32, error) {
	slot, err := o.Owners.Arrive(pid, region, epoch, from)
	if o.tape != nil {
		o.in.PID, o.in.Region, o.in.Epoch, o.in.Node = pid, region, epoch, from
		o.put(OwnArrive, sumUnmap(slot, true, err))
	}
	return slot, err
}

func (o *TapedOwners) Drop(pid wire.PID, region wire.RegionNo, upTo wire.Epoch) (slot uint32, ok bool, err error) {
	slot, ok, err = o.Owners.Drop(pid, region, upTo)
	if o.tape != nil {
		o.in.PID, o.in.Region, o.in.Epoch, o.in.Node = pid, region, upTo, ""
		o.put(OwnDrop, sumUnmap(slot, ok, err))
	}
	return slot, ok, err
}

func (o *TapedOwners) Serve(slot uint32, mapped []wire.MappedPart) {
	o.Owners.Serve(slot, mapped)
	if o.tape != nil {
		o.in.Mapped = mapped
		o.plain(OwnServe, slot, "", 0, 0)
	}
}

func (o *TapedOwners) Adopt(slot uint32, mapped []wire.MappedPart, epoch wire.Epoch) {
	o.Owners.Adopt(slot, mapped, epoch)
	if o.tape != nil {
		o.in.Mapped = mapped
		o.plain(OwnAdopt, slot, "", epoch, 0)
	}
}

// Count is on the path of each miss and flush: mostly it costs a branch.
func (o *TapedOwners) Count(slot uint32) {
	warm := o.slots[slot].warm
	o.Owners.Count(slot)
	if o.tape != nil && !warm {
		o.plain(OwnWarm, slot, "", 0, tape.Sum(0).Bool(o.slots[slot].warm))
	}
}

func (o *TapedOwners) Heat(n int, dt time.Duration, top *heat.Top) (more bool) {
	if o.tape == nil {
		return o.Owners.Heat(n, dt, top)
	}
	slots := o.toRead(n)
	o.in.Since, o.in.Counts = dt, o.in.Counts[:0]
	for _, slot := range slots {
		o.in.Counts = append(o.in.Counts, o.slots[slot].served.Count())
	}
	more = o.Owners.Heat(n, dt, top)
	o.put(OwnHeat, o.sumHeat(more, slots))
	return more
}

func (o *TapedOwners) Hold(pid wire.PID, region wire.RegionNo, epoch wire.Epoch, owner wire.NodeID) (uint32, error) {
	slot, err := o.Owners.Hold(pid, region, epoch, owner)
	if o.tape != nil {
		o.in.PID, o.in.Region, o.in.Epoch, o.in.Node = pid, region, epoch, owner
		o.put(OwnHold, sumUnmap(slot, true, err))
	}
	return slot, err
}

func (o *TapedOwners) Recover(pid wire.PID, region wire.RegionNo, epoch wire.Epoch, from wire.NodeID) (uint32, error) {
	slot, err := o.Owners.Recover(pid, region, epoch, from)
	if o.tape != nil {
		o.in.PID, o.in.Region, o.in.Epoch, o.in.Node = pid, region, epoch, from
		o.put(OwnRecover, sumUnmap(slot, true, err))
	}
	return slot, err
}
