package handover

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"splitkernel/netlayer/taped"
	"splitkernel/netlayer/taped/tapedtest"
	"splitkernel/netlayer/wire"
)

// home is the arbiter: the epoch under which the process was opened last.
type home struct{ epoch wire.Epoch }

func (h *home) open(e wire.Epoch) *wire.Error {
	if e < h.epoch {
		return wire.Errorf(wire.KindStale, "epoch %d, want %d", e, h.epoch)
	}
	h.epoch = e
	return nil
}

// late is a message to the taker that the network keeps and may deliver again.
type late func()

// simulated is one move in a world where messages are lost, doubled and late, and where the taker dies.
type simulated struct {
	t     *rapid.T
	o     Options
	req   wire.MoveReq
	now   time.Duration
	tapes tapedtest.Tapes
	g     *TapedGiver
	tk    *TapedTaker // nil: it knows nothing
	home  home
	state []byte
	got   []byte
	late  []late
	dies  int  // how often the taker may still die
	bad   bool // the taker's opening fails
	dead  bool // the taker stays dead

	giverRuns  bool
	takerRuns  bool // this incarnation of the taker makes accesses
	everServed bool // some incarnation did
	heard      bool // the home has heard of the new epoch
	steps      int
}

func (s *simulated) chance(what string, oneIn int) bool {
	return rapid.IntRange(0, oneIn-1).Draw(s.t, what) == 0
}

// crash has the taker start again and know nothing.
func (s *simulated) crash() {
	s.tk, s.got, s.takerRuns = nil, nil, false
	s.dies--
}

// send delivers a message to the taker, perhaps not, perhaps twice, perhaps again much later; its answer may be lost.
func (s *simulated) send(serve func() *wire.Error) *wire.Error {
	if s.dies > 0 && s.chance("crash before", 12) {
		s.crash()
	}
	if s.dead {
		return wire.Errorf(wire.KindUnavailable, "connection refused")
	}
	if s.chance("request lost", 6) {
		return wire.Errorf(wire.KindTimeout, "no answer")
	}
	err := serve()
	if s.chance("twice", 6) {
		err = serve()
	}
	if s.chance("late", 6) {
		s.late = append(s.late, func() { _ = serve() })
	}
	if s.dies > 0 && s.chance("crash after", 12) {
		s.crash()
		return wire.Errorf(wire.KindUnavailable, "connection lost")
	}
	if s.chance("answer lost", 6) {
		return wire.Errorf(wire.KindTimeout, "no answer")
	}
	s.check()
	return err
}

// settle lets the taker's opening end, in its own time.
func (s *simulated) settle() {
	if s.tk != nil && s.tk.stage == opening && s.chance("opened", 2) {
		err := s.home.open(s.req.Epoch)
		s.heard = s.heard || err == nil
		if err != nil {
			s.tk.Opened(err)
		} else if s.bad {
			s.tk.Opened(errors.New("no memory")) // after the home has heard of the epoch
		} else {
			s.tk.Opened(nil)
			s.takerRuns, s.everServed = true, true
		}
	}
}

func (s *simulated) check() {
	if s.giverRuns && s.takerRuns {
		s.t.Fatal("two pComponents run the process")
	}
	if s.giverRuns && s.everServed {
		s.t.Fatal("the giver goes on with what is older than what the taker did")
	}
	if err := s.g.CheckInvariants(); err != nil {
		s.t.Fatal(err)
	}
	if s.tk != nil {
		if err := s.tk.CheckInvariants(); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *simulated) perform(e Effect) (o Outcome) {
	copyReq := wire.ProcessCopyReq{Move: s.req.Move, PID: s.req.PID, Epoch: s.req.Epoch}
	switch e.Kind {
	case Wait:
		s.now = e.Until
	case Plan:
		o.Err = s.send(func() (err *wire.Error) {
			if s.tk == nil {
				h := TakerHead{Options: s.o, Move: copyReq.Move, PID: copyReq.PID, Epoch: copyReq.Epoch, Now: s.now}
				s.tk = &TapedTaker{Taker: h.New()}
				s.tk.Record(&s.tapes, s.tk.Taker, TakerTapeKind, &h)
			}
			_, err = s.tk.Plan(s.now)
			o.Ready = s.now > 20*time.Millisecond
			return err
		})
	case WriteBack:
		o.Lines = rapid.IntRange(0, 500).Draw(s.t, "lines")
	case Freeze:
		if s.chance("no boundary", 8) {
			return Outcome{Err: wire.Errorf(wire.KindTimeout, "no boundary")}
		}
		s.giverRuns = false
		o.StoppedAt, o.Total = s.now, uint64(len(s.state))
		if s.chance("drain fails", 15) {
			o.Err = wire.Errorf(wire.KindFailed, "drain")
		}
	case Send:
		copyReq.Total, copyReq.StateSum, copyReq.Offset = uint64(len(s.state)), wire.Checksum(s.state), e.Offset
		copyReq.Bytes = s.state[e.Offset : e.Offset+e.Length]
		copyReq.Sum = wire.Checksum(copyReq.Bytes)
		o.Err = s.send(func() *wire.Error {
			if s.tk == nil {
				return wire.ErrNotFound
			}
			sum := copyReq.Sum
			if s.chance("damaged", 15) {
				sum++
			}
			take, err := s.tk.Chunk(s.now, &copyReq, sum)
			if take {
				s.got = append(s.got, copyReq.Bytes...)
			}
			if s.tk.Full() {
				if wire.Checksum(s.got) != s.tk.Sum() {
					s.t.Fatal("the taker put the state together wrongly")
				}
				s.tk.Checked(s.now, nil)
			}
			o.Ready = s.tk.Ready()
			return err
		})
	case Resume:
		o.Err = s.send(func() (err *wire.Error) {
			if s.tk == nil {
				return wire.ErrNotFound
			}
			_, o.Resumed, err = s.tk.Resume(s.now, wire.ProcessResumeReq{Move: s.req.Move, PID: s.req.PID, Epoch: s.req.Epoch})
			s.settle()
			return err
		})
	case Ask:
		o.Err = s.home.open(e.Epoch)
	case Thaw:
		if e.Epoch != s.req.OldEpoch {
			if s.chance("home silent", 4) {
				return Outcome{Err: wire.Errorf(wire.KindTimeout, "home")}
			}
			if o.Err = s.home.open(e.Epoch); o.Err != nil {
				return o
			}
		}
		s.giverRuns = true
	case Drop:
		o.Err = s.send(func() *wire.Error {
			if s.tk == nil {
				return nil
			}
			_, err := s.tk.Drop("dropped")
			return err
		})
	}
	return o
}

// TestNeverTwo has one move go through every way in which it can end. Whatever is lost, doubled or late and whenever the
// taker dies: never do two run the process, nobody goes on with an old copy, and it is lost only with a taker that opened
// it or that cannot be asked.
func TestNeverTwo(t *testing.T) {
	ends := map[wire.MoveState]int{}
	rapid.Check(t, func(t *rapid.T) {
		s := &simulated{t: t, o: DefaultOptions(), state: make([]byte, rapid.IntRange(1, 3*ChunkBytes).Draw(t, "state")), giverRuns: true, home: home{5}}
		for i := range s.state {
			s.state[i] = byte(i >> 7)
		}
		s.req = wire.MoveReq{Move: wire.MoveID{Manager: wire.GPM, No: 3}, Kind: wire.MoveProcess, PID: 7, OldEpoch: 5, Epoch: 6, UndoEpoch: 7, To: "p2", TimeoutMS: 10_000}
		s.dies = rapid.IntRange(0, 2).Draw(t, "deaths")
		s.bad = rapid.IntRange(0, 4).Draw(t, "bad") == 0
		h := GiverHead{Options: s.o, Req: s.req, Now: s.now}
		s.g = &TapedGiver{Giver: h.New()}
		s.g.Record(&s.tapes, s.g.Giver, GiverTapeKind, &h)
		for !s.g.Ended() {
			if s.steps++; s.steps > 3000 {
				t.Fatal("the move does not end")
			}
			if s.g.phase == resuming && s.chance("the taker dies for good", 40) {
				s.dead = true
				s.tk, s.takerRuns = nil, false
			}
			e := s.g.Next(s.now)
			o := s.perform(e)
			s.now += time.Duration(rapid.IntRange(1, 50).Draw(t, "ms")) * time.Millisecond / 10
			s.g.Step(s.now, o)
			s.settle()
			if len(s.late) > 0 && !s.dead && s.chance("late comes", 3) {
				s.late[0]()
				s.late = s.late[1:]
			}
			s.check()
		}
		for _, l := range s.late {
			if !s.dead {
				l()
			}
			s.settle()
			s.check()
		}
		st := s.g.Status(s.now)
		ends[st.State]++
		switch st.State {
		case wire.MoveDone:
			if s.giverRuns || !s.everServed || st.Epoch != s.req.Epoch {
				t.Fatalf("done: giver runs %v, taker served %v, %+v", s.giverRuns, s.everServed, st)
			}
		case wire.MoveUndone:
			if !s.giverRuns || s.everServed || st.Text == "" {
				t.Fatalf("undone: giver runs %v, taker served %v, %+v", s.giverRuns, s.everServed, st)
			}
		case wire.MoveLost:
			if s.giverRuns || !s.heard && !s.dead || st.Text == "" {
				t.Fatalf("lost: giver runs %v, taker served %v, %+v", s.giverRuns, s.everServed, st)
			}
		default:
			t.Fatalf("ended in %+v", st)
		}
		// A taker that holds something and is never told is rid of it.
		if s.tk != nil && !s.tk.Over() {
			s.tk.Tick(s.now + s.o.Incoming + 1)
			if s.tk.Ready() {
				s.tk.GiverSays(st.State, nil)
			}
			if !s.tk.Over() && s.tk.stage != opening {
				t.Fatalf("the taker keeps what it will never serve, in stage %d", s.tk.stage)
			}
		}
		s.tapes.Again(t, rand.New(rand.NewPCG(uint64(s.steps), 1)), func(kind string, head []byte) (taped.Core, error) {
			if kind == TakerTapeKind {
				h, err := taped.Read[TakerHead](head)
				return h.New(), err
			}
			h, err := taped.Read[GiverHead](head)
			return h.New(), err
		})
	})
	for _, st := range []wire.MoveState{wire.MoveDone, wire.MoveUndone, wire.MoveLost} {
		if ends[st] == 0 {
			t.Errorf("no move ended %v: %v", st, ends)
		}
	}
	t.Log(ends)
}
