package gpm

import (
	"cmp"
	"fmt"
	"slices"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
)

const (
	// MaxQueue bounds the vNodes that wait.
	MaxQueue = 1024
	// MaxBypass is how many vNodes of the same or a lower priority that came later may be placed before one that waits; then
	// none is until it has its place or is gone. So small ones use the room that is too small for a large one, and yet it is
	// not kept waiting for ever. One that waits for preemption is not passed at all.
	MaxBypass = 32
	// MaxTries bounds the attempts that one look at the queue begins.
	MaxTries = 16
	// RetryMS is how long after an attempt a waiting vNode is tried again though GPM knows of no new room: there may be some at
	// another manager. It doubles with each attempt in vain up to MaxRetryMS, and is RetryMS again when GPM knows of new room: one
	// that will not fit costs the managers little.
	RetryMS    = 1000
	MaxRetryMS = 8 * RetryMS
)

// Waiting is a vNode in the queue, as listings and snapshots hold it.
type Waiting struct {
	Ticket    wire.PID            // under which it waits; from the same numbers as process ids
	Spec      admission.VNodeSpec // complete
	SinceMS   int64               // ms since 1970 by the clock of the leader that it came to
	UntilMS   int64               // when it is refused, by the clock of the managers
	Attempt   wire.PID            // the process that is being admitted for it; 0 none
	WaitsFrom wire.PID            // the first process id given after it did not fit; 0: its first attempt is under way
	Passed    uint32              // vNodes that came later and were placed before it, at most MaxBypass
	Tried     uint64              // what State.room was when it was last tried
	TriedMS   int64
	PauseMS   int64        // from TriedMS to the next attempt without known room: RetryMS to MaxRetryMS
	Placed    events.Event // of the attempt under way: told if it is admitted; zero without one
	Evicted   bool         // vNodes were ended for it
	Own       bool         // only its own tenant's quota, or one of its tenant that waits so, keeps it: it competes with no other tenant
	Kind      wire.Kind    // why it does not fit
	Text      string
	Told      uint32 // what was short in the events that told of it, as reasons gives it
}

// Settled is how the wait of a ticket ended.
type Settled struct {
	Ticket wire.PID
	PID    wire.PID // admitted as this process; 0: refused
	Kind   wire.Kind
	Text   string
}

// Counts are what was decided over the life of the state, for metrics.
type Counts struct {
	Queued    uint64 // vNodes that did not fit at once and waited
	Dequeued  uint64 // of them admitted
	Expired   uint64
	Cancelled uint64 // released or refused while they waited
	Preempted uint64 // vNodes ended for others
	WaitedMS  uint64 // by all that left the queue
	Refused   [len(resourceNames)]uint64
}

// byTurn orders the queue: the higher priority first, then who came first.
func byTurn(a, b *Waiting) int {
	return cmp.Or(cmp.Compare(b.Spec.Priority, a.Spec.Priority), cmp.Compare(a.Ticket, b.Ticket))
}

// waiting returns the position of a ticket in the queue.
func (s *State) waiting(ticket wire.PID) (int, bool) {
	i := slices.IndexFunc(s.queue, func(w Waiting) bool { return w.Ticket == ticket })
	return i, i >= 0
}

// wait enters a vNode that may wait, and tries to place it at once.
func (s *State) wait(spec admission.VNodeSpec, cmd Command) Result {
	if len(s.queue) >= MaxQueue {
		err := wire.Errorf(wire.KindNoRoom, "queue: %d vNodes wait already, at most %d", len(s.queue), MaxQueue)
		s.tellRefused(events.Refused, 0, spec, err, cmd)
		return failed(err)
	}
	w := Waiting{Ticket: s.nextPID, Spec: spec, SinceMS: cmd.Stamp.NowMS, UntilMS: s.clockMS + int64(spec.DeadlineMS)}
	s.nextPID++
	i, _ := slices.BinarySearchFunc(s.queue, w, func(a, b Waiting) int { return byTurn(&a, &b) })
	s.queue = slices.Insert(s.queue, i, w)
	p, ok := s.try(i, cmd)
	res := Result{Ticket: w.Ticket}
	if ok {
		res.VNode = s.Placement(p)
	}
	return res
}

// try begins an attempt for a waiting vNode, or notes why it does not fit.
func (s *State) try(i int, cmd Command) (Process, bool) {
	p, err := s.place(s.queue[i].Spec, s.queue[i].Ticket, cmd)
	w := &s.queue[i]
	if w.PauseMS = min(2*w.PauseMS, MaxRetryMS); w.Tried != s.room || w.PauseMS == 0 {
		w.PauseMS = RetryMS
	}
	w.Tried, w.TriedMS = s.room, s.clockMS
	if err != nil {
		own, held := s.held(&w.Spec, w.Ticket)
		s.setOwn(w, held != nil && own)
		s.short(w, wire.KindOf(err), membership.TextOf(err), cmd.Stamp.NowMS)
		return p, false
	}
	w.Attempt, w.Placed = p.PID, s.placedEvent(&p, cmd)
	w.Placed.Candidates = slices.Clone(w.Placed.Candidates)
	return p, true
}

// short notes why a waiting vNode does not fit. From the first time on it counts as waiting. That is an event, and so is when
// something is short for the first time: not each attempt, which would push all else out of the log.
func (s *State) short(w *Waiting, kind wire.Kind, text string, nowMS int64) {
	w.Kind, w.Text = kind, text[:min(len(text), maxTextBytes)]
	if w.WaitsFrom == 0 {
		w.WaitsFrom = s.nextPID
		s.counts.Queued++
	}
	if r := reasons(w.Text); r&^w.Told != 0 {
		w.Told |= r
		s.events.Append(events.Event{MS: nowMS, Kind: events.Queued, PID: w.Ticket, Reason: fmt.Sprintf("vNode %q, priority %d: %s", w.Spec.Name, w.Spec.Priority, w.Text)})
	}
}

// setOwn notes whether a vNode that waits competes with its own tenant only. Who passes it is counted from now on by that;
// what was counted stays, so that changing its reason does not start its wait anew.
func (s *State) setOwn(w *Waiting, own bool) {
	if w.Own != own && w.WaitsFrom != 0 {
		w.WaitsFrom = s.nextPID
	}
	w.Own = own
}

// passes reports whether p, placed now, is placed before w though it came later.
func (w *Waiting) passes(p *Process) bool {
	return w.WaitsFrom != 0 && p.PID >= w.WaitsFrom && p.arrived() > w.Ticket && w.Spec.Priority >= p.Priority && (!w.Own || w.Spec.Tenant == p.Tenant)
}

// arrived orders vNodes by when they came.
func (p *Process) arrived() wire.PID {
	if p.Ticket != 0 {
		return p.Ticket
	}
	return p.PID
}

// pass counts a process that is placed, and uncount takes it back when that came to nothing.
func (s *State) pass(p *Process) {
	for i := range s.queue {
		if w := &s.queue[i]; w.passes(p) {
			w.Passed++
		}
	}
}

func (s *State) uncount(p *Process) {
	for i := range s.queue {
		if w := &s.queue[i]; w.passes(p) {
			w.Passed--
		}
	}
}

// held says, as an error of wire.KindNoRoom, what keeps a vNode whatever room there is: its tenant's quota, or one that waits
// and may not be passed any more; nil if nothing does. Own tells that it is a matter of its tenant alone.
func (s *State) held(spec *admission.VNodeSpec, arrived wire.PID) (own bool, err error) {
	if err := s.settings.Quota(spec.Tenant).Refuses(spec.Tenant, s.usage[spec.Tenant], spec.Wants()); err != nil {
		return true, err
	}
	own = true
	for i := range s.queue {
		w := &s.queue[i]
		limit := uint32(MaxBypass)
		if w.Spec.IfFull == admission.Preempt {
			limit = 0
		}
		if w.WaitsFrom == 0 || w.Ticket >= arrived || w.Spec.Priority < spec.Priority || w.Passed < limit || w.Own && w.Spec.Tenant != spec.Tenant {
			continue
		}
		if err == nil {
			err = wire.Errorf(wire.KindNoRoom, "queue: vNode %q of priority %d waits for room since before and was passed %d times, the most that may be", w.Spec.Name, w.Spec.Priority, w.Passed)
		}
		own = own && w.Own
	}
	return own, err
}

// leave takes a vNode out of the queue. Whoever waits behind it may have its turn.
func (s *State) leave(i int, o Settled) {
	w := s.queue[i]
	if w.WaitsFrom != 0 {
		s.counts.WaitedMS += uint64(s.waited(&w))
	}
	o.Ticket = w.Ticket
	s.settled = append(s.settled, o)
	if len(s.settled) > MaxRefused {
		s.settled = slices.Delete(s.settled, 0, 1)
	}
	s.queue = slices.Delete(s.queue, i, i+1)
	s.room++
}

// refuse takes a vNode out of the queue for good.
func (s *State) refuse(i int, kind events.Kind, err error, cmd Command) {
	w := s.queue[i]
	switch {
	case kind == events.Expired:
		s.counts.Expired++
	case w.WaitsFrom != 0:
		s.counts.Cancelled++
	}
	s.tellRefused(kind, w.Ticket, w.Spec, err, cmd)
	s.leave(i, Settled{Kind: wire.KindOf(err), Text: membership.TextOf(err)})
}

// tellRefused tells that a vNode was refused.
func (s *State) tellRefused(kind events.Kind, pid wire.PID, spec admission.VNodeSpec, err error, cmd Command) {
	text := membership.TextOf(err)
	s.counts.refuse(text)
	s.events.Append(events.Event{MS: cmd.Stamp.NowMS, Kind: kind, PID: pid, Reason: fmt.Sprintf("vNode %q: %s", spec.Name, text)})
}

// look refuses those whose deadline is over and tries those for which there may be room, in order.
func (s *State) look(cmd Command) Result {
	now := s.clockMS
	for i := 0; i < len(s.queue); i++ {
		w := &s.queue[i]
		if w.Attempt == 0 && now >= w.UntilMS {
			err := wire.Errorf(wire.KindNoRoom, "waited %d ms, its deadline: %s", s.waited(w), w.Text)
			s.refuse(i, events.Expired, err, cmd)
			i--
		}
	}
	var res Result
	for i := 0; i < len(s.queue) && len(res.Tried) < MaxTries; i++ {
		if s.due(&s.queue[i], now) {
			if p, ok := s.try(i, cmd); ok {
				res.Tried = append(res.Tried, p.PID)
			}
		}
	}
	return res
}

// due reports whether there may be room for a vNode that waits.
func (s *State) due(w *Waiting, nowMS int64) bool {
	return w.Attempt == 0 && (w.Tried != s.room || nowMS-w.TriedMS >= w.PauseMS) && !(w.Evicted && s.evicting(w.Ticket))
}

// evicting reports whether vNodes that are ended for a ticket are still there.
func (s *State) evicting(ticket wire.PID) bool {
	return slices.ContainsFunc(s.processes, func(p Process) bool { return p.By == ticket && ticket != 0 })
}

// waited is for how long a vNode has waited, in ms.
func (s *State) waited(w *Waiting) int64 {
	return max(0, s.clockMS-w.UntilMS+int64(w.Spec.DeadlineMS))
}

// ClockMS is the time of the last command, by the clock of the managers.
func (s *State) ClockMS() int64 { return s.clockMS }

// Due reports whether a look at the queue at a time of that clock would do anything.
func (s *State) Due(nowMS int64) bool {
	for i := range s.queue {
		if w := &s.queue[i]; w.Attempt == 0 && nowMS >= w.UntilMS || s.due(w, nowMS) {
			return true
		}
	}
	return false
}

// committed and aborted tell the queue how the attempt of a process went; released, that a process gave back its room.
func (s *State) committed(p *Process, nowMS int64) {
	i, ok := s.waiting(p.Ticket)
	if !ok || s.queue[i].Attempt != p.PID {
		return
	}
	w := &s.queue[i]
	s.events.Append(w.Placed)
	if w.WaitsFrom != 0 {
		s.counts.Dequeued++
		s.events.Append(events.Event{MS: nowMS, Kind: events.Dequeued, PID: w.Ticket, By: p.PID, Node: p.Node})
	}
	s.leave(i, Settled{PID: p.PID})
}

func (s *State) aborted(p *Process, cmd Command) {
	i, ok := s.waiting(p.Ticket)
	if !ok || s.queue[i].Attempt != p.PID {
		return
	}
	w := &s.queue[i]
	w.Attempt, w.Placed = 0, events.Event{}
	s.setOwn(w, false) // it was no matter of its quota
	if p.Never || p.Kind != wire.KindNoRoom && p.Kind != wire.KindUnavailable {
		s.refuse(i, events.Refused, &wire.Error{Kind: p.Kind, Text: p.Text}, cmd)
		return
	}
	s.short(w, p.Kind, p.Text, cmd.Stamp.NowMS)
}

// cancel ends the wait of a ticket, or tells which process it became; known is false if nothing is known of it.
func (s *State) cancel(ticket wire.PID, cmd Command) (pid wire.PID, known bool, err error) {
	if i, ok := s.waiting(ticket); ok {
		if s.queue[i].Attempt != 0 {
			return 0, true, wire.Errorf(wire.KindBusy, "ticket %d is being admitted as process %d: wait for its answer", ticket, s.queue[i].Attempt)
		}
		s.refuse(i, events.Released, wire.Errorf(wire.KindFailed, "ticket %d was released while it waited", ticket), cmd)
		return 0, true, nil
	}
	for i := range s.processes {
		if s.processes[i].Ticket == ticket && ticket != 0 {
			return s.processes[i].PID, true, nil
		}
	}
	return 0, false, nil
}

// configure replaces the settings.
func (s *State) configure(settings admission.Settings, cmd Command) Result {
	if err := settings.Check(); err != nil {
		return failed(err)
	}
	settings = settings.Sorted()
	if settings.Equal(&s.settings) {
		return Result{}
	}
	s.settings = settings
	s.fill()
	s.set.Index()
	s.room++
	text := fmt.Sprintf("threads per core %d, 0 is no bound", settings.ThreadsPerCore)
	for _, q := range settings.Quotas {
		text += fmt.Sprintf("; tenant %q: threads %d, excache_lines %d, memory_bytes %d, storage_bytes %d, vnodes %d", q.Tenant, q.Threads, q.ExCacheLines, q.MemoryBytes, q.StorageBytes, q.VNodes)
	}
	s.events.Append(events.Event{MS: cmd.Stamp.NowMS, Kind: events.QuotaSet, Reason: text})
	return Result{}
}

// Settings returns the settings. The caller changes nothing in them.
func (s *State) Settings() admission.Settings { return s.settings }

// Queue returns the vNodes that wait or whose first attempt is under way, in the order of their turns; ticket selects one,
// 0 all.
func (s *State) Queue(ticket wire.PID) []Waiting {
	out := []Waiting{} // never nil: equal states give equal snapshots
	for _, w := range s.queue {
		if ticket == 0 || w.Ticket == ticket {
			out = append(out, w)
		}
	}
	return out
}

// Counts returns what was decided, and how many vNodes wait now.
func (s *State) Counts() (c Counts, waiting int) {
	for i := range s.queue {
		if s.queue[i].WaitsFrom != 0 {
			waiting++
		}
	}
	return s.counts, waiting
}

// Ticket is what is known of a vNode that had to wait.
type Ticket struct {
	Ticket  wire.PID
	Waiting bool // it waits, or is being admitted
	Ahead   uint32
	Kind    wire.Kind // why it was refused, or does not fit yet
	Text    string
	VNode   admission.Placement // if it runs
}

// Ticket returns what is known of a ticket. Without anything known of it Kind is wire.KindNotFound.
func (s *State) Ticket(ticket wire.PID) Ticket {
	if i, ok := s.waiting(ticket); ok {
		w := s.queue[i]
		return Ticket{Ticket: ticket, Waiting: true, Ahead: uint32(i), Kind: w.Kind, Text: w.Text}
	}
	pid := wire.PID(0)
	if i := slices.IndexFunc(s.settled, func(o Settled) bool { return o.Ticket == ticket }); i >= 0 {
		o := s.settled[i]
		if o.PID == 0 {
			return Ticket{Ticket: ticket, Kind: o.Kind, Text: o.Text}
		}
		pid = o.PID
	} else if j := slices.IndexFunc(s.processes, func(p Process) bool { return p.Ticket == ticket && ticket != 0 }); j >= 0 {
		pid = s.processes[j].PID
	}
	if pid == 0 {
		return Ticket{Ticket: ticket, Kind: wire.KindNotFound, Text: fmt.Sprintf("ticket %d is not known, or ended so long ago that it is forgotten", ticket)}
	}
	i, ok := s.find(pid)
	switch {
	case ok && s.processes[i].Phase == admission.Running:
		return Ticket{Ticket: ticket, VNode: s.Placement(s.processes[i])}
	case ok && s.processes[i].Phase < admission.Running:
		return Ticket{Ticket: ticket, Waiting: true}
	}
	o := s.Outcome(pid)
	if o.Kind == wire.KindNone {
		o.Kind, o.Text = wire.KindFailed, fmt.Sprintf("process %d was released", pid)
	}
	return Ticket{Ticket: ticket, Kind: o.Kind, Text: o.Text}
}

// Wanted returns what a process that is being admitted from the queue wants.
func (s *State) Wanted(pid wire.PID) (admission.VNodeSpec, bool) {
	for i := range s.queue {
		if s.queue[i].Attempt == pid && pid != 0 {
			return s.queue[i].Spec, true
		}
	}
	return admission.VNodeSpec{}, false
}

// checkQueue returns the first broken rule of the queue and of what tenants use.
func (s *State) checkQueue() error {
	if len(s.queue) > MaxQueue || len(s.settled) > MaxRefused {
		return fmt.Errorf("gpm: %d vNodes wait and %d settled, at most %d and %d", len(s.queue), len(s.settled), MaxQueue, MaxRefused)
	}
	for i := range s.queue {
		w := &s.queue[i]
		switch {
		case i > 0 && byTurn(&s.queue[i-1], w) >= 0:
			return fmt.Errorf("gpm: ticket %d is out of turn", w.Ticket)
		case w.Ticket == 0 || w.Ticket >= s.nextPID || w.WaitsFrom > s.nextPID:
			return fmt.Errorf("gpm: ticket %d, which waits from %d, the next is %d", w.Ticket, w.WaitsFrom, s.nextPID)
		case w.Passed > MaxBypass || w.Passed > 0 && w.WaitsFrom == 0:
			return fmt.Errorf("gpm: ticket %d was passed %d times, at most %d", w.Ticket, w.Passed, MaxBypass)
		case w.Spec.Check() != nil || w.Spec.Complete().Tenant != w.Spec.Tenant || w.Spec.Priority == 0 || w.Spec.IfFull == admission.Refuse || len(w.Text) > maxTextBytes:
			return fmt.Errorf("gpm: ticket %d: spec %+v, text of %d bytes", w.Ticket, w.Spec, len(w.Text))
		case w.PauseMS < RetryMS || w.PauseMS > MaxRetryMS || (w.Attempt == 0) != (w.Placed.Kind == 0) || len(w.Placed.Candidates) > events.MaxCandidates:
			return fmt.Errorf("gpm: ticket %d is tried again after %d ms, want %d to %d; attempt %d, event %v", w.Ticket, w.PauseMS, RetryMS, MaxRetryMS, w.Attempt, w.Placed)
		case (w.WaitsFrom == 0) != (w.Told == 0):
			return fmt.Errorf("gpm: ticket %d waits from %d, told is %#x", w.Ticket, w.WaitsFrom, w.Told)
		case w.Attempt == 0 && w.WaitsFrom == 0:
			return fmt.Errorf("gpm: ticket %d neither waits nor is tried", w.Ticket)
		}
		passing := uint32(0)
		for j := range s.processes {
			if p := &s.processes[j]; p.Phase == admission.Intent && w.passes(p) {
				passing++
			}
		}
		if passing > w.Passed {
			return fmt.Errorf("gpm: ticket %d is being passed by %d, counts %d", w.Ticket, passing, w.Passed)
		}
		if w.Attempt != 0 {
			j, ok := s.find(w.Attempt)
			if !ok || s.processes[j].Ticket != w.Ticket || s.processes[j].Phase != admission.Intent && s.processes[j].Phase != admission.Leaving {
				return fmt.Errorf("gpm: ticket %d is tried as process %d, which is not being admitted for it", w.Ticket, w.Attempt)
			}
		}
	}
	usage := map[string]admission.Amount{}
	for i := range s.processes {
		p := &s.processes[i]
		if p.Tenant == "" || len(p.Tenant) > admission.MaxTenantBytes || p.Priority == 0 || p.Priority > admission.MaxPriority {
			return fmt.Errorf("gpm: process %d of tenant %q has priority %d", p.PID, p.Tenant, p.Priority)
		}
		if (p.Phase == admission.Evicting) && p.By == 0 {
			return fmt.Errorf("gpm: process %d is evicted for nobody", p.PID)
		}
		if w, ok := s.waiting(p.Ticket); ok && p.Ticket != 0 && s.queue[w].Attempt != p.PID {
			return fmt.Errorf("gpm: process %d is for ticket %d, which is tried as %d", p.PID, p.Ticket, s.queue[w].Attempt)
		}
		usage[p.Tenant] = usage[p.Tenant].Plus(p.takes())
	}
	for tenant, a := range s.usage {
		if a != usage[tenant] || a == (admission.Amount{}) {
			return fmt.Errorf("gpm: counts %+v of tenant %q, has %+v", a, tenant, usage[tenant])
		}
	}
	if len(usage) != len(s.usage) {
		return fmt.Errorf("gpm: counts %d tenants, has %d", len(s.usage), len(usage))
	}
	return s.settings.Check()
}

// takes returns what a process counts against its tenant's quota.
func (p *Process) takes() admission.Amount {
	return admission.Amount{Threads: uint64(p.Threads), ExCacheLines: p.ExCacheLines, MemoryBytes: p.MemoryBytes, StorageBytes: p.StorageBytes, VNodes: 1}
}

// charge and credit book what a process takes at its tenant.
func (s *State) charge(p *Process) { s.usage[p.Tenant] = s.usage[p.Tenant].Plus(p.takes()) }

func (s *State) credit(p *Process) {
	if left := s.usage[p.Tenant].Minus(p.takes()); left != (admission.Amount{}) {
		s.usage[p.Tenant] = left
	} else {
		delete(s.usage, p.Tenant)
	}
}
