package session

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"splitkernel/netlayer/taped"
	"splitkernel/netlayer/wire"
)

// TapeKind is the kind of a Dedupe's tapes.
const TapeKind = "netlayer/session"

// TapeHead says how to make the table of a tape anew: its head, by wire.Marshal.
type TapeHead struct {
	Node    wire.NodeID
	Options DedupeOptions
}

// maxSessions and maxWindow bound what a tape may say: as the options of a server do.
const (
	maxSessions = 1 << 20
	maxWindow   = 1 << 16
)

// New makes the table that the tape began with.
func (h *TapeHead) New() (*Dedupe, error) {
	if o := h.Options; o.Sessions < 1 || o.Sessions > maxSessions || o.Window < 1 || o.Window > maxWindow || o.Bytes < 0 {
		return nil, fmt.Errorf("a table of %+v", o)
	}
	return NewDedupe(h.Options), nil
}

// The calls of a tape. Numbers are those of the format: explicit, never reused.
const (
	inOpen   uint8 = 1
	inClose  uint8 = 2
	inBegin  uint8 = 3
	inEnd    uint8 = 4
	inForget uint8 = 5
)

// called is what all calls are told, as far as they are. A reply is its length and checksum: only these decide anything.
type called struct {
	Session uint64
	Call    ID
	Retry   bool
	Bytes   uint32
	Sum     uint32
}

// maxReply bounds the reply that a tape may say: that of one frame with its header.
const maxReply = wire.MaxBody + 1<<16

// noReply stands for replies that are made again, of which no bytes are on the tape.
var noReply [maxReply]byte

// The kinds of what comes out of a call, beside the verdicts: 1 to 5.
const outRefuse uint8 = 6

func answerOpen(ok bool) (a taped.Answer) {
	if !ok {
		a.Kinds = append(a.Kinds, outRefuse)
	}
	return a
}

func (d *Dedupe) answerBegin(in *called, v Verdict) (a taped.Answer) {
	a.Kinds = append(a.Kinds, uint8(v))
	if v == Replay {
		e := d.sessions[in.Session].calls[in.Call]
		a.Sum = a.Sum.Uint(uint64(len(e.reply))).Uint(uint64(e.sum))
	}
	return a
}

var _ taped.Core = (*Dedupe)(nil)

// EffectName implements taped.Core.
func (d *Dedupe) EffectName(k uint8) string {
	if k == outRefuse {
		return "refuse"
	}
	return Verdict(k).String()
}

var callNames = []string{"", "open", "close", "begin", "end", "forget"}

// Apply implements taped.Core.
func (d *Dedupe) Apply(kind uint8, args []byte) (a taped.Answer, what string, err error) {
	what = taped.Name(callNames, kind)
	in, err := taped.Read[called](args)
	if err == nil && in.Bytes > maxReply {
		err = fmt.Errorf("a reply of %d bytes, at most %d", in.Bytes, maxReply)
	}
	if err != nil {
		return a, what, err
	}
	what += fmt.Sprintf(" session=%#x", in.Session)
	if kind > inClose {
		what += fmt.Sprintf(" call=%#x", uint64(in.Call))
	}
	switch kind {
	case inOpen:
		return answerOpen(d.Open(in.Session)), what, nil
	case inClose:
		d.Close(in.Session)
	case inBegin:
		v, _ := d.Begin(in.Session, in.Call, in.Retry)
		return d.answerBegin(&in, v), what + fmt.Sprintf(" retry=%t", in.Retry), nil
	case inEnd:
		d.end(in.Session, in.Call, noReply[:in.Bytes], in.Sum)
	case inForget:
		d.Forget(in.Session, in.Call)
	default:
		return a, what, taped.ErrKind
	}
	return a, what, nil
}

// Show implements taped.Core.
func (d *Dedupe) Show() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d sessions, %d of them idle\n", len(d.sessions), len(d.idle))
	for _, id := range slices.Sorted(maps.Keys(d.sessions)) {
		w := d.sessions[id]
		fmt.Fprintf(&b, "session %#x: %d connections, %d requests run, %d were executed with replies of %d bytes\n", id, w.conns, len(w.calls)-len(w.done), len(w.done), w.bytes)
	}
	return b.String()
}

// code is the state in a snapshot.
func (d *Dedupe) code(x *taped.Codec) {
	taped.Map(x, &d.sessions, d.o.Sessions, taped.Uint, func(x *taped.Codec, v **window) {
		if x.Reads() {
			*v = &window{calls: map[ID]*entry{}}
		}
		(*v).code(x, d.o.Window)
	})
	for id, w := range d.sessions { // each by itself: the order does not matter
		w.id = id
	}
	taped.List(x, &d.idle, d.o.Sessions, taped.Uint)
	x.Bool(&d.evicted)
}

func (w *window) code(x *taped.Codec, most int) {
	taped.Int(x, &w.conns)
	taped.List(x, &w.done, most, func(x *taped.Codec, id *ID) {
		taped.Uint(x, id)
		if x.Reads() {
			w.calls[*id] = &entry{done: true}
		}
		e := w.calls[*id]
		n := uint64(len(e.reply))
		taped.Within(x, &n, maxReply)
		taped.Uint(x, &e.sum)
		if x.Reads() {
			e.reply = noReply[:n]
			w.bytes += int(n)
		}
	})
	var run []ID
	for id, e := range w.calls { // sorted below
		if !e.done {
			run = append(run, id)
		}
	}
	slices.Sort(run)
	taped.List(x, &run, most, taped.Uint)
	if x.Reads() {
		for _, id := range run {
			w.calls[id] = &entry{}
		}
		if len(w.calls) != len(run)+len(w.done) {
			x.Fail("a request twice among %d that run and %d that were executed", len(run), len(w.done))
		}
	}
	taped.Uint(x, &w.horizon)
	x.Bool(&w.reopened)
}

// Snapshot implements taped.Core.
func (d *Dedupe) Snapshot(b []byte) []byte {
	x := taped.Write(b)
	d.code(x)
	return x.Written()
}

// Restore implements taped.Core.
func (d *Dedupe) Restore(b []byte) error {
	x := taped.Parse(b)
	if d.code(x); x.End() != nil {
		return x.End()
	}
	return d.CheckInvariants()
}

// Taped is a Dedupe whose inputs are recorded, if it has a tape.
type Taped struct {
	*Dedupe
	taped.Log
}

func (t *Taped) Open(session uint64) bool {
	ok := t.Dedupe.Open(session)
	if t.On() {
		t.Put(inOpen, answerOpen(ok), &called{Session: session})
	}
	return ok
}

func (t *Taped) Close(session uint64) {
	t.Dedupe.Close(session)
	if t.On() {
		t.Put(inClose, taped.Answer{}, &called{Session: session})
	}
}

func (t *Taped) Begin(session uint64, call ID, retry bool) (Verdict, []byte) {
	v, reply := t.Dedupe.Begin(session, call, retry)
	if t.On() {
		in := called{Session: session, Call: call, Retry: retry}
		t.Put(inBegin, t.answerBegin(&in, v), &in)
	}
	return v, reply
}

func (t *Taped) End(session uint64, call ID, reply []byte) {
	if !t.On() {
		t.Dedupe.End(session, call, reply)
		return
	}
	in := called{Session: session, Call: call, Bytes: uint32(len(reply)), Sum: wire.Checksum(reply)}
	t.end(session, call, reply, in.Sum)
	t.Put(inEnd, taped.Answer{}, &in)
}

func (t *Taped) Forget(session uint64, call ID) {
	t.Dedupe.Forget(session, call)
	if t.On() {
		t.Put(inForget, taped.Answer{}, &called{Session: session, Call: call})
	}
}
