package migrate

import (
	"fmt"
	"slices"

	"splitkernel/mcomponent/tapes"
	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/wire"
)

// AppendState appends all that the taking side knows, from which ReadTaker makes it again: what it answers then is what this one
// answers. The same state has the same bytes.
func (t *Taker) AppendState(b []byte) []byte {
	return tape.Encode(b, t.code)
}

// ReadTaker makes the taking side that AppendState has written. A state that cannot be is an error.
func (h *TakerTapeHead) ReadTaker(b []byte) (*Taker, error) {
	t, err := h.New()
	if err != nil {
		return nil, err
	}
	if err := tape.Decode(b, t.code); err != nil {
		return nil, err
	}
	return t, t.CheckInvariants()
}

func (t *Taker) code(c *tape.Coder) {
	tape.List(c, &t.incoming, maxIncoming, func(in **Incoming) {
		if c.Reads() {
			*in = &Incoming{}
		}
		(*in).code(c)
	})
	tape.List(c, &t.order, maxRemembered, func(id *wire.MoveID) {
		codeMove(c, id)
		how := t.past[*id]
		tape.Below(c, &how, uint64(buried)+1)
		if t.past[*id] = how; how == 0 {
			c.Fail("move %d of %v ended in no way", id.No, id.Manager)
		}
	})
}

// maxParts bounds the mapped parts and the owners of something on its way.
const maxParts = 1 << 24

func (i *Incoming) code(c *tape.Coder) {
	codeMove(c, &i.Move)
	tape.Num(c, &i.PID)
	tape.Num(c, &i.Region)
	tape.Num(c, &i.Epoch)
	tape.Num(c, &i.Slot)
	tape.Text(c, &i.From)
	tape.Text(c, &i.FromAddr)
	tape.Text(c, &i.Addr)
	tape.Num(c, &i.HeapStart)
	tape.Num(c, &i.HeapEnd)
	tapes.Message(c, &i.Configs)
	tapes.Message(c, &i.Backup)
	tapes.Message(c, &i.Config)
	tapes.Message(c, &i.Kept)
	tapes.Message(c, &i.KeptMap)
	tape.List(c, &i.Owners, maxParts, func(w *wire.Owner) {
		tape.Num(c, &w.Region)
		tape.Text(c, &w.Node)
		tape.Text(c, &w.Addr)
		tape.Num(c, &w.Epoch)
		tape.Num(c, &w.Member)
	})
	tape.List(c, &i.Mapped, maxParts, func(m *wire.MappedPart) {
		tape.Num(c, &m.Start)
		tape.Num(c, &m.End)
		c.Bool(&m.Anon)
		c.Bool(&m.Writable)
		tape.Text(c, &m.Name)
	})
	c.Bool(&i.Complete)
	c.Bool(&i.Gone)
	tape.Num(c, &i.round)
	tape.Num(c, &i.parts)
	tape.Int(c, &i.seen)
	c.Bool(&i.adopted)
}

// AppendState appends all that the giver knows, from which ReadGiver makes it again: what it does then is what this one does. The same
// state has the same bytes. Of a recorded giver it is the state after its last record: what was marked since comes with the next.
func (g *Giver) AppendState(b []byte) []byte {
	return tape.Encode(b, g.code)
}

// ReadGiver makes the giver that AppendState has written. A state that cannot be is an error.
func (h *GiverTapeHead) ReadGiver(b []byte) (*Giver, error) {
	g, err := h.New()
	if err != nil {
		return nil, err
	}
	if err := tape.Decode(b, g.code); err != nil {
		return nil, err
	}
	if g.phase == 0 {
		return g, nil // it has not begun
	}
	return g, g.CheckInvariants()
}

func (g *Giver) code(c *tape.Coder) {
	if tape.Below(c, &g.phase, uint64(ended)+1); g.phase == ended {
		g.changes = nil
	}
	tape.Num(c, &g.result)
	tape.Num(c, &g.epoch)
	tape.Text(c, &g.text)
	c.Bool(&g.held)
	tape.Num(c, &g.round)
	tape.Num(c, &g.passes)
	tape.Num(c, &g.cursor)
	c.Bool(&g.scanned)
	codeError(c, &g.failed)
	tape.List(c, &g.sent, g.o.WindowMessages, func(m *message) {
		tape.Num(c, &m.id)
		tape.Below(c, &m.kind, uint64(Lose)+1)
		tape.List(c, &m.pages, g.o.BatchPages, func(p *wire.PageNo) { tape.Num(c, p) })
	})
	tape.Num(c, &g.lastID)
	tape.Below(c, &g.attempts, 1<<31)
	tape.Int(c, &g.since)
	c.Bool(&g.waits)
	tape.Int(c, &g.due)
	for _, b := range []*bool{&g.frozen, &g.told, &g.opened} {
		c.Bool(b)
	}
	tape.Int(c, &g.began)
	tape.Int(c, &g.frozenAt)
	tape.Int(c, &g.endedAt)
	tape.Int(c, &g.pause)
	tape.Num(c, &g.bytes)
	if g.changes != nil {
		g.codeChanges(c)
	}
}

// codeChanges goes over the pages that the taker does not know.
func (g *Giver) codeChanges(c *tape.Coder) {
	var runs []Run
	if !c.Reads() {
		g.changes.Known(func(first wire.PageNo, pages uint64) { runs = append(runs, Run{first, pages}) })
	}
	codeRuns(c, &runs, maxTapePages)
	if !c.Reads() || c.Err() != nil {
		return
	}
	for _, r := range runs {
		if !g.changes.Holds(r.First, r.Pages) {
			c.Fail("%d pages from %#x on are not in the vRegion", r.Pages, uint64(r.First))
			return
		}
		g.changes.MarkRun(r.First, r.Pages)
	}
	for _, m := range g.sent {
		if slices.ContainsFunc(m.pages, func(p wire.PageNo) bool { return !g.changes.Holds(p, 1) }) {
			c.Fail("message %d has a page that is not in the vRegion", m.id)
		}
	}
}

func codeError(c *tape.Coder, err **wire.Error) {
	tapes.Optional(c, err, func(e *wire.Error) {
		tape.Num(c, &e.Kind)
		tape.Text(c, &e.Text)
	})
}

// Show describes the taking side for people: each thing on its way here.
func (t *Taker) Show() string {
	text := fmt.Sprintf("%d on their way here, the ends of %d remembered\n", len(t.incoming), len(t.order))
	for _, in := range t.incoming {
		text += fmt.Sprintf("move %d of %v from %s: process %d, vRegion %d in slot %d, round %d, %d mapped parts, complete %t, adopted %t, heard of at %v\n",
			in.Move.No, in.Move.Manager, in.From, in.PID, in.Region, in.Slot, in.round, len(in.Mapped), in.Complete, in.adopted, in.seen)
	}
	return text
}

func (p phase) String() string {
	return [...]string{"not begun", "opening", "copying", "last", "closing", "telling", "serving", "untell", "dropping", "ended", "?"}[min(int(p), 10)]
}

// Show describes the giver for people.
func (g *Giver) Show() string {
	text := fmt.Sprintf("%v, %v under epoch %d, round %d, %d messages under way, %d bytes sent", g.phase, g.Status(g.since).State, g.epoch, g.round, len(g.sent), g.bytes)
	if g.changes != nil {
		text += fmt.Sprintf(", %d pages that the taker does not know", g.changes.Len())
	}
	if g.waits {
		text += fmt.Sprintf(", waits until %v", g.due)
	}
	if g.text != "" {
		text += ": " + g.text
	}
	return text + "\n"
}
