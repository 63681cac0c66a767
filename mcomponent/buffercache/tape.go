package buffercache

import (
	"fmt"
	"time"

	"splitkernel/mcomponent/tapes"
	"splitkernel/netlayer/heat"
	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/wire"
)

// TapeKind is the kind of this core's tapes.
const TapeKind = "mcomponent/buffercache"

// TapeHead says how to make the cache of a tape anew: its head, by wire.Marshal.
type TapeHead struct {
	Node    wire.NodeID
	Options Options
}

// New makes the cache that the tape began with. Its memory grows with what it holds, as a tape may say anything.
func (h *TapeHead) New() (*Cache, error) {
	if err := h.Options.Validate(); err != nil {
		return nil, err
	}
	return NewGrowing(h.Options), nil
}

// InputKind says which call a record holds. Numbers are those of the format: explicit, never reused.
type InputKind uint8

// The inputs. ReadsNow, WritesNow, Moving, Where, Volumes and Stats are none: they change nothing, and what their callers make of their
// answers comes as an input.
const (
	InRead    InputKind = 1
	InWrite   InputKind = 2
	InFlush   InputKind = 3
	InDone    InputKind = 4
	InAttach  InputKind = 5
	InDetach  InputKind = 6
	InSwitch  InputKind = 7
	InClean   InputKind = 8
	InFreeze  InputKind = 9
	InQuiet   InputKind = 10
	InThaw    InputKind = 11
	InLeave   InputKind = 12
	InLose    InputKind = 13
	InDiscard InputKind = 14
	InHeat    InputKind = 15

	InConfigure InputKind = 16
)

var inputNames = []string{"", "read", "write", "flush", "done", "attach", "detach", "switch", "clean", "freeze", "quiet", "thaw", "leave", "lose", "discard", "heat", "configure"}

func (k InputKind) String() string {
	if int(k) < len(inputNames) {
		return inputNames[k]
	}
	return fmt.Sprintf("input(%d)", uint8(k))
}

// Input is one call of the core, and what came out of it. Which fields are set depends on the kind, as the parameters of the
// method of that name say.
type Input struct {
	Kind   InputKind
	Call   uint64
	Block  wire.Block // of a read, write and flush, but for its process
	ID     uint64     // of done
	Err    error      // of done, freeze and lose
	Attach wire.VolumeAttachReq
	Switch wire.SwitchReq
	Volume wire.VolumeID // of the others, with Epoch
	Epoch  wire.Epoch
	From   int           // of heat
	N      int           // of heat
	Since  time.Duration // of heat

	Effects []EffectKind
	Sum     uint32
}

// String names the input, for people.
func (in *Input) String() string {
	s := in.Kind.String()
	switch in.Kind {
	case InRead, InWrite, InFlush:
		s += fmt.Sprintf(" volume=%d offset=%d length=%d", in.Block.Volume, in.Block.Offset, in.Block.Length)
		if in.Kind == InWrite {
			s += fmt.Sprintf(" version=%d", in.Block.Version)
		}
	case InDone:
		s += fmt.Sprintf(" operation=%d", in.ID)
	case InAttach, InConfigure:
		s += fmt.Sprintf(" volume=%d epoch=%d storage=%s", in.Attach.Volume, in.Attach.Epoch, in.Attach.Storage)
	case InSwitch:
		s += fmt.Sprintf(" volume=%d epoch=%d to=%s", in.Switch.Volume, in.Switch.Epoch, in.Switch.To)
	case InHeat:
		return s + fmt.Sprintf(" from=%d", in.From)
	default:
		s += fmt.Sprintf(" volume=%d epoch=%d", in.Volume, in.Epoch)
	}
	if in.Call != 0 {
		s += fmt.Sprintf(" call=%d", in.Call)
	}
	if in.Err != nil {
		s += fmt.Sprintf(" error=%q", in.Err.Error())
	}
	return s
}

// Last is what the next record leaves out if it is the same, and what its numbers are counted from.
type Last struct {
	call    uint64
	volume  wire.VolumeID
	epoch   wire.Epoch
	process wire.Epoch
	sector  uint64 // behind the request before
	version uint64
}

// next marks a record whose call is the next, and which has the volume and the epoch of the request before.
const next = 0x80

// code goes over a record: kind byte and its mark, the fields of the kind, the kinds of the effects, checksum (4 bytes). A read that hits, after
// its neighbour, has 9 bytes.
func (in *Input) code(c *tape.Coder, l *Last) {
	head := uint8(in.Kind)
	if in.Call == l.call+1 && (in.Kind > InFlush || in.Block.Volume == l.volume && in.Block.VolumeEpoch == l.epoch && in.Block.Process == l.process) {
		head |= next
	}
	if tape.Num(c, &head); c.Reads() {
		*in = Input{Kind: InputKind(head &^ next), Effects: in.Effects[:0], Call: l.call + 1}
	}
	switch {
	case in.Kind == 0 || int(in.Kind) >= len(inputNames):
		c.Fail("input %d, which this version does not know", in.Kind)
		return
	case head&next == 0:
		tape.Num(c, &in.Call)
	}
	switch in.Kind {
	case InRead, InWrite, InFlush:
		in.block(c, l, head&next != 0)
	case InDone:
		tape.Num(c, &in.ID)
		tapes.Error(c, &in.Err)
	case InAttach, InConfigure:
		tapes.Message(c, &in.Attach)
	case InSwitch:
		tapes.Message(c, &in.Switch)
	case InHeat:
		tape.Below(c, &in.From, 1<<31)
		tape.Below(c, &in.N, 1<<31)
		tape.Int(c, &in.Since)
	default:
		tape.Num(c, &in.Volume)
		tape.Num(c, &in.Epoch)
		if in.Kind == InFreeze || in.Kind == InLose {
			tapes.Error(c, &in.Err)
		}
	}
	tapes.Kinds(c, &in.Effects)
	c.Word(&in.Sum)
	if in.Call != 0 {
		l.call = in.Call
	}
}

// block goes over a request. Offsets and lengths are whole sectors, as wire.ParseBlock has checked.
func (in *Input) block(c *tape.Coder, l *Last, same bool) {
	k := &in.Block
	if !same {
		tape.Num(c, &k.Volume)
		tape.Num(c, &k.VolumeEpoch)
		tape.Num(c, &k.Process)
		l.volume, l.epoch, l.process = k.Volume, k.VolumeEpoch, k.Process
	}
	k.Volume, k.VolumeEpoch, k.Process = l.volume, l.epoch, l.process
	sector, sectors := int64(k.Offset/wire.SectorSize-l.sector), k.Length/wire.SectorSize
	tape.Int(c, &sector)
	tape.Below(c, &sectors, wire.SectorsPerPage+1)
	first := l.sector + uint64(sector)
	if first >= 1<<(64-9) || first%wire.SectorsPerPage+uint64(sectors) > wire.SectorsPerPage {
		c.Fail("%d sectors from %d on, want some of one block", sectors, first)
		return
	}
	k.Offset, k.Length = first*wire.SectorSize, sectors*wire.SectorSize
	l.sector = first + uint64(sectors)
	if in.Kind == InWrite {
		version := int64(k.Version - l.version)
		tape.Int(c, &version)
		k.Version = l.version + uint64(version)
		l.version = k.Version
	}
}

// Read takes a record apart. last is what the records before left, and changes only if this one can be read.
func (in *Input) Read(b []byte, last *Last) error {
	var c tape.Coder
	c.Read(b)
	l := *last
	in.code(&c, &l)
	if err := c.End(); err != nil {
		return err
	}
	*last = l
	return nil
}

// sum adds what came out to in: the kinds of the effects, and a checksum of all their fields.
func (in *Input) sum(s tape.Sum, out []Effect) {
	in.Effects = in.Effects[:0]
	for i := range out {
		e := &out[i]
		in.Effects = append(in.Effects, e.Kind)
		s = s.Uint(uint64(e.Kind) | uint64(e.Mask)<<8 | uint64(e.Slot)<<16).Uint(e.Call)
		switch e.Kind {
		case CopyIn, CopyOut:
			continue
		case Fill:
			s = s.Uint(e.ID)
			continue
		case Reply:
			s = tapes.SumError(s, e.Err)
			continue
		case AttachStorage:
			s = tapes.SumMessage(s, &e.Attach)
		}
		s = s.Uint(e.ID).Uint(uint64(e.Volume)).Uint(e.Block).Uint(e.Version)
		s = s.Uint(uint64(e.Place.Epoch)).String(string(e.Place.Storage)).String(e.Place.Addr)
	}
	in.Sum = s.Word()
}

// Apply makes the call that in holds, and gives what came out as the record would hold it. It panics where the method
// panics: the state does not allow such a call.
func (c *Cache) Apply(in *Input) (got Input) {
	s := tape.Sum(0)
	var out []Effect
	switch in.Kind {
	case InRead:
		out = c.Read(in.Call, in.Block, nil)
	case InWrite:
		out = c.Write(in.Call, in.Block, nil)
	case InFlush:
		out = c.Flush(in.Call, in.Block, nil)
	case InDone:
		out = c.Done(in.ID, in.Err, nil)
	case InAttach:
		out = c.Attach(in.Call, in.Attach, nil)
	case InConfigure:
		c.Configure(in.Attach)
	case InDetach:
		out = c.Detach(in.Call, wire.VolumeRef{Volume: in.Volume, Epoch: in.Epoch}, nil)
	case InSwitch:
		s = tapes.SumError(s, c.Switch(in.Switch))
	case InClean:
		out = c.Clean(in.Call, in.Volume, nil)
	case InFreeze:
		out = c.Freeze(in.Volume, in.Err, nil)
	case InQuiet:
		out = c.Quiet(in.Call, in.Volume, nil)
	case InThaw:
		c.Thaw(in.Volume, in.Epoch)
	case InLeave:
		c.Leave(in.Volume, in.Epoch)
	case InLose:
		out = c.Lose(in.Volume, in.Err, nil)
	case InDiscard:
		out = c.Discard(in.Call, in.Volume, in.Epoch, nil)
	case InHeat:
		top := heat.NewTop(1)
		s = c.sumHeat(c.Heat(in.From, in.N, in.Since, top), in.From, in.N)
	}
	got.Kind = in.Kind
	got.sum(s, out)
	return got
}

// sumHeat is a checksum of the rates that Heat has read.
func (c *Cache) sumHeat(more bool, from, n int) tape.Sum {
	s := tape.Sum(0).Bool(more)
	end := min(len(c.order), from+n)
	for _, id := range c.order[min(from, end):end] {
		v := c.volumes[id]
		s = v.bytes.Sum(v.requests.Sum(s.Uint(uint64(id))))
	}
	return s
}
