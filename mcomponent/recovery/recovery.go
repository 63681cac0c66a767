package recovery

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"time"

	"splitkernel/netlayer/wire"
)

// Options bounds a recovery.
type Options struct {
	// WindowMessages bounds the questions for pages that are under way in the background, BatchPages the pages of each.
	WindowMessages int `yaml:"recovery_window_messages"`
	BatchPages     int `yaml:"recovery_batch_pages"`
	// UrgentMessages bounds the questions for single pages that somebody waits for; more wait in order.
	UrgentMessages int `yaml:"recovery_urgent_messages"`
	// RetryMS is the first pause before what got no answer is tried again, in ms; it doubles up to MaxRetryMS.
	RetryMS    int `yaml:"recovery_retry_ms"`
	MaxRetryMS int `yaml:"recovery_max_retry_ms"`
}

// DefaultOptions returns the defaults.
func DefaultOptions() Options {
	return Options{WindowMessages: 4, BatchPages: wire.MaxReplicaPages, UrgentMessages: 64, RetryMS: 2, MaxRetryMS: 200}
}

// Validate returns every fault, by key.
func (o Options) Validate() error {
	var errs []error
	for _, b := range []struct {
		key         string
		v, from, to int
	}{{"recovery_window_messages", o.WindowMessages, 1, 1024}, {"recovery_batch_pages", o.BatchPages, 1, wire.MaxReplicaPages}, {"recovery_urgent_messages", o.UrgentMessages, 1, 1 << 16},
		{"recovery_retry_ms", o.RetryMS, 1, 60_000}, {"recovery_max_retry_ms", o.MaxRetryMS, o.RetryMS, 60_000}} {
		if b.v < b.from || b.v > b.to {
			errs = append(errs, fmt.Errorf("%s: %d, want %d to %d", b.key, b.v, b.from, b.to))
		}
	}
	return errors.Join(errs...)
}

func (o Options) pause(attempts int) time.Duration {
	d := o.RetryMS
	for i := 1; i < attempts && d < o.MaxRetryMS; i++ {
		d *= 2
	}
	return time.Duration(min(d, o.MaxRetryMS)) * time.Millisecond
}

// EffectKind says what the driver of a Recovery must do.
type EffectKind uint8

// The effects. Fence, Tell, Parts and Pull are messages and are answered by Recovery.Answered with their ID.
const (
	Fence    EffectKind = 1
	Tell     EffectKind = 2
	Parts    EffectKind = 3
	Serve    EffectKind = 4
	Pull     EffectKind = 5
	Wake     EffectKind = 6
	Complete EffectKind = 7
)

func (k EffectKind) String() string {
	return [...]string{"?", "fence", "tell", "parts", "serve", "pull", "wake", "complete"}[min(int(k), 7)]
}

// Effect is one thing that the driver must do. Only the fields of its kind are set.
type Effect struct {
	Kind   EffectKind
	ID     uint64
	To     wire.Holder
	Open   wire.ReplicaOpenReq
	Switch wire.RegionSwitchReq
	Parts  wire.RegionPartsReq
	Mapped []wire.MappedPart
	Kept   wire.CutState // of a Serve: the last checkpoint, unless it is known here, and the newest epoch of the process
	Read   wire.ReplicaRead
	Waiter uint64
}

// Answer is what came back for a message.
type Answer struct {
	Err   *wire.Error
	Pages uint64              // of a Fence: what the holder has
	Kept  wire.CutState       // of a Fence
	Parts wire.RegionPartsRep // of a Parts
	Next  wire.PageNo         // of a Pull
	More  bool
	Count int
}

// phase is how far a recovery has come.
type phase uint8

const (
	fencing phase = iota + 1
	telling
	asking // for the mapped parts
	pulling
	done
	failed
)

type message struct {
	id   uint64
	kind EffectKind
	from wire.PageNo // of a Pull
	one  bool
	i    int // of a Fence
}

type waiter struct {
	page wire.PageNo
	call uint64
}

// Recovery makes one vRegion's owner of this mComponent. Use one goroutine at a time: with the lock under which pages change.
type Recovery struct {
	o     Options
	req   wire.RegionRecoverReq
	slot  uint32
	first wire.PageNo
	pages uint64
	addr  string

	bare    bool // this mComponent is a source, and has nothing
	phase   phase
	fenced  []bool // by source
	source  int    // of what comes; -1 if all is here
	mapped  []wire.MappedPart
	here    bitmap        // whatever a source has of the page is known
	came    bitmap        // as it was at the last checkpoint
	gone    bitmap        // it was unmapped: what a source has of it may be in the last checkpoint
	kept    wire.CutState // the last checkpoint
	back    wire.CutState // to which the process went back since
	process wire.Epoch    // as the home knows it
	cursor  wire.PageNo
	end     bool   // nothing is to be asked for behind the cursor
	known   uint64 // pages at the source
	got     uint64
	text    string
	sent    []message
	urgent  []wire.PageNo // to be asked for one by one
	again   []wire.PageNo // beginnings of batches that failed
	waiters []waiter
	lastID  uint64

	attempts int
	waits    bool
	due      time.Duration
}

// New makes the recovery of a vRegion that is arriving in a slot. addr is where this mComponent is reached. The options have been validated.
func New(o Options, req wire.RegionRecoverReq, slot uint32, first wire.PageNo, pages uint64, addr string) *Recovery {
	words := (pages + 63) / 64
	return &Recovery{o: o, req: req, slot: slot, first: first, pages: pages, addr: addr, cursor: first, here: make(bitmap, words), came: make(bitmap, words), gone: make(bitmap, words)}
}

// Bare says, before Begin, whether nothing of the vRegion is here, as replica.Holder.Promote told. If this mComponent is one of the sources, its owner never told it
// that it was a holder: then no flush was ever acknowledged, for each needs the answers of all holders, and nothing has to come.
func (r *Recovery) Bare(is bool) *Recovery {
	r.bare = is
	return r
}

// Req is the order that is obeyed.
func (r *Recovery) Req() wire.RegionRecoverReq { return r.req }

// Slot is the slot of the vRegion.
func (r *Recovery) Slot() uint32 { return r.slot }

// Ended reports whether there is nothing to do any more.
func (r *Recovery) Ended() bool { return r.phase >= done }

// Begin begins.
func (r *Recovery) Begin(now time.Duration, out []Effect) []Effect {
	r.phase, r.source, r.fenced = fencing, 0, make([]bool, len(r.req.Sources))
	for i, s := range r.req.Sources {
		if s.Node == r.req.Self && (r.req.Config.Policy.Kind == wire.MemorySync || r.bare && !r.shares()) {
			r.source = -1 // full copies: all of them are in place; or nothing was ever to be kept
			r.fenced[i] = true
		}
	}
	if len(r.req.Sources) == 0 {
		r.phase, r.text = failed, "nobody has what is to be recovered"
		return out
	}
	return r.fence(now, out)
}

// Changed takes the order again, of a newer configuration: a source that is not named any more is dead, and is not asked again. Who has been asked before
// anything was served is asked anew; later what is under way is asked again, of another source if need be: whoever knows of the configuration refuses what comes under an older one.
// What this mComponent has itself is Promoted to the configuration before.
func (r *Recovery) Changed(now time.Duration, q wire.RegionRecoverReq, out []Effect) []Effect {
	if q.Config.Epoch != r.req.Config.Epoch || q.Config.Config <= r.req.Config.Config || r.Ended() {
		return out
	}
	old := r.req.Sources
	r.req = q
	if r.phase < pulling {
		r.sent, r.mapped, r.attempts, r.waits, r.text = nil, nil, 0, false, ""
		return r.Begin(now, out)
	}
	r.fenced = make([]bool, len(q.Sources))
	for i := range r.fenced {
		r.fenced[i] = true
	}
	if r.source < 0 {
		return out
	}
	from := old[r.source]
	if r.source = slices.IndexFunc(q.Sources, func(s wire.Holder) bool { return s.Node == from.Node && s.Member == from.Member }); r.source < 0 {
		r.source = 0
	}
	if len(q.Sources) == 0 {
		r.text = "nobody has what is to be recovered"
		return r.fail(out)
	}
	for _, m := range r.sent {
		r.retry(m)
	}
	r.sent, r.attempts, r.waits, r.text = nil, 0, false, ""
	return r.pump(now, out)
}

// retry takes note that what a message asked for is to be asked for again.
func (r *Recovery) retry(m message) {
	switch {
	case m.kind != Pull:
	case m.one:
		r.urgent = append(r.urgent, m.from)
	default:
		r.again = append(r.again, m.from)
	}
}

// fence tells the sources that there is a new owner. Of full copies that are here the others are told by Primary: one holder that refuses is enough
// to keep the former owner from an acknowledgement.
func (r *Recovery) fence(now time.Duration, out []Effect) []Effect {
	if r.source < 0 {
		return r.tell(out)
	}
	c := &r.req.Config
	for i, s := range r.req.Sources {
		if r.fenced[i] || slices.ContainsFunc(r.sent, func(m message) bool { return m.kind == Fence && m.i == i }) {
			continue
		}
		e := Effect{Kind: Fence, To: s, Open: wire.ReplicaOpenReq{PID: c.PID, Region: c.Region, Epoch: c.Epoch, Config: c.Config, Policy: c.Policy, Index: s.Index, Member: s.Member}}
		out = r.send(e, message{kind: Fence, i: i}, out)
	}
	if r.shares() {
		n := 0
		for _, is := range r.fenced {
			if is {
				n++
			}
		}
		if n < int(c.Policy.Data) {
			return out
		}
		// A flush is acknowledged by all holders, and a page read from as many: the former owner can do neither with one that is told too few. Who
		// does not answer is told with the configuration.
		r.source, r.sent = -1, nil
	}
	if len(r.sent) == 0 {
		return r.tell(out)
	}
	return out
}

// shares reports whether the holders have shares: then the owner has no pages, and nothing comes before it can serve.
func (r *Recovery) shares() bool { return r.req.Config.Policy.Kind == wire.MemoryErasure }

func (r *Recovery) tell(out []Effect) []Effect {
	c := &r.req.Config
	r.phase = telling
	return r.send(Effect{Kind: Tell, Switch: wire.RegionSwitchReq{PID: c.PID, Owner: wire.Owner{Region: c.Region, Node: r.req.Self, Addr: r.addr, Epoch: c.Epoch, Member: r.req.Member}}}, message{kind: Tell}, out)
}

func (r *Recovery) ask(out []Effect) []Effect {
	c := &r.req.Config
	from := uint64(0)
	if n := len(r.mapped); n > 0 {
		from = r.mapped[n-1].End
	}
	return r.send(Effect{Kind: Parts, Parts: wire.RegionPartsReq{PID: c.PID, Region: c.Region, Epoch: c.Epoch, From: from}}, message{kind: Parts}, out)
}

func (r *Recovery) send(e Effect, m message, out []Effect) []Effect {
	r.lastID++
	m.id, e.ID = r.lastID, r.lastID
	r.sent = append(r.sent, m)
	return append(out, e)
}

// Answered reports the answer to a message.
func (r *Recovery) Answered(now time.Duration, id uint64, a Answer, out []Effect) []Effect {
	i := slices.IndexFunc(r.sent, func(m message) bool { return m.id == id })
	if i < 0 {
		return out
	}
	m := r.sent[i]
	r.sent = slices.Delete(r.sent, i, i+1)
	if r.Ended() {
		return out
	}
	if a.Err != nil {
		return r.wrong(now, m, a.Err, out)
	}
	r.attempts, r.text = 0, ""
	switch m.kind {
	case Fence:
		r.fenced[m.i] = true
		if m.i == r.source && !r.shares() {
			r.known, r.kept = a.Pages, a.Kept
		}
		return r.fence(now, out)
	case Tell:
		r.phase = asking
		return r.ask(out)
	case Parts:
		r.mapped = append(r.mapped, a.Parts.Mapped...)
		r.process = max(r.process, a.Parts.Process)
		if a.Parts.More && len(a.Parts.Mapped) > 0 {
			return r.ask(out)
		}
		r.phase = pulling
		out = append(out, Effect{Kind: Serve, Mapped: r.mapped, Kept: wire.CutState{Known: r.kept.Known, Cut: r.kept.Cut, Process: max(r.kept.Process, r.process)}})
		r.mapped = nil
		r.end = r.source < 0
		return r.pump(now, out)
	case Pull:
		if m.one {
			r.have(m.from, 1)
		} else {
			if !a.More {
				a.Next = r.first + wire.PageNo(r.pages)
			}
			r.have(m.from, uint64(a.Next-m.from))
			r.end = r.end || !a.More
			r.cursor = max(r.cursor, a.Next)
		}
		return r.pump(now, r.wake(out))
	}
	return out
}

// wrong takes a failure.
func (r *Recovery) wrong(now time.Duration, m message, err *wire.Error, out []Effect) []Effect {
	r.text = err.Error()
	r.retry(m)
	switch err.Kind {
	case wire.KindFailed: // the process has ended, or is lost
		return r.fail(out)
	case wire.KindStale:
		r.text = "a newer owner is known: " + r.text
		return r.fail(out)
	}
	r.attempts++
	r.waits, r.due = true, now+r.o.pause(r.attempts)
	return out
}

// fail ends it: the managers decide what becomes of the vRegion. Those who wait ask again, and hear so.
func (r *Recovery) fail(out []Effect) []Effect {
	r.phase = failed
	for _, w := range r.waiters {
		out = append(out, Effect{Kind: Wake, Waiter: w.call})
	}
	r.waiters = nil
	return out
}

// Tick goes on after a pause.
func (r *Recovery) Tick(now time.Duration, out []Effect) []Effect {
	if !r.waits || now < r.due || r.Ended() {
		return out
	}
	r.waits = false
	switch r.phase {
	case fencing:
		return r.fence(now, out)
	case telling:
		return r.tell(out)
	case asking:
		return r.ask(out)
	case pulling:
		return r.pump(now, out)
	}
	return out
}

// Due gives when Tick has something to do; false if it waits for answers only.
func (r *Recovery) Due() (time.Duration, bool) { return r.due, r.waits && !r.Ended() }

// pump asks for what is not here: first for the pages that somebody waits for.
func (r *Recovery) pump(now time.Duration, out []Effect) []Effect {
	if r.phase != pulling || r.waits {
		return out
	}
	one, batch := 0, 0
	for _, m := range r.sent {
		if m.one {
			one++
		} else {
			batch++
		}
	}
	for len(r.urgent) > 0 && one < r.o.UrgentMessages {
		page := r.urgent[0]
		r.urgent = r.urgent[1:]
		if r.Here(page) || slices.ContainsFunc(r.sent, func(m message) bool { return m.one && m.from == page }) {
			continue
		}
		one++
		out = r.pull(page, 1, wire.ReplicaExact, true, out)
	}
	// Pages lie close together, so the batch behind one is asked for before the answer tells where that one ends. If they do not, what comes twice is not taken.
	for ; batch < r.o.WindowMessages; batch++ {
		from := r.cursor
		switch {
		case len(r.again) > 0:
			from, r.again = r.again[0], r.again[1:]
		case r.end || uint64(r.cursor-r.first) >= r.pages:
			r.end = true
		default:
			r.cursor += wire.PageNo(r.o.BatchPages)
		}
		if r.end && from == r.cursor {
			break
		}
		out = r.pull(from, uint32(r.o.BatchPages), 0, false, out)
	}
	if r.end && len(r.sent) == 0 && len(r.urgent) == 0 && len(r.again) == 0 {
		r.phase = done
		out = append(r.wake(out), Effect{Kind: Complete}) // a page may have come with an answer that is not waited for any more
	}
	return out
}

func (r *Recovery) pull(page wire.PageNo, n, flags uint32, one bool, out []Effect) []Effect {
	c := &r.req.Config
	return r.send(Effect{Kind: Pull, To: r.req.Sources[r.source], Read: wire.ReplicaRead{PID: c.PID, Region: c.Region, Page: page, OwnerEpoch: c.Epoch, Count: n,
		Config: c.Config, Flags: flags}}, message{kind: Pull, from: page, one: one}, out)
}

// Here reports whether whatever a source has of a page is known.
func (r *Recovery) Here(page wire.PageNo) bool {
	if r.source < 0 {
		return true
	}
	return page < r.first || uint64(page-r.first) >= r.pages || r.here.has(r.first, page) || r.gone.has(r.first, page)
}

// have marks pages as known.
func (r *Recovery) have(page wire.PageNo, n uint64) {
	for ; n > 0; page, n = page+1, n-1 {
		if page >= r.first && uint64(page-r.first) < r.pages {
			r.here.set(r.first, page)
		}
	}
}

// Miss is asked before a miss is served: waits says that the page is not here yet. Then it is asked for, and call is woken when it is.
func (r *Recovery) Miss(now time.Duration, page wire.PageNo, call uint64, out []Effect) (waits bool, _ []Effect) {
	if r.phase != pulling || r.Here(page) {
		return false, out
	}
	r.waiters = append(r.waiters, waiter{page, call})
	r.urgent = append(r.urgent, page)
	return true, r.pump(now, out)
}

// wake wakes those whose pages are here.
func (r *Recovery) wake(out []Effect) []Effect {
	kept := r.waiters[:0]
	for _, w := range r.waiters {
		if r.Here(w.page) {
			out = append(out, Effect{Kind: Wake, Waiter: w.call})
		} else {
			kept = append(kept, w)
		}
	}
	r.waiters = kept
	return out
}

// Cancel ends it, as the process has ended or the vRegion went elsewhere.
func (r *Recovery) Cancel(why string, out []Effect) []Effect {
	r.text = why
	return r.fail(out)
}

// Status says how far it has come; lost names the pages that are lost.
func (r *Recovery) Status(lost uint64, named []wire.PageNo) wire.RegionRecoverRep {
	s := wire.RegionRecoverRep{State: wire.RecoverFencing, Done: r.got, Known: max(r.known, r.got), Lost: lost, LostPages: named, Text: r.text}
	switch r.phase {
	case telling, asking:
		s.State = wire.RecoverTelling
	case pulling:
		s.State = wire.RecoverServing
	case done:
		s.State = wire.RecoverDone
	case failed:
		s.State = wire.RecoverFailed
	}
	return s
}

// CheckInvariants reports a broken one, for tests.
func (r *Recovery) CheckInvariants() error {
	n := 0
	for _, w := range r.here {
		n += bits.OnesCount64(w)
	}
	one, batch := 0, 0
	for _, m := range r.sent {
		if m.kind == Pull && m.one {
			one++
		} else if m.kind == Pull {
			batch++
		}
	}
	switch {
	case uint64(n) < r.got:
		return fmt.Errorf("recovery: %d pages are here, %d were taken", n, r.got)
	case one > r.o.UrgentMessages || batch > r.o.WindowMessages:
		return fmt.Errorf("recovery: %d and %d questions are under way, at most %d and %d", one, batch, r.o.UrgentMessages, r.o.WindowMessages)
	case r.Ended() && len(r.waiters) > 0:
		return fmt.Errorf("recovery: %d wait for what has ended", len(r.waiters))
	case r.phase > 0 && !r.Ended() && len(r.sent) == 0 && !r.waits:
		return fmt.Errorf("recovery: in phase %d nothing is under way", r.phase)
	}
	for _, w := range r.waiters {
		if r.Here(w.page) { // the answer that brought it, or one that is to come, wakes who waits
			continue
		}
		if !slices.Contains(r.urgent, w.page) && !slices.ContainsFunc(r.sent, func(m message) bool { return m.one && m.from == w.page }) {
			return fmt.Errorf("recovery: somebody waits for page %#x, and nobody asks for it", uint64(w.page))
		}
	}
	return nil
}
