package vcluster

import (
	"errors"
	"time"

	"splitkernel/mcomponent/migrate"
	"splitkernel/netlayer/given"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/vtime"
)

// Patiences of the messages of moves between mComponents, as live: tellPatience is that of the home's message to the pComponent,
// which is part of the giver's to the home.
const (
	sendPatience = 3 * time.Second
	tellPatience = 2 * time.Second
)

// memoryMoves is what moves to and from an mComponent. It is made when something does: thousands of components have nothing of it.
type memoryMoves struct {
	book      given.Book[given.Move]
	giving    map[uint32]*regionMove // by slot
	taker     *migrate.Taker         // of vRegions
	homeTaker *migrate.Taker
	tending   bool
	left      vtime.Signal // something that came is served or dropped
}

// moves gives what moves to and from the mComponent.
func (m *memory) moves() *memoryMoves {
	if m.moving == nil {
		o := migrate.DefaultOptions()
		m.moving = &memoryMoves{giving: map[uint32]*regionMove{}, taker: migrate.NewTaker(o, m.o.ID), homeTaker: migrate.NewTaker(o, m.o.ID)}
		m.moving.left.Name = "what comes to " + string(m.o.ID)
	}
	return m.moving
}

func (m *memory) member() wire.Epoch { return m.epoch }

func (m *memory) moveStart(req wire.MoveReq) error {
	return m.moves().book.Start(req, func() (given.Move, error) {
		switch req.Kind {
		case wire.MoveRegion:
			return m.giveRegion(req)
		case wire.MoveHome:
			return m.giveHome(req)
		case wire.MoveCache:
			return m.giveCache(req)
		}
		return nil, wire.Errorf(wire.KindBadRequest, "%s is an mComponent and does not move a %v", m.o.ID, req.Kind)
	})
}

func (m *memory) moveStatus(ref wire.MoveRef) (wire.MoveStatusRep, error) {
	return m.moves().book.Status(ref)
}

func (m *memory) moveForget(ref wire.MoveRef) error { return m.moves().book.Forget(ref) }

func (m *memory) holdings() wire.Holdings {
	refs := m.blocks.cache.Volumes()
	caches := make([]wire.HeldVolume, len(refs))
	for i, r := range refs {
		caches[i] = wire.HeldVolume{Volume: r.Volume, Epoch: r.Epoch, Unflushed: m.blocks.cache.Unflushed(r.Volume)}
	}
	h := wire.Holdings{Homes: m.home.Holdings(), Regions: m.owners.Holdings(), Caches: caches, Backups: m.home.Backups()}
	if m.red != nil {
		h.Replicas = m.red.holder.Holdings()
	}
	return h
}

// passed is the move of what had nothing here: it ended when it was ordered.
type passed wire.MoveStatusRep

func (p *passed) Status() wire.MoveStatusRep { return wire.MoveStatusRep(*p) }

func pass(req wire.MoveReq, err error) (given.Move, error) {
	if err != nil {
		return nil, err
	}
	return &passed{Move: req.Move, State: wire.MoveDone, Epoch: req.Epoch, Text: "nothing of it was here"}, nil
}

// checkEpochs refuses an order that no manager gives.
func (m *memory) checkEpochs(req wire.MoveReq) error {
	if _, ok := m.c.byID[req.To]; !ok || req.To == m.o.ID || req.Epoch <= req.OldEpoch || req.UndoEpoch <= req.Epoch {
		return wire.Errorf(wire.KindBadRequest, "move %d of %v from %s to %q under epochs %d, %d, %d", req.Move.No, req.Move.Manager, m.o.ID, req.To, req.OldEpoch, req.Epoch, req.UndoEpoch)
	}
	return nil
}

// subject is what moves: a vRegion or a memory map.
type subject interface {
	// local performs a Freeze, Thaw, Forget or Lose.
	local(e migrate.Effect) error
	// message performs an Open, Close, Tell, Serve or Drop and returns when it is answered.
	message(y *vtime.Proc, e migrate.Effect) error
	// copy fills and sends a Copy, and returns what follows if that is known.
	copy(y *vtime.Proc, e migrate.Effect, out []migrate.Effect) []migrate.Effect
	// await waits for the answer to a Copy; ok is false if none is under way.
	await(y *vtime.Proc) (id uint64, err error, ok bool)
	// held reports whether something that began before the freeze goes on.
	held() bool
}

// giving drives the core of one move that an mComponent gives, in a coroutine, in the order of a live giver.
type giving struct {
	m    *memory
	req  wire.MoveReq
	to   int32
	wake vtime.Signal

	g         *migrate.Giver
	began     time.Duration
	freed     bool // the process has ended and what moves was freed
	cancelled bool // and the core knows
}

func (v *giving) now() time.Duration { return v.m.c.clock.Now() - v.began }

// Status says how far the move has come.
func (v *giving) Status() wire.MoveStatusRep { return v.g.Status(v.now()) }

// begin starts the coroutine.
func (v *giving) begin(s subject) {
	v.began = v.m.c.clock.Now()
	v.wake.Name = "a pause of a move"
	out := v.g.Begin(0, nil)
	v.m.c.goAt(v.m.no, moveName(v.req), func(y *vtime.Proc) { v.run(y, s, out) })
}

// event gives the core an event. If the process has ended that is the event, and what was to be done is not done; f is then
// not called.
func (v *giving) event(out []migrate.Effect, f func(now time.Duration, out []migrate.Effect) []migrate.Effect) []migrate.Effect {
	if v.freed && !v.cancelled {
		v.cancelled = true
		return v.g.Cancel(v.now(), out[:0])
	}
	return f(v.now(), out)
}

func (v *giving) run(y *vtime.Proc, s subject, out []migrate.Effect) {
	for {
		if len(out) > 0 {
			e := out[0]
			out = v.perform(y, s, e, out[1:])
			continue
		}
		if id, err, ok := s.await(y); ok {
			out = v.event(out, func(now time.Duration, out []migrate.Effect) []migrate.Effect {
				return v.g.Answered(now, id, wireError(err), out)
			})
			continue
		}
		if v.g.Ended() {
			return
		}
		if due, waits := v.g.Due(); waits && due > v.now() && !(v.freed && !v.cancelled) {
			y.WaitFor(&v.wake, due-v.now())
		}
		out = v.event(out, func(now time.Duration, out []migrate.Effect) []migrate.Effect {
			v.g.Hold(s.held())
			return v.g.Tick(now, out)
		})
	}
}

func (v *giving) perform(y *vtime.Proc, s subject, e migrate.Effect, out []migrate.Effect) []migrate.Effect {
	switch e.Kind {
	case migrate.Freeze, migrate.Thaw, migrate.Forget, migrate.Lose:
		return v.event(out, func(now time.Duration, out []migrate.Effect) []migrate.Effect {
			if v.cancelled {
				return out // it is freed
			}
			if err := s.local(e); err != nil { // the process ended before the freeze
				v.freed, v.cancelled = true, true
				return v.g.Cancel(now, out[:0])
			}
			v.g.Hold(s.held())
			return out
		})
	case migrate.Copy:
		return s.copy(y, e, out)
	}
	err := s.message(y, e)
	return v.event(out, func(now time.Duration, out []migrate.Effect) []migrate.Effect {
		v.g.Hold(s.held())
		return v.g.Answered(now, e.ID, wireError(err), out)
	})
}

// wireError gives err as the cores of moves want it.
func wireError(err error) *wire.Error {
	if err == nil {
		return nil
	}
	var e *wire.Error
	if errors.As(err, &e) {
		return e
	}
	return wire.Errorf(wire.KindInternal, "%v", err)
}

// fenceMoves drops what is on its way to an mComponent that is fenced: its givers go on.
func (m *memory) fenceMoves() {
	if m.moving == nil {
		return
	}
	for _, in := range m.moving.homeTaker.Fence() {
		m.home.Depart(in.PID)
	}
	m.moving.taker.Fence() // their slots are freed with the others
	m.moving.left.Broadcast()
}

// gaveUp ends the move of a vRegion that is freed here: it has nothing left to give.
func (m *memory) gaveUp(slot uint32) {
	if m.moving != nil && m.moving.giving[slot] != nil {
		m.moving.giving[slot].exited()
	}
}
