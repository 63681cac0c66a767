package session

import "fmt"

// Verdict says what to do with a request that must be executed at most once.
type Verdict uint8

// The verdicts.
const (
	Execute    Verdict = iota + 1 // not seen before: run it, then call End or Forget
	InProgress                    // it runs now: answer when that execution ends
	Replay                        // it was executed: send the kept reply again
	TooOld                        // it may have been executed, and its reply is no longer kept
	Full                          // too many requests of the session run at once
)

func (v Verdict) String() string {
	switch v {
	case Execute:
		return "execute"
	case InProgress:
		return "in progress"
	case Replay:
		return "replay"
	case TooOld:
		return "too old"
	case Full:
		return "full"
	}
	return fmt.Sprintf("verdict(%d)", uint8(v))
}

// DedupeOptions bound a Dedupe.
type DedupeOptions struct {
	Sessions int // sessions remembered, those with an open connection included
	Window   int // requests remembered per session, running ones included
	Bytes    int // bytes of replies kept per session
}

// Dedupe remembers which requests were executed, per session, with their replies. A request beyond what it remembers is
// never executed a second time: a retry that it cannot vouch for is TooOld.
type Dedupe struct {
	o        DedupeOptions
	sessions map[uint64]*window
	idle     []uint64 // sessions without a connection, the longest idle first
	evicted  bool     // a session was dropped: a retry of an unknown session may be one of its requests
}

type window struct {
	id       uint64
	conns    int
	calls    map[ID]*entry
	done     []ID // executed, oldest first
	bytes    int  // of the replies of done
	horizon  ID   // the highest id that was dropped from the window
	reopened bool // created after a session was dropped: it may be that one
}

type entry struct {
	done  bool
	reply []byte
	sum   uint32 // of the reply, if the table is recorded
}

// NewDedupe makes an empty table. Every bound must be at least 1.
func NewDedupe(o DedupeOptions) *Dedupe {
	return &Dedupe{o: o, sessions: make(map[uint64]*window)}
}

// Open notes a connection of a session. It is false if every remembered session has a connection and none can be dropped.
func (d *Dedupe) Open(session uint64) bool {
	w := d.sessions[session]
	if w == nil {
		if len(d.sessions) >= d.o.Sessions && !d.dropIdle() {
			return false
		}
		w = &window{id: session, calls: make(map[ID]*entry), reopened: d.evicted}
		d.sessions[session] = w
	} else if w.conns == 0 {
		d.removeIdle(session)
	}
	w.conns++
	return true
}

// Close notes that a connection of a session has ended. What it executed stays remembered.
func (d *Dedupe) Close(session uint64) {
	w := d.sessions[session]
	if w == nil || w.conns == 0 {
		panic(fmt.Sprintf("session: close of session %#x, which has no connection", session))
	}
	if w.conns--; w.conns == 0 {
		d.idle = append(d.idle, session)
	}
}

// dropIdle forgets the longest idle session that runs nothing.
func (d *Dedupe) dropIdle() bool {
	for _, id := range d.idle {
		if w := d.sessions[id]; len(w.calls) == len(w.done) {
			if len(w.done) > 0 || w.horizon != 0 {
				d.evicted = true
			}
			delete(d.sessions, id)
			d.removeIdle(id)
			return true
		}
	}
	return false
}

func (d *Dedupe) removeIdle(session uint64) {
	for i, id := range d.idle {
		if id == session {
			d.idle = append(d.idle[:i], d.idle[i+1:]...)
			return
		}
	}
}

// Begin decides about a request of an open session. retry says that the client may have sent it before. The reply is
// given with Replay; it must not be changed.
func (d *Dedupe) Begin(session uint64, call ID, retry bool) (Verdict, []byte) {
	w := d.sessions[session]
	if w == nil {
		panic(fmt.Sprintf("session: request of session %#x, which is not open", session))
	}
	if e := w.calls[call]; e != nil {
		if e.done {
			return Replay, e.reply
		}
		return InProgress, nil
	}
	if retry && (w.reopened || call <= w.horizon) {
		return TooOld, nil
	}
	if len(w.calls) >= d.o.Window {
		if len(w.done) == 0 {
			return Full, nil
		}
		w.drop()
	}
	w.calls[call] = &entry{}
	return Execute, nil
}

// End keeps the reply of a request that was executed. The table owns reply from now on.
func (d *Dedupe) End(session uint64, call ID, reply []byte) { d.end(session, call, reply, 0) }

func (d *Dedupe) end(session uint64, call ID, reply []byte, sum uint32) {
	w, e := d.running(session, call)
	e.done, e.reply, e.sum = true, reply, sum
	w.done = append(w.done, call)
	w.bytes += len(reply)
	for w.bytes > d.o.Bytes {
		w.drop()
	}
}

// Forget takes back a request that was not executed after all, for example because a queue was full.
func (d *Dedupe) Forget(session uint64, call ID) {
	w, _ := d.running(session, call)
	delete(w.calls, call)
}

func (d *Dedupe) running(session uint64, call ID) (*window, *entry) {
	w := d.sessions[session]
	if w == nil || w.calls[call] == nil || w.calls[call].done {
		panic(fmt.Sprintf("session: end of call %#x of session %#x, which does not run", uint64(call), session))
	}
	return w, w.calls[call]
}

// drop forgets the oldest executed request of w.
func (w *window) drop() {
	id := w.done[0]
	w.done = append(w.done[:0], w.done[1:]...)
	w.bytes -= len(w.calls[id].reply)
	delete(w.calls, id)
	w.horizon = max(w.horizon, id)
}

// CheckInvariants reports the first broken rule of the table.
func (d *Dedupe) CheckInvariants() error {
	if len(d.sessions) > d.o.Sessions {
		return fmt.Errorf("session: %d sessions, at most %d", len(d.sessions), d.o.Sessions)
	}
	idle := 0
	for id, w := range d.sessions {
		if w.conns == 0 {
			idle++
		}
		if len(w.calls) > d.o.Window || w.bytes > d.o.Bytes {
			return fmt.Errorf("session %#x: %d calls with %d bytes, at most %d with %d", id, len(w.calls), w.bytes, d.o.Window, d.o.Bytes)
		}
		bytes := 0
		for _, call := range w.done {
			e := w.calls[call]
			if e == nil || !e.done {
				return fmt.Errorf("session %#x: call %#x is listed as executed and is not", id, uint64(call))
			}
			bytes += len(e.reply)
		}
		if bytes != w.bytes {
			return fmt.Errorf("session %#x: replies of %d bytes, counted %d", id, bytes, w.bytes)
		}
	}
	if idle != len(d.idle) {
		return fmt.Errorf("session: %d sessions without connection, listed %d", idle, len(d.idle))
	}
	return nil
}
