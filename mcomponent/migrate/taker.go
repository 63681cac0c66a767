package migrate

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"splitkernel/netlayer/wire"
)

// maxIncoming bounds what may be on its way here at once.
const maxIncoming = 64

// maxRemembered bounds the moves whose end a taker remembers, so that a late message of them changes nothing and a message
// that is sent again gets the same answer. The oldest are forgotten first.
const maxRemembered = 4096

// outcome is how a move ended for its taker.
type outcome uint8

const (
	served  outcome = 1
	dropped outcome = 2
	buried  outcome = 3 // its process ended
)

// Incoming is one thing on its way here. The driver reads it, and gives it back.
type Incoming struct {
	Move     wire.MoveID
	PID      wire.PID
	Region   wire.RegionNo
	Epoch    wire.Epoch // under which it will be served; of a memory map that of the process
	Slot     uint32     // the driver's
	From     wire.NodeID
	FromAddr string

	// Of a memory map.
	Addr               string
	HeapStart, HeapEnd uint64
	Owners             []wire.Owner
	Configs            []wire.RegionConfig
	Backup             wire.HomeConfig
	KeptMap            wire.HomeCut

	Config   wire.RegionConfig // of a vRegion
	Kept     wire.CutState     // of a vRegion, once it is complete
	Mapped   []wire.MappedPart
	Complete bool // it holds everything: only the giver ends it, or its process
	Gone     bool // it was dropped or served: nothing may be added

	round uint32
	parts uint32
	seen  time.Duration

	adopted bool // its giver is gone: whether it is served the home decides
}

// Round is the newest round of which a message came.
func (i *Incoming) Round() uint32 { return i.round }

// Taker is the taking side of all moves to one mComponent. Use one goroutine at a time.
type Taker struct {
	o        Options
	self     wire.NodeID
	incoming []*Incoming // in the order of their arrival
	past     map[wire.MoveID]outcome
	order    []wire.MoveID // of past
}

// NewTaker makes the taking side. self names this mComponent in errors.
func NewTaker(o Options, self wire.NodeID) *Taker {
	return &Taker{o: o, self: self, past: map[wire.MoveID]outcome{}}
}

// Len is how much is on its way here.
func (t *Taker) Len() int { return len(t.incoming) }

func (t *Taker) find(id wire.MoveID) *Incoming {
	for _, in := range t.incoming {
		if in.Move == id {
			return in
		}
	}
	return nil
}

// SlotOf gives the slot of what a move brings, or one that is never used.
func (t *Taker) SlotOf(id wire.MoveID) uint32 {
	if in := t.find(id); in != nil {
		return in.Slot
	}
	return ^uint32(0)
}

// unknown is the error for a move of which nothing is here.
func (t *Taker) unknown(id wire.MoveID) error {
	switch t.past[id] {
	case served:
		return wire.Errorf(wire.KindStale, "%s serves what came by move %d of %v already", t.self, id.No, id.Manager)
	case dropped:
		return wire.Errorf(wire.KindStale, "%s has dropped what came by move %d of %v", t.self, id.No, id.Manager)
	case buried:
		return wire.Errorf(wire.KindFailed, "the process has ended of which move %d of %v brought a part to %s", id.No, id.Manager, t.self)
	}
	return wire.Errorf(wire.KindNotFound, "%s knows nothing of move %d of %v: it has started again since, or given the move up", t.self, id.No, id.Manager)
}

// Open takes the announcement of a vRegion. If it is new, the driver makes a place for it and then calls Take.
func (t *Taker) Open(now time.Duration, req wire.RegionCopyOpenReq) (in *Incoming, isNew bool, err error) {
	if in = t.find(req.Move); in != nil {
		return in, false, in.advance(now, req.Round)
	}
	return t.take(now, &Incoming{Move: req.Move, PID: req.PID, Region: req.Region, Epoch: req.Epoch, From: req.From, FromAddr: req.FromAddr, round: req.Round})
}

func (t *Taker) take(now time.Duration, in *Incoming) (*Incoming, bool, error) {
	if _, ok := t.past[in.Move]; ok {
		return nil, false, t.unknown(in.Move)
	}
	if len(t.incoming) >= maxIncoming {
		return nil, false, wire.Errorf(wire.KindBusy, "%s: %d vRegions and memory maps are on their way here, at most as many: retry", t.self, maxIncoming)
	}
	in.seen = now
	return in, true, nil
}

// Add adds what Open or Map said is new, once there is a place for it.
func (t *Taker) Add(in *Incoming) { t.incoming = append(t.incoming, in) }

// advance checks the round of a message and remembers it.
func (in *Incoming) advance(now time.Duration, round uint32) error {
	if in.Gone || in.Complete || round < in.round {
		return wire.Errorf(wire.KindStale, "move %d of %v: round %d is over", in.Move.No, in.Move.Manager, round)
	}
	in.round, in.seen = round, now
	return nil
}

// Copy says whether pages of a round may be added, and to what. The driver asks Incoming.Open again for each page, as it
// gives its lock up between them.
func (t *Taker) Copy(now time.Duration, c wire.RegionCopy) (*Incoming, error) {
	in := t.find(c.Move)
	if in == nil {
		return nil, t.unknown(c.Move)
	}
	return in, in.advance(now, c.Round)
}

// Open reports whether pages of this round may still be added.
func (in *Incoming) Open(round uint32) bool { return !in.Gone && !in.Complete && in.round == round }

// Close takes a part of the end of a copy; held is how many pages are here. The copy is complete after the last part.
func (t *Taker) Close(now time.Duration, req wire.RegionCopyEndReq, held int, check func([]wire.MappedPart) error) error {
	in := t.find(req.Move)
	if in == nil {
		return t.unknown(req.Move)
	}
	if in.Complete && req.Round == in.round {
		in.seen = now
		return nil // sent again
	}
	if err := in.advance(now, req.Round); err != nil {
		return err
	}
	if req.Pages != uint64(held) {
		return wire.Errorf(wire.KindBadRequest, "vRegion %d of process %d: %d pages came, the giver holds %d", in.Region, in.PID, held, req.Pages)
	}
	if err := in.part(req.Part, req.Parts, req.Mapped); err != nil {
		return err
	}
	if !in.Complete {
		return nil
	}
	in.Config, in.Kept = req.Config, req.Kept
	err := check(in.Mapped)
	in.Complete = err == nil
	return err
}

// part adds one part of the maps.
func (in *Incoming) part(part, parts uint32, mapped []wire.MappedPart) error {
	if part == 0 { // from the beginning, perhaps again
		in.Mapped, in.Owners, in.Configs, in.parts = nil, nil, nil, 0
		in.KeptMap = wire.HomeCut{}
	}
	if part != in.parts || part >= parts {
		return wire.Errorf(wire.KindBadRequest, "move %d of %v: part %d of %d of the maps, want part %d", in.Move.No, in.Move.Manager, part, parts, in.parts)
	}
	in.Mapped = append(in.Mapped, mapped...)
	in.parts++
	in.Complete = in.parts == parts
	return nil
}

// Map takes a part of a memory map. If it is new the driver calls Add.
func (t *Taker) Map(now time.Duration, req wire.HomeCopyReq) (in *Incoming, isNew bool, err error) {
	if in = t.find(req.Move); in == nil {
		if in, isNew, err = t.take(now, &Incoming{Move: req.Move}); err != nil {
			return nil, false, err
		}
	}
	in.seen = now
	if in.Complete {
		return in, false, nil // sent again
	}
	if err := in.part(req.Part, req.Parts, req.Mapped); err != nil {
		return nil, false, err
	}
	in.PID, in.Epoch, in.Addr, in.HeapStart, in.HeapEnd, in.From, in.FromAddr = req.PID, req.Epoch, req.Addr, req.HeapStart, req.HeapEnd, req.From, req.FromAddr
	in.Owners = append(in.Owners, req.Owners...)
	in.Configs = append(in.Configs, req.Configs...)
	in.Backup = req.Backup
	in.KeptMap = req.Kept.After(in.KeptMap)
	return in, isNew, nil
}

// Reject says that what is complete is wrong: it does not count as complete.
func (t *Taker) Reject(in *Incoming) { in.Complete = false }

// Serve takes the order to serve. in is nil if it was obeyed before.
func (t *Taker) Serve(req wire.MoveServeReq) (in *Incoming, err error) {
	in = t.find(req.Move)
	switch {
	case in == nil && t.past[req.Move] == served:
		return nil, nil
	case in == nil:
		return nil, t.unknown(req.Move)
	case in.adopted: // the home may have heard of a newer epoch
		return nil, wire.Errorf(wire.KindStale, "the managers took the giver of move %d of %v for dead: %s asks its home whether to serve what came", req.Move.No, req.Move.Manager, t.self)
	case !in.Complete:
		return nil, wire.Errorf(wire.KindBadRequest, "%s is told to serve what came by move %d of %v, which is not complete", t.self, req.Move.No, req.Move.Manager)
	}
	t.remove(in, served)
	return in, nil
}

// Older gives what is on its way here of the same vRegion for an older epoch: its giver has begun anew, so that one failed.
func (t *Taker) Older(pid wire.PID, region wire.RegionNo, epoch wire.Epoch) *Incoming {
	for _, in := range t.incoming {
		if in.PID == pid && in.Region == region && in.Epoch < epoch {
			return in
		}
	}
	return nil
}

// Drop forgets what came by a move; in is nil if there is nothing.
func (t *Taker) Drop(id wire.MoveID) *Incoming {
	in := t.find(id)
	if in != nil {
		t.remove(in, dropped)
	} else if _, ok := t.past[id]; !ok {
		t.remember(id, dropped) // an announcement may come late
	}
	return in
}

// Exit drops everything of a process that has ended.
func (t *Taker) Exit(pid wire.PID) (gone []*Incoming) {
	for _, in := range slices.Clone(t.incoming) {
		if in.PID == pid {
			t.remove(in, buried)
			gone = append(gone, in)
		}
	}
	return gone
}

// Fence drops everything that is on its way here, because the managers gave up what is here: its givers, whose processes live, are told
// that it was dropped and go on serving.
func (t *Taker) Fence() (gone []*Incoming) {
	for _, in := range slices.Clone(t.incoming) {
		t.remove(in, dropped)
		gone = append(gone, in)
	}
	return gone
}

func (t *Taker) remove(in *Incoming, how outcome) {
	in.Gone = true
	t.incoming = slices.DeleteFunc(t.incoming, func(x *Incoming) bool { return x == in })
	t.remember(in.Move, how)
}

func (t *Taker) remember(id wire.MoveID, how outcome) {
	if len(t.order) >= maxRemembered {
		delete(t.past, t.order[0])
		t.order = t.order[1:]
	}
	t.past[id] = how
	t.order = append(t.order, id)
}

// Idle lists what has not been heard of for long: what is not complete is to be dropped; of what is complete the giver is to
// be asked, by Ask.
func (t *Taker) Idle(now time.Duration) (list []*Incoming) {
	for _, in := range t.incoming {
		if now-in.seen >= ms(t.o.IdleMS) {
			list = append(list, in)
		}
	}
	return list
}

// Asked takes what the giver says of a complete copy that is idle, and reports whether to drop it: the giver knows of no
// such move, as it has started again or has ended it another way. An answer that does not come says nothing.
func (t *Taker) Asked(now time.Duration, in *Incoming, s wire.MoveState, err error) (drop bool) {
	in.seen = now
	if in.adopted {
		return false // its home decides
	}
	return wire.KindOf(err) == wire.KindNotFound || err == nil && (s == wire.MoveUndone || s == wire.MoveLost)
}

// CheckInvariants reports a broken one, for tests.
func (t *Taker) CheckInvariants() error {
	ids := make([]wire.MoveID, 0, len(t.incoming))
	for _, in := range t.incoming {
		ids = append(ids, in.Move)
		if in.Gone {
			return fmt.Errorf("migrate: move %d is gone and listed", in.Move.No)
		}
		if _, ok := t.past[in.Move]; ok {
			return fmt.Errorf("migrate: move %d is here and past", in.Move.No)
		}
	}
	slices.SortFunc(ids, func(a, b wire.MoveID) int {
		return cmp.Or(cmp.Compare(a.Manager, b.Manager), cmp.Compare(a.No, b.No))
	})
	for i := 1; i < len(ids); i++ {
		if ids[i] == ids[i-1] {
			return fmt.Errorf("migrate: move %d is on its way twice", ids[i].No)
		}
	}
	if len(t.incoming) > maxIncoming || len(t.past) != len(t.order) || len(t.order) > maxRemembered {
		return fmt.Errorf("migrate: %d on their way, %d remembered in %d places", len(t.incoming), len(t.past), len(t.order))
	}
	return nil
}
