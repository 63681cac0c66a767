package migrate

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strings"
	"time"

	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/taped"
	"splitkernel/netlayer/wire"
)

// GiverTapeKind is the kind of a giver's tapes.
const GiverTapeKind = "scomponent/migrate/giver"

// GiverHead says how to make the giver of a tape anew: its head, by wire.Marshal.
type GiverHead struct {
	Node    wire.NodeID
	Options Options
	Req     wire.MoveReq
	Blocks  uint64 // of the volume
	Resumed Mark   // of a move that was noted before a restart; 0 if it was not
}

// maxBlocks bounds the blocks of a tape's volume: 16 TiB.
const maxBlocks = 1 << 44 / wire.PageSize

// New makes the giver that the tape began with.
func (h *GiverHead) New() (*Giver, error) {
	if err := h.Options.Validate(); err != nil {
		return nil, err
	}
	if h.Blocks > maxBlocks {
		return nil, fmt.Errorf("a volume of %d blocks, want at most %d", h.Blocks, uint64(maxBlocks))
	}
	return h.Make(), nil
}

// Make is New of a head that is known to be valid.
func (h *GiverHead) Make() *Giver {
	if h.Resumed != 0 {
		return Resume(h.Options, h.Req, h.Resumed)
	}
	return New(h.Options, h.Req, h.Blocks)
}

// The calls of a giver's tape. Numbers are those of the format: explicit, never reused.
const (
	inHolds  uint8 = 1
	inRefuse uint8 = 2
	inWrote  uint8 = 3
	inStart  uint8 = 4
	inDone   uint8 = 5
)

type (
	startArgs struct{ Now time.Duration }
	doneArgs  struct {
		Now time.Duration
		ID  uint64
		Err *taped.Error
	}
)

func answer(out []Effect) (a taped.Answer) {
	for i := range out {
		a.Add(uint8(out[i].Step), &out[i])
	}
	return a
}

var _ taped.Core = (*Giver)(nil)

// EffectName implements taped.Core.
func (g *Giver) EffectName(k uint8) string { return Step(k).String() }

// Apply implements taped.Core.
func (g *Giver) Apply(kind uint8, args []byte) (a taped.Answer, what string, err error) {
	switch kind {
	case inHolds:
		r := tape.NewReader(args)
		from, n := r.Uint(), r.Uint()
		if all := uint64(len(g.todo.chunks)) * chunkBlocks; n > all || from > all-n {
			r.Fail("%d blocks from %d on, of %d", n, from, all)
		}
		if err := r.End(); err != nil {
			return a, "holds", err
		}
		for b := from; b < from+n; b++ {
			g.Holds(b)
		}
		return a, fmt.Sprintf("holds from=%d blocks=%d", from, n), nil
	case inRefuse:
		in, err := taped.Read[taped.Error](args)
		if err != nil {
			return a, "refuse", err
		}
		g.Refuse(&in)
		return a, fmt.Sprintf("refuse error=%q", in.Text), nil
	case inWrote:
		r := tape.NewReader(args)
		block := r.Uint()
		if err := r.End(); err != nil {
			return a, "wrote", err
		}
		g.Wrote(block)
		return a, fmt.Sprintf("wrote block=%d", block), nil
	case inStart:
		in, err := taped.Read[startArgs](args)
		if err != nil {
			return a, "start", err
		}
		return answer(g.Start(in.Now, nil)), fmt.Sprintf("start at=%v", in.Now), nil
	case inDone:
		in, err := taped.Read[doneArgs](args)
		if err != nil {
			return a, "done", err
		}
		what = fmt.Sprintf("done id=%d at=%v", in.ID, in.Now)
		if in.Err != nil {
			what += fmt.Sprintf(" error=%q", in.Err.Text)
		}
		return answer(g.Done(in.Now, in.ID, in.Err.Err(), nil)), what, nil
	}
	return a, fmt.Sprintf("call %d", kind), taped.ErrKind
}

// Show implements taped.Core.
func (g *Giver) Show() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v under epoch %d, round %d: %d blocks to send, %d changed, %d sent; frozen %t, over %t\n", g.state, g.epoch, g.round, g.todo.n, g.changed.n, g.sent, g.frozen, g.over)
	for _, id := range slices.Sorted(maps.Keys(g.out)) {
		u := g.out[id]
		fmt.Fprintf(&b, "under way: %d %v, round %d, %d blocks, try %d\n", id, u.e.Step, u.e.Round, len(u.e.Blocks), u.tries+1)
	}
	if g.text != "" {
		fmt.Fprintf(&b, "why: %s\n", g.text)
	}
	return b.String()
}

// code is a set in a snapshot: how many words of 64 blocks are empty before each that is not, and the blocks of that. Whole says
// how many parts it may have; one that has ended has none.
func (s *set) code(x *taped.Codec, parts int) {
	n := len(s.chunks)
	if taped.Within(x, &n, parts); x.Reads() {
		s.chunks, s.n = make([]*[chunkBlocks / 64]uint64, n), 0
	}
	taped.Within(x, &s.low, n)
	const words = chunkBlocks / 64
	if !x.Reads() {
		last := uint64(0)
		for i, c := range s.chunks {
			for w := 0; c != nil && w < words; w++ {
				if c[w] != 0 {
					at := uint64(i)*words + uint64(w) + 1
					gap := at - last
					taped.Uint(x, &gap)
					taped.Uint(x, &c[w])
					last = at
				}
			}
		}
		end := uint64(0)
		taped.Uint(x, &end)
		return
	}
	for at := uint64(0); x.Err() == nil; {
		var gap, bitmap uint64
		if taped.Uint(x, &gap); gap == 0 {
			return
		}
		taped.Uint(x, &bitmap)
		if left := uint64(n)*words - at; gap > left || bitmap == 0 {
			x.Fail("%d words of blocks further, with %d blocks; %d words are left", gap, bits.OnesCount64(bitmap), left)
			return
		}
		at += gap
		i := (at - 1) / words
		if s.chunks[i] == nil {
			s.chunks[i] = new([words]uint64)
		}
		s.chunks[i][(at-1)%words] = bitmap
		s.n += bits.OnesCount64(bitmap)
	}
}

// maxUnderway bounds the effects under way that a snapshot may name: those of Options.Window at its largest, or one.
const maxUnderway = 64

// code is the state in a snapshot.
func (g *Giver) code(x *taped.Codec) {
	parts := len(newSet(g.blocks).chunks)
	taped.Int(x, &g.began)
	taped.Int(x, &g.endedAt)
	taped.Within(x, &g.state, wire.MoveLost)
	taped.Uint(x, &g.epoch)
	taped.Text(x, &g.text)
	x.Bool(&g.over)
	x.Bool(&g.resumed)
	taped.Uint(x, &g.round)
	g.todo.code(x, parts)
	g.changed.code(x, parts)
	taped.Int(x, &g.before)
	taped.Uint(x, &g.sent)
	x.Bool(&g.frozen)
	taped.Int(x, &g.frozenAt)
	taped.Int(x, &g.pause)
	taped.Int(x, &g.asked)
	taped.Int(x, &g.deadline)
	taped.Map(x, &g.out, maxUnderway, taped.Uint, func(x *taped.Codec, v **underway) {
		if x.Reads() {
			*v = &underway{}
		}
		x.Message(&(*v).e)
		taped.Int(x, &(*v).tries)
	})
	taped.Uint(x, &g.lastID)
}

// Snapshot implements taped.Core.
func (g *Giver) Snapshot(b []byte) []byte {
	x := taped.Write(b)
	g.code(x)
	return x.Written()
}

// Restore implements taped.Core.
func (g *Giver) Restore(b []byte) error {
	x := taped.Parse(b)
	if g.code(x); x.End() != nil {
		return x.End()
	}
	return g.CheckInvariants()
}

// TapedGiver is a Giver whose inputs are recorded, if it has a tape.
type TapedGiver struct {
	*Giver
	taped.Log
	from, n uint64 // blocks that it was told of and that are not on the tape yet: most often they are neighbours
}

// held records the blocks that the giver was told of, before it is told anything else.
func (t *TapedGiver) held() {
	if t.n > 0 {
		b := t.BeginRecord(inHolds, taped.Answer{})
		t.EndRecord(binary.AppendUvarint(binary.AppendUvarint(b, t.from), t.n))
		t.n = 0
	}
}

func (t *TapedGiver) Holds(block uint64) {
	if t.On() {
		if block != t.from+t.n {
			t.held()
		}
		if t.n == 0 {
			t.from = block
		}
		t.n++
	}
	t.Giver.Holds(block)
}

func (t *TapedGiver) Refuse(err error) {
	t.held()
	t.Giver.Refuse(err)
	if t.On() {
		t.Put(inRefuse, taped.Answer{}, taped.ErrorOf(err))
	}
}

// Wrote is called by every write while the volume moves.
func (t *TapedGiver) Wrote(block uint64) {
	t.held()
	t.Giver.Wrote(block)
	if t.On() {
		t.EndRecord(binary.AppendUvarint(t.BeginRecord(inWrote, taped.Answer{}), block))
	}
}

func (t *TapedGiver) Start(now time.Duration, out []Effect) []Effect {
	t.held()
	n := len(out)
	out = t.Giver.Start(now, out)
	if t.On() {
		t.Put(inStart, answer(out[n:]), &startArgs{now})
	}
	return out
}

func (t *TapedGiver) Done(now time.Duration, id uint64, err error, out []Effect) []Effect {
	n := len(out)
	out = t.Giver.Done(now, id, err, out)
	if t.On() {
		t.Put(inDone, answer(out[n:]), &doneArgs{now, id, taped.ErrorOf(err)})
	}
	return out
}
