package replica

import (
	"slices"
	"time"

	"splitkernel/netlayer/wire"
)

type opKind uint8

const (
	opAttach opKind = 1
	opRead   opKind = 2
	opWrite  opKind = 3
	opMark   opKind = 4
	opFlush  opKind = 5
	opRepair opKind = 6
)

var opNames = []string{"", "attach", "read", "write", "mark", "flush", "repair"}

func (k opKind) String() string { return opNames[min(int(k), len(opNames)-1)] }

type phase uint8

const (
	phaseGather phase = 1 // copies are asked what they have
	phasePut    phase = 2 // copies are told
	phaseOver   phase = 3 // it has ended, and messages are on their way still
)

type seatState uint8

const (
	seatIdle seatState = 0
	seatSent seatState = 1
	seatGood seatState = 2
	seatBad  seatState = 3 // for good, as far as this phase goes
)

// seat is what an operation and a copy have to do with each other.
type seat struct {
	state seatState
	send  uint64
	retry time.Duration // not before
	tries int
	err   error
	told  bool // have is known
	page  bool // the block was asked for with it
	have  wire.BlockCopy
}

// op is an operation.
type op struct {
	id      uint64
	kind    opKind
	block   uint64
	mask    uint8             // of a write: the sectors that the caller has
	number  uint64            // of a mark or flush; of a repair the last version before it
	version wire.BlockVersion // being put
	put     bool              // version is set: copies that do not get it miss it
	phase   phase
	seats   []seat // as g.sites

	page    wire.BlockVersion // of the block that was taken last
	sum     uint32            // of that
	hasPage bool
	end     time.Duration // of patience
	hedge   time.Duration // another copy is asked for the block then
	waited  bool
	walks   bool // a repair of the walk
}

func (o *op) good(i int) bool { return o.seats[i].state == seatGood }

func (o *op) under() bool {
	return slices.ContainsFunc(o.seats, func(s seat) bool { return s.state == seatSent })
}

// Read begins to read a block.
func (g *Group) Read(now time.Duration, id, block uint64, out []Effect) []Effect {
	g.now = now
	return g.begin(&op{id: id, kind: opRead, block: block, phase: phaseGather}, out)
}

// Write begins to write a block, of which the caller has the sectors in mask; the others are taken from what is there.
func (g *Group) Write(now time.Duration, id, block uint64, mask uint8, out []Effect) []Effect {
	g.now = now
	o := &op{id: id, kind: opWrite, block: block, mask: mask, phase: phaseGather}
	if mask == 0xff {
		g.putNew(o)
	}
	return g.begin(o, out)
}

// Mark announces a generation of writes that are acknowledged before they are flushed.
func (g *Group) Mark(now time.Duration, id, generation uint64, out []Effect) []Effect {
	return g.tell(now, &op{id: id, kind: opMark, number: g.base + generation, phase: phasePut}, out)
}

// Flush makes everything durable that was written, and completes a generation.
func (g *Group) Flush(now time.Duration, id, generation uint64, out []Effect) []Effect {
	return g.tell(now, &op{id: id, kind: opFlush, number: g.base + generation, phase: phasePut}, out)
}

// tell begins a mark or a flush. Generations are numbered with the versions of blocks, so that none is used by two groups.
func (g *Group) tell(now time.Duration, o *op, out []Effect) []Effect {
	g.now = now
	g.no = max(g.no, o.number)
	return g.begin(o, out)
}

func (g *Group) begin(o *op, out []Effect) []Effect {
	if g.over != nil {
		out = append(out, Effect{Kind: Finish, Op: o.id, Err: g.over})
		return append(out, Effect{Kind: Release, Op: o.id})
	}
	o.seats = make([]seat, len(g.sites))
	o.end, o.hedge = g.now+g.opt.Patience, g.now+g.opt.Hedge
	g.ops[o.id] = o
	g.order = append(g.order, o.id)
	return g.settle(out)
}

// putNew gives an operation a version above all others.
func (g *Group) putNew(o *op) {
	g.no++
	g.putAs(o, wire.BlockVersion{Epoch: g.req.Epoch, No: g.no})
}

// putAs has copies get the block under a version.
func (g *Group) putAs(o *op, v wire.BlockVersion) {
	o.version, o.put, o.phase = v, true, phasePut
	for i := range o.seats {
		st := &o.seats[i]
		if st.state == seatSent {
			delete(g.sends, st.send)
		}
		has := st.told && st.have.State == wire.CopyGood && st.have.Version == v && (!o.hasPage || st.have.Sum == o.sum)
		*st = seat{told: st.told, have: st.have}
		if has {
			st.state = seatGood
		}
	}
	g.changed = true
}

// push does for an operation what can be done.
func (g *Group) push(o *op, out []Effect) []Effect {
	if o.phase == phaseOver {
		return out
	}
	if o.kind == opAttach {
		switch out = g.judgeAttach(o, out); {
		case o.phase == phaseOver || g.over != nil:
		case g.deleted():
			out = g.close(wire.Errorf(wire.KindNotFound, "volume %d: fewer than the %d of its %d copies are left that an attach needs: it was deleted: %s", g.req.Volume, g.attachQuorum(),
				g.places(), g.missing(o, func(i int) bool { return g.sites[i].attached })), out)
		case g.now >= o.end:
			out = g.close(wire.Errorf(wire.KindUnavailable, "volume %d: attach reached fewer than %d of %d copies: %s", g.req.Volume, g.attachQuorum(), g.places(),
				g.missing(o, func(i int) bool { return g.sites[i].attached })), out)
		}
		return out
	}
	if !g.ready {
		return g.give(o, out)
	}
	if out = g.sendDue(o, out); o.phase == phaseGather {
		out = g.judgeGather(o, out)
	} else {
		out = g.judgePut(o, out)
	}
	if o.phase != phaseOver {
		out = g.give(o, out)
	}
	return out
}

// sendDue asks or tells the copies that can be.
func (g *Group) sendDue(o *op, out []Effect) []Effect {
	first := -1
	if o.phase == phaseGather {
		first = g.preferred(o)
	}
	for i, s := range g.sites {
		st := &o.seats[i]
		if !s.attached || st.state != seatIdle || g.now < st.retry {
			continue
		}
		e := Effect{Block: o.block}
		switch {
		case o.phase == phaseGather:
			if st.told || (!s.places() || s.behind) && o.kind != opRepair {
				continue
			}
			if e.Kind, st.page = SendRead, i == first; !st.page {
				e.Flags = wire.ReplicaNoPage
				if o.kind == opRepair {
					e.Flags |= wire.ReplicaVerify
				}
			}
		case o.kind == opMark:
			e.Kind, e.Number = SendMark, o.number
		case o.kind == opFlush:
			if g.owes(i, o) {
				continue
			}
			e.Kind, e.Number = SendFlush, o.number
		default:
			if e.Kind, e.Version = SendWrite, o.version; o.kind != opWrite {
				e.Flags = wire.ReplicaRepair
			}
		}
		st.state = seatSent
		st.send, out = g.send(i, o, e, out)
	}
	return out
}

// preferred is the copy that is asked for the block itself: they take turns, and slow ones come last.
func (g *Group) preferred(o *op) int {
	pick := -1
	for k := range g.sites {
		i := (k + int(o.block>>6)) % len(g.sites)
		s, st := g.sites[i], &o.seats[i]
		if st.page && st.state == seatSent {
			return i
		}
		if s.attached && s.places() && !s.behind && st.state == seatIdle && !st.told && (pick < 0 || g.sites[pick].suspect && !s.suspect) {
			pick = i
		}
	}
	return pick
}

// owes reports whether a copy lacks something that a flush must make durable: it missed it, or it is on its way.
func (g *Group) owes(i int, flush *op) bool {
	if !g.sites[i].complete() {
		return true
	}
	for _, id := range g.order {
		o := g.ops[id]
		if o == flush {
			break // what began after it need not be covered
		}
		if o.put && (o.seats[i].state == seatSent || o.seats[i].state == seatIdle && o.phase != phaseOver) {
			return true
		}
	}
	return false
}

// seated takes the answer of a copy to an operation.
func (g *Group) seated(o *op, i int, id uint64, a Answer, out []Effect) []Effect {
	st, s := &o.seats[i], g.sites[i]
	if st.state != seatSent || st.send != id {
		return out
	}
	if a.Err != nil {
		return g.unseated(o, i, a.Err, out)
	}
	st.state, st.err = seatGood, nil
	if o.phase == phaseGather {
		if !st.told && a.Copy.State != wire.CopyGood {
			g.stats.Corrupt++
		}
		st.told, st.have = true, a.Copy
		if st.page && a.Copy.State == wire.CopyGood && (!o.hasPage || !a.Copy.Version.Less(o.page)) {
			s.suspect = false
			o.page, o.sum, o.hasPage = a.Copy.Version, a.Copy.Sum, true
			out = append(out, Effect{Kind: Take, Op: o.id, ID: id, Block: o.block, Mask: o.mask})
		}
		st.page = false
	}
	if o.put {
		g.got(i, o)
	}
	if o.phase == phaseOver {
		out = g.release(o, out)
	}
	return out
}

// unseated takes an error of a copy.
func (g *Group) unseated(o *op, i int, err error, out []Effect) []Effect {
	st, s := &o.seats[i], g.sites[i]
	st.state, st.err, st.page = seatIdle, err, false
	switch wire.KindOf(err) {
	case wire.KindUnavailable, wire.KindTimeout:
		g.detach(s, err, g.opt.RetryMin)
	case wire.KindNotOwner: // it was restarted
		g.detach(s, err, 0)
	case wire.KindBusy:
		st.retry = g.now + min(g.opt.RetryMin<<min(st.tries, 16), g.opt.RetryMax)
		st.tries++
	case wire.KindStale:
		return g.fence(wire.Errorf(wire.KindStale, "volume %d: %s refuses this buffer cache: %v", g.req.Volume, s.at.Node, err), out)
	case wire.KindNotFound, wire.KindFailed:
		s.lost = true
		g.detach(s, err, g.opt.RetryMax)
		st.state = seatBad
	default:
		st.state = seatBad
	}
	if o.phase == phaseOver && st.state != seatSent {
		g.miss(i, o)
		st.state = seatBad
		out = g.release(o, out)
	}
	return out
}

// judgeGather goes on when enough copies have told what they have, and the newest block is here.
func (g *Group) judgeGather(o *op, out []Effect) []Effect {
	known := func(i int) bool { return o.seats[i].told && o.seats[i].have.State != wire.CopyUnknown }
	if !g.readable(known) {
		return g.hopeless(o, func(i int) bool { return known(i) || o.seats[i].state != seatBad && !(o.seats[i].told && !known(i)) }, g.readable, out)
	}
	if o.kind == opRepair && o.under() && g.now < o.end {
		return out // it is for those who are behind: all that can be asked
	}
	v, source, fresh := g.newest(o)
	switch {
	case source < 0 && g.awaited(o):
		return out
	case source < 0:
		return g.finish(o, wire.Errorf(wire.KindCorrupt, "volume %d: block %d: no copy of version %d/%d or later is whole", g.req.Volume, o.block, v.Epoch, v.No), out)
	case !o.hasPage || o.page != v:
		return g.fetch(o, source, out)
	case fresh && g.writing(o):
		return out // a version above that of the write under way would hide it; when that ends o is begun anew
	}
	switch {
	case o.kind == opWrite || fresh:
		g.putNew(o)
		return out
	case o.kind == opRead && g.agreed(o, v, false):
		has := func(i int) bool {
			st := &o.seats[i]
			return st.told && st.have.State == wire.CopyGood && st.have.Version == v
		}
		if g.sure(o.block) || g.written(has) {
			return g.finish(o, nil, out)
		}
		if o.under() && g.now < o.hedge {
			return out // it may be at enough copies
		}
	case o.kind == opRepair && g.agreed(o, v, true):
		return g.finish(o, nil, out)
	}
	if o.kind == opRead {
		g.stats.WriteBacks++
	}
	g.putAs(o, v)
	return out
}

// newest gives the newest version that may have been acknowledged or that somebody has whole, and who; source is -1 if nobody is known
// to have it. A version that is nowhere whole and that too few copies can have had is passed over: it was never acknowledged; then
// what is older must get a version above it (fresh).
func (g *Group) newest(o *op) (v wire.BlockVersion, source int, fresh bool) {
	var all []wire.BlockVersion
	for i := range o.seats {
		if st := &o.seats[i]; st.told && st.have.State != wire.CopyUnknown {
			all = append(all, st.have.Version)
		}
	}
	slices.SortFunc(all, func(a, b wire.BlockVersion) int {
		if a.Less(b) {
			return 1
		}
		return -1
	})
	for _, v = range all {
		older := 0
		for i := range o.seats {
			st := &o.seats[i]
			if !st.told || st.have.State == wire.CopyUnknown {
				continue
			}
			if st.have.State == wire.CopyGood && st.have.Version == v {
				return v, i, fresh
			}
			if g.sites[i].places() && !g.sites[i].behind && st.have.Version.Less(v) {
				older++
			}
		}
		if g.places()-older >= int(g.req.WriteQuorum) {
			return v, -1, fresh
		}
		fresh = true
	}
	return v, -1, fresh
}

// awaited reports whether a copy may still tell what it has.
func (g *Group) awaited(o *op) bool {
	for i, s := range g.sites {
		if st := &o.seats[i]; s.places() && !st.told && st.state != seatBad && (s.attached || g.now < o.end) {
			return true
		}
	}
	return false
}

// fetch asks a copy that has the newest version for the block, once the one that was asked first takes too long.
func (g *Group) fetch(o *op, source int, out []Effect) []Effect {
	for i := range o.seats {
		if st := &o.seats[i]; st.page && st.state == seatSent {
			if g.now < o.hedge {
				return out
			}
			g.sites[i].suspect = true
		}
	}
	st := &o.seats[source]
	if st.state == seatSent || !g.sites[source].attached || g.now < st.retry {
		return out
	}
	st.state, st.page = seatSent, true
	o.hedge = g.now + g.opt.Hedge
	st.send, out = g.send(source, o, Effect{Kind: SendRead, Block: o.block}, out)
	return out
}

// agreed reports whether all copies that told have the version whole, with the same bytes.
func (g *Group) agreed(o *op, v wire.BlockVersion, all bool) bool {
	for i := range o.seats {
		st := &o.seats[i]
		if st.told && (all || g.sites[i].places()) && (st.have.State != wire.CopyGood || st.have.Version != v || st.have.Sum != o.sum) {
			return false
		}
	}
	return true
}

// sure reports whether a version of a block that r copies agree on was acknowledged, or is at w copies all the same: then no other r
// copies can tell of an older one later. It is not sure of what a buffer cache that died had begun to write, nor of what failed.
func (g *Group) sure(block uint64) bool {
	return g.settled && !slices.ContainsFunc(g.sites, func(s *site) bool {
		_, missed := s.missed[block]
		return s.places() && (missed || s.need == needAll)
	})
}

// writing reports whether another operation writes the block.
func (g *Group) writing(o *op) bool {
	for _, id := range g.order {
		if w := g.ops[id]; w != o && w.block == o.block && w.phase != phaseOver && (w.kind == opWrite || w.put) {
			return true
		}
	}
	return false
}

// judgePut ends an operation that enough copies have done. A repair ends when all have answered.
func (g *Group) judgePut(o *op, out []Effect) []Effect {
	if o.kind == opRepair {
		for i, s := range g.sites {
			if st := &o.seats[i]; st.state == seatSent || st.state == seatIdle && s.attached && g.now < o.end {
				return out
			}
		}
		return g.finish(o, nil, out)
	}
	if g.written(o.good) {
		return g.finish(o, nil, out)
	}
	return g.hopeless(o, func(i int) bool { return o.seats[i].state != seatBad }, g.written, out)
}

// hopeless ends an operation that cannot succeed, as too many copies refused it for good.
func (g *Group) hopeless(o *op, can func(i int) bool, enough func(func(int) bool) bool, out []Effect) []Effect {
	all := func(i int) bool { return !g.sites[i].behind }
	if enough(can) || !enough(all) { // too many are catching up: that is waited for
		return out
	}
	kind := wire.KindUnavailable
	for i := range o.seats {
		st := &o.seats[i]
		if st.told && st.have.State == wire.CopyUnknown && kind == wire.KindUnavailable {
			kind = wire.KindCorrupt
		}
		if st.state != seatBad {
			continue
		}
		if k := wire.KindOf(st.err); k == wire.KindNoSpace || kind == wire.KindUnavailable {
			kind = k
		}
	}
	if kind == wire.KindNotFound || kind == wire.KindFailed || kind == wire.KindNoSpace && o.kind != opWrite {
		kind = wire.KindUnavailable // of a copy, not of the volume; that a disk is full is the error of who writes, and a reader comes again
	}
	return g.finish(o, wire.Errorf(kind, "volume %d: %v: too few copies: %s", g.req.Volume, o.kind, g.missing(o, o.good)), out)
}

// give gives up an operation whose patience is over, and counts those that wait.
func (g *Group) give(o *op, out []Effect) []Effect {
	if !o.waited && o.id < Internal {
		reached := 0
		for _, s := range g.sites {
			if s.attached && s.places() && !s.behind {
				reached++
			}
		}
		if reached < int(max(g.req.WriteQuorum, g.req.ReadQuorum)) {
			o.waited = true
			g.stats.Waits++
		}
	}
	if g.now < o.end {
		return out
	}
	return g.finish(o, wire.Errorf(wire.KindUnavailable, "volume %d: %v: too few copies in %v, of %d it needs %d to read and %d to write: %s", g.req.Volume, o.kind, g.opt.Patience,
		g.places(), g.req.ReadQuorum, g.req.WriteQuorum, g.missing(o, o.good)), out)
}

// finish ends an operation. Those who have not got what it wrote miss it, but for what is on its way.
func (g *Group) finish(o *op, err error, out []Effect) []Effect {
	gathered := o.phase == phaseGather
	o.phase = phaseOver
	g.changed = true
	for i := range o.seats {
		st := &o.seats[i]
		if st.state == seatSent && (gathered || !o.put || g.over != nil) {
			delete(g.sends, st.send)
			st.state = seatBad
		}
		if o.put && st.state != seatGood && st.state != seatSent {
			g.miss(i, o)
		}
	}
	if err == nil {
		switch o.kind {
		case opRead:
			g.stats.Reads++
		case opWrite:
			g.stats.Writes++
		case opFlush:
			g.stats.Flushes++
		}
	}
	if o.id < Internal {
		out = append(out, Effect{Kind: Finish, Op: o.id, Err: err})
	} else {
		g.repaired(o, err)
	}
	if o.put {
		g.regather(o.block)
	}
	return g.release(o, out)
}

// regather begins the operations anew that ask what copies have of a block that was written: the answers of some are from before, and
// must not be taken for a sign that nobody has it.
func (g *Group) regather(block uint64) {
	for _, id := range g.order {
		o := g.ops[id]
		if o.phase != phaseGather || o.block != block {
			continue
		}
		for i := range o.seats {
			if o.seats[i].state == seatSent {
				delete(g.sends, o.seats[i].send)
			}
			o.seats[i] = seat{}
		}
		o.hasPage, o.page, o.hedge = false, wire.BlockVersion{}, g.now+g.opt.Hedge
	}
}

// release forgets an operation that is over once nothing of it is under way.
func (g *Group) release(o *op, out []Effect) []Effect {
	if o.under() {
		return g.straggle(out)
	}
	delete(g.ops, o.id)
	if i := slices.Index(g.order, o.id); i >= 0 {
		g.order = slices.Delete(g.order, i, i+1)
	}
	g.changed = true
	return append(out, Effect{Kind: Release, Op: o.id})
}

// straggle gives up the oldest operation that is over, when there are too many: who has not answered it misses it.
func (g *Group) straggle(out []Effect) []Effect {
	n, first := 0, (*op)(nil)
	for _, id := range g.order {
		if o := g.ops[id]; o.phase == phaseOver {
			if n++; first == nil {
				first = o
			}
		}
	}
	if n <= g.opt.Stragglers {
		return out
	}
	for i := range first.seats {
		if st := &first.seats[i]; st.state == seatSent {
			delete(g.sends, st.send)
			st.state = seatBad
			g.miss(i, first)
		}
	}
	return g.release(first, out)
}

// got notes that a copy has what an operation put.
func (g *Group) got(i int, o *op) {
	s := g.sites[i]
	if m, ok := s.missed[o.block]; ok && !o.version.Less(m) {
		delete(s.missed, o.block)
	}
	if o.kind != opWrite {
		g.stats.Repaired++
	}
	g.changed = true
}

// miss notes that a copy has not got what an operation put.
func (g *Group) miss(i int, o *op) {
	s := g.sites[i]
	if g.over != nil {
		return
	}
	if o.kind == opWrite {
		g.stats.Missed++
	}
	if m, ok := s.missed[o.block]; ok {
		s.missed[o.block] = later(m, o.version)
		return
	}
	if len(s.missed) >= g.opt.Missed {
		s.need, s.again = needAll, true
		clear(s.missed)
		s.order = nil
		return
	}
	s.missed[o.block] = o.version
	s.order = append(s.order, o.block)
	if len(s.order) > 2*g.opt.Missed { // names of blocks that were repaired since
		s.order = slices.DeleteFunc(s.order, func(b uint64) bool { _, ok := s.missed[b]; return !ok })
	}
}
