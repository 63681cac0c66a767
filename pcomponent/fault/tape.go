package fault

import (
	"encoding/binary"
	"fmt"
	"time"

	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/excache"
)

// TapeKind is the kind of this core's tapes.
const TapeKind = "pcomponent/fault"

// TapeHead says how to make the core of a tape anew: its head, by wire.Marshal.
type TapeHead struct {
	Node    wire.NodeID
	PID     wire.PID
	Epoch   wire.Epoch
	Name    string
	Options Options
	ExCache excache.Options
	Program []byte // what made the accesses, as its driver says it
}

// New makes the core that the tape began with.
func (h *TapeHead) New() (*Core, error) {
	cache, err := excache.New(h.ExCache)
	if err != nil {
		return nil, err
	}
	return New(h.Options, cache)
}

// InputKind says which input of the core a record holds. Numbers are those of the format: explicit, never reused.
type InputKind uint8

// The inputs.
const (
	InMap        InputKind = 1
	InUnmap      InputKind = 2
	InFault      InputKind = 3
	InFinish     InputKind = 4
	InFetched    InputKind = 5
	InFlushDone  InputKind = 6
	InOwnerKnown InputKind = 7
	InOwnerMoved InputKind = 8
	InTick       InputKind = 9
	InDrain      InputKind = 10
	InFail       InputKind = 11
	InUndrain    InputKind = 12
	InWriteBack  InputKind = 13
	InImport     InputKind = 14
	// InRun is no input: from here on the accesses of Thread hit, until the next, or until an input that a thread makes by itself.
	InRun InputKind = 15
	// InEnd is the last: what the cache counted.
	InEnd InputKind = 16
	// InPrefetched is the answer to a prefetch.
	InPrefetched InputKind = 17
)

var inputNames = []string{"", "map", "unmap", "fault", "finish", "fetched", "flush_done", "owner_known", "owner_moved", "tick", "drain", "fail",
	"undrain", "write_back", "import", "run", "end", "prefetched"}

func (k InputKind) String() string {
	if int(k) < len(inputNames) {
		return inputNames[k]
	}
	return fmt.Sprintf("input(%d)", uint8(k))
}

var effectNames = []string{"", "zero", "copy", "fetch", "write", "park", "done", "ask_owner", "fail", "damaged", "retry", "prefetch"}

func (k EffectKind) String() string {
	if k == Panicked {
		return "panic"
	}
	if int(k) < len(effectNames) {
		return effectNames[k]
	}
	return fmt.Sprintf("effect(%d)", uint8(k))
}

// Panicked says that the core panicked, and the node with it.
func (in *Input) Panicked() bool { return len(in.Effects) == 1 && in.Effects[0] == Panicked }

// ByRunning says that the thread of the input is the one that runs: the hits before it, if there are some, are its own.
func (in *Input) ByRunning() bool { return in.Kind.byRunning() }

func (k InputKind) byRunning() bool { return k == InFault || k == InFetched || k == InFinish }

// Input is one call of the core, and what came out of it. Which fields are set depends on the kind, as the parameters of the
// method of that name say.
type Input struct {
	Kind   InputKind
	Hits   uint64 // accesses that hit since the record before, by the thread that ran
	Now    time.Duration
	Thread int
	Page   wire.PageNo // of map and unmap: the first
	Last   wire.PageNo
	Write  bool   // of map: anonymous
	ID     uint64 // of a flush or a prefetch; of a write-back: the line that it begins from
	N      int    // of a write-back: how many at most
	Err    *wire.Error
	Owner  wire.Owner
	Owners []wire.Owner
	State  State
	Stats  excache.Stats

	Effects []EffectKind
	Sum     uint32
}

// maxSpanPages bounds the pages of an imported state that a tape may name: they cost memory.
const maxSpanPages = 1 << 26

// String names the input, for people.
func (in *Input) String() string {
	s := in.Kind.String()
	switch in.Kind {
	case InFault:
		s += fmt.Sprintf(" thread=%d page=%#x write=%t", in.Thread, uint64(in.Page), in.Write)
	case InFinish, InRun:
		s += fmt.Sprintf(" thread=%d", in.Thread)
	case InFetched:
		s += fmt.Sprintf(" thread=%d", in.Thread)
	case InFlushDone:
		s += fmt.Sprintf(" flush=%d", in.ID)
	case InPrefetched:
		s += fmt.Sprintf(" prefetch=%d", in.ID&^prefetchID)
	case InMap, InUnmap:
		s += fmt.Sprintf(" first=%#x last=%#x", uint64(in.Page), uint64(in.Last))
	case InOwnerKnown:
		s += fmt.Sprintf(" page=%#x owner=%s epoch=%d", uint64(in.Page), in.Owner.Node, in.Owner.Epoch)
	case InOwnerMoved:
		s += fmt.Sprintf(" region=%d owner=%s epoch=%d", in.Owner.Region, in.Owner.Node, in.Owner.Epoch)
	}
	if in.Timed() {
		s += " at=" + in.Now.String()
	}
	if in.Err != nil {
		s += fmt.Sprintf(" error=%q", in.Err.Error())
	}
	return s
}

// Timed reports whether the input has a now.
func (in *Input) Timed() bool {
	switch in.Kind {
	case InFault, InFetched, InFlushDone, InPrefetched, InOwnerKnown, InOwnerMoved, InTick, InDrain, InWriteBack:
		return true
	}
	return false
}

// sum adds what came out to in: the kinds of the effects, and a checksum of all their fields.
func (in *Input) sum(s tape.Sum, out []Effect) {
	in.Effects = in.Effects[:0]
	for i := range out {
		in.Effects = append(in.Effects, out[i].Kind)
	}
	in.Sum = sumEffects(s, out).Word()
}

func sumEffects(s tape.Sum, out []Effect) tape.Sum {
	for i := range out {
		e := &out[i]
		s = s.Uint(uint64(e.Kind) | uint64(e.How)<<8 | uint64(uint32(e.Thread))<<16).Bool(e.Piggyback)
		s = s.Uint(uint64(e.Page)).Uint(uint64(e.Frame) | uint64(e.From)<<32).Uint(e.On)
		s = s.Uint(e.Flush.ID).Uint(uint64(e.Flush.Page)).Uint(uint64(e.Flush.Frame) | uint64(e.FlushEpoch)<<32)
		s = sumOwner(s, &e.Owner)
		if e.Err != nil {
			s = s.Uint(uint64(e.Err.Kind)).String(e.Err.Text)
		}
	}
	return s
}

func sumOwner(s tape.Sum, w *wire.Owner) tape.Sum {
	return s.Uint(uint64(w.Region)).Uint(uint64(w.Epoch) | uint64(w.Member)<<32).String(string(w.Node)).String(w.Addr)
}

// append writes the record behind b. last is the time of the timed record before it.
//
//	hits, kind byte, [now − last], the fields of the kind, number of effects, their kinds, checksum (4 bytes)
//
// Numbers have 7 bits a byte; now − last, which may be less than 0, is zigzag.
func (in *Input) append(b []byte, last time.Duration) []byte {
	b = append(binary.AppendUvarint(b, in.Hits), byte(in.Kind))
	if in.Timed() {
		b = binary.AppendVarint(b, int64(in.Now-last))
	}
	u := binary.AppendUvarint
	switch in.Kind {
	case InMap:
		b = tape.AppendBool(u(u(b, uint64(in.Page)), uint64(in.Last)), in.Write)
		b = u(b, uint64(len(in.Owners)))
		for i := range in.Owners {
			b = appendOwner(b, &in.Owners[i])
		}
	case InUnmap:
		b = u(u(b, uint64(in.Page)), uint64(in.Last))
	case InFault:
		b = tape.AppendBool(u(u(b, uint64(in.Thread)), uint64(in.Page)), in.Write)
	case InFinish, InRun:
		b = u(b, uint64(in.Thread))
	case InFetched:
		b = appendError(u(b, uint64(in.Thread)), in.Err)
	case InFlushDone, InPrefetched:
		b = appendError(u(b, in.ID), in.Err)
	case InOwnerKnown:
		b = appendError(appendOwner(u(b, uint64(in.Page)), &in.Owner), in.Err)
	case InOwnerMoved:
		b = appendOwner(b, &in.Owner)
	case InFail:
		b = appendError(b, in.Err)
	case InWriteBack:
		b = u(u(b, in.ID), uint64(in.N))
	case InImport:
		b = tape.AppendBytes(b, wire.Marshal(&in.State))
	case InEnd:
		b = tape.AppendBytes(b, wire.Marshal(&in.Stats))
	}
	b = u(b, uint64(len(in.Effects)))
	for _, k := range in.Effects {
		b = append(b, byte(k))
	}
	return binary.LittleEndian.AppendUint32(b, in.Sum)
}

func appendOwner(b []byte, w *wire.Owner) []byte {
	b = binary.AppendUvarint(b, uint64(w.Region))
	b = tape.AppendString(tape.AppendString(b, string(w.Node)), w.Addr)
	return binary.AppendUvarint(binary.AppendUvarint(b, uint64(w.Epoch)), uint64(w.Member))
}

func appendError(b []byte, err *wire.Error) []byte {
	if err == nil {
		return append(b, 0)
	}
	return tape.AppendString(binary.AppendUvarint(b, uint64(err.Kind)), err.Text)
}

func readOwner(r *tape.Reader) (w wire.Owner) {
	w.Region = wire.RegionNo(r.Uint())
	w.Node, w.Addr = wire.NodeID(r.String()), r.String()
	w.Epoch, w.Member = wire.Epoch(r.Below(1<<32)), wire.Epoch(r.Below(1<<32))
	return w
}

func readError(r *tape.Reader) *wire.Error {
	k := r.Below(1 << 16)
	if k == 0 {
		return nil
	}
	return &wire.Error{Kind: wire.Kind(k), Text: r.String()}
}

// Read takes a record of a core with so many threads apart. last is the time of the timed record before it.
func (in *Input) Read(b []byte, threads int, last time.Duration) error {
	r := tape.NewReader(b)
	kinds := in.Effects[:0]
	*in = Input{Hits: r.Uint(), Kind: InputKind(r.Byte(byte(len(inputNames))))}
	if in.Timed() {
		in.Now = last + time.Duration(r.Int())
	}
	thread := func() int { return int(r.Below(uint64(threads))) }
	page := func() wire.PageNo { return wire.PageNo(r.Below(excache.MaxPages)) }
	switch in.Kind {
	case InMap:
		in.Page, in.Last, in.Write = page(), page(), r.Bool()
		for n := r.Below(uint64(r.Rest()) + 1); n > 0 && r.Err() == nil; n-- {
			in.Owners = append(in.Owners, readOwner(&r))
		}
	case InUnmap:
		in.Page, in.Last = page(), page()
	case InFault:
		in.Thread, in.Page, in.Write = thread(), page(), r.Bool()
	case InFinish, InRun:
		in.Thread = thread()
	case InFetched:
		in.Thread, in.Err = thread(), readError(&r)
	case InFlushDone, InPrefetched:
		in.ID, in.Err = r.Uint(), readError(&r)
	case InOwnerKnown:
		in.Page, in.Owner, in.Err = page(), readOwner(&r), readError(&r)
	case InOwnerMoved:
		in.Owner = readOwner(&r)
	case InFail:
		if in.Err = readError(&r); in.Err == nil {
			r.Fail("a process that failed without an error")
		}
	case InWriteBack:
		in.ID, in.N = r.Below(excache.MaxLines+1), int(r.Below(excache.MaxFlushFrames+1))
	case InImport:
		in.State = readState(&r)
	case InEnd:
		if err := wire.Unmarshal(r.Bytes(), &in.Stats); err != nil {
			r.Fail("counters: %v", err)
		}
	case InTick, InDrain, InUndrain:
	default:
		r.Fail("input %d, which this version does not know", in.Kind)
	}
	if in.Page > in.Last && (in.Kind == InMap || in.Kind == InUnmap) {
		r.Fail("pages %#x to %#x", uint64(in.Page), uint64(in.Last))
	}
	for n := r.Below(uint64(r.Rest()) + 1); n > 0; n-- {
		kinds = append(kinds, EffectKind(r.Byte(0)))
	}
	in.Effects, in.Sum = kinds, r.Word()
	return r.End()
}

func readState(r *tape.Reader) (s State) {
	if err := wire.Unmarshal(r.Bytes(), &s); err != nil {
		r.Fail("state of the process: %v", err)
		return State{}
	}
	pages := uint64(0)
	for _, f := range s.Flushed {
		if f.First > f.Last || uint64(f.Last) >= excache.MaxPages || uint64(f.Last-f.First) >= maxSpanPages {
			r.Fail("flushed pages %#x to %#x", uint64(f.First), uint64(f.Last))
			return State{}
		}
		if pages += uint64(f.Last-f.First) + 1; pages > maxSpanPages {
			r.Fail("more than %d flushed pages", maxSpanPages)
			return State{}
		}
	}
	return s
}

// Apply makes the call that in holds, and gives what came out as the record would hold it. It fails where the method does.
// It panics where the method panics: the state does not allow such a call.
func (c *Core) Apply(in *Input) (got Input, out []Effect, err error) {
	s := tape.Sum(0)
	switch in.Kind {
	case InMap:
		c.Map(in.Page, in.Last, in.Write, in.Owners)
	case InUnmap:
		c.Unmap(in.Page, in.Last)
	case InFault:
		out = c.Fault(in.Now, in.Thread, in.Page, in.Write, nil)
	case InFinish:
		var frame uint32
		frame, out = c.Finish(in.Thread, nil)
		s = s.Uint(uint64(frame))
	case InFetched:
		out = c.Fetched(in.Now, in.Thread, in.Err, nil)
	case InFlushDone:
		out = c.FlushDone(in.Now, in.ID, in.Err, nil)
	case InPrefetched:
		out = c.Prefetched(in.Now, in.ID, in.Err, nil)
	case InOwnerKnown:
		out = c.OwnerKnown(in.Now, in.Page, in.Owner, in.Err, nil)
	case InOwnerMoved:
		out = c.OwnerMoved(in.Now, in.Owner, nil)
	case InTick:
		out = c.Tick(in.Now, nil)
	case InDrain:
		out = c.Drain(in.Now, nil)
	case InFail:
		out = c.Fail(in.Err, nil)
	case InUndrain:
		c.Undrain()
	case InWriteBack:
		var next uint32
		var n int
		var done bool
		next, n, done, out = c.WriteBack(in.Now, uint32(in.ID), in.N, nil)
		s = sumWriteBack(next, n, done)
	case InImport:
		err = c.Import(in.State)
	case InEnd:
		got.Stats = c.cache.Stats()
	}
	got.Kind = in.Kind
	got.sum(s, out)
	return got, out, err
}

func sumWriteBack(next uint32, n int, done bool) tape.Sum {
	return tape.Sum(0).Uint(uint64(next)).Uint(uint64(n)).Bool(done)
}
