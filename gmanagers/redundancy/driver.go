package redundancy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"splitkernel/netlayer/wire"
)

const (
	// FirstPoll is the time until it is asked how far a part is, after its order was taken. Each further pause is twice as long, up to
	// PollPause.
	FirstPoll = 5 * time.Millisecond
	// PollPause is the longest time between two such questions, while at most MaxCalls parts are listed; with more it grows by pollShare
	// for each, so that asking never fills the network.
	PollPause = 200 * time.Millisecond
	pollShare = 250 * time.Microsecond
	// ProposePause is how long a proposal is waited for before it is repeated: longer than an election.
	ProposePause = time.Second
	// ProgressPause is how often the progress of a process is proposed, at most.
	ProgressPause = 500 * time.Millisecond
	// TendPause is the first pause before the books look again for holders of a part, MaxTendPause the longest, to which it doubles.
	TendPause    = time.Second
	MaxTendPause = 8 * time.Second
	// MaxPause is the longest time between two calls of a part, to which it doubles while they fail. Processes wait for what is recovered,
	// so it is short.
	MaxPause = time.Second
	// CallPatience is how long an answer is waited for. The caller's deadline is shorter, so this only ends a call that the caller lost.
	CallPatience = 20 * time.Second
	// Patience is after how long without progress a recovery says why.
	Patience = 10 * time.Second
	// MaxCalls bounds the calls and proposals under way.
	MaxCalls = 64
)

// EffectKind says what an Effect asks for.
type EffectKind uint8

// The effects. Both are calls that are answered.
const (
	// Order sends what Listed.Stage and Part.Home say to Listed.Node: region_recover, region_config, home_recover or home_config.
	Order EffectKind = 1
	// Propose proposes Change to the books; an answer without error says that it was carried out, not more.
	Propose EffectKind = 2
)

var effectNames = []string{"none", "order", "propose"}

func (k EffectKind) String() string { return effectNames[min(int(k), len(effectNames)-1)] }

// Effect is something that the caller must do. Fields that its kind does not name are zero.
type Effect struct {
	Kind   EffectKind
	Call   uint64 // to be given back with the answer
	Part   Part
	Listed Listed // of Order
	Change Change // of Propose
}

// tracked is a part of the list.
type tracked struct {
	Listed
	change *Change       // to be proposed before anything else is asked
	next   time.Duration // when it is due
	fails  int           // calls in a row
	polls  int           // since it was last listed otherwise
	call   uint64        // under way; 0 if none
	until  time.Duration // call is given up
	done   uint64        // as reported last
	known  uint64
	fenced time.Duration // since when everybody who has a copy is told, while it recovers; 0: not yet
	text   string
}

// process is what is told of the progress of a process.
type process struct {
	pid         wire.PID
	next        time.Duration // not before
	done, known uint64        // as proposed last
	call        uint64        // the proposal under way; 0 if none
	until       time.Duration
}

// Stats counts what a Driver did.
type Stats struct {
	Calls  uint64 // effects
	Failed uint64 // calls answered with an error
	Late   uint64 // answers to calls that were given up
	Lost   uint64 // calls that were never answered
}

// Driver looks after the parts that are not settled while one manager leads. Make one with New; it is not safe for concurrent use.
type Driver struct {
	parts     []*tracked // ascending
	processes []*process // ascending by pid: those of parts
	calls     int        // under way
	numbers   uint64     // given to calls
	stats     Stats
}

// New returns a Driver that knows of nothing.
func New() *Driver { return &Driver{} }

// Stats returns the counts since New.
func (d *Driver) Stats() Stats { return d.stats }

// Calls returns how many calls and proposals are under way.
func (d *Driver) Calls() int { return d.calls }

func (d *Driver) find(p Part) (int, bool) {
	return slices.BinarySearchFunc(d.parts, p, func(t *tracked, p Part) int { return t.Part.compare(p) })
}

func (d *Driver) process(pid wire.PID) (int, bool) {
	return slices.BinarySearchFunc(d.processes, pid, func(p *process, pid wire.PID) int { return cmp.Compare(p.pid, pid) })
}

// Sync takes the list as it is replicated now, in any order, each part once.
func (d *Driver) Sync(now time.Duration, list []Listed, out []Effect) []Effect {
	parts := make([]*tracked, 0, len(list))
	for _, l := range list {
		t := &tracked{Listed: l, next: now}
		if i, ok := d.find(l.Part); ok {
			t = d.parts[i]
			if !t.same(&l) { // whatever is still answered is void
				t.change, t.call, t.fails, t.polls, t.next = nil, 0, 0, 0, now
				if t.Epoch != l.Epoch {
					t.fenced = 0
				}
			}
			t.Listed = l
		}
		if l.Stage == Tend && t.change == nil && t.call == 0 {
			t.change = &Change{Verb: Tended, Part: l.Part}
		}
		parts = append(parts, t)
	}
	slices.SortFunc(parts, func(a, b *tracked) int { return a.Part.compare(b.Part) })
	d.parts = parts
	var processes []*process
	for _, t := range parts {
		if n := len(processes); n > 0 && processes[n-1].pid == t.PID {
			continue
		}
		p := &process{pid: t.PID, next: now + ProgressPause}
		if i, ok := d.process(t.PID); ok {
			p = d.processes[i]
		}
		processes = append(processes, p)
	}
	d.processes = processes
	d.calls = 0 // those of what left the list are forgotten
	for _, t := range d.parts {
		if t.call != 0 {
			d.calls++
		}
	}
	for _, p := range d.processes {
		if p.call != 0 {
			d.calls++
		}
	}
	return d.run(now, out)
}

// told sums up what the parts of a process report.
func (d *Driver) told(pid wire.PID) (done, known uint64) {
	i, _ := d.find(Part{PID: pid, Home: true})
	for ; i < len(d.parts) && d.parts[i].PID == pid; i++ {
		done, known = done+d.parts[i].done, known+d.parts[i].known
	}
	return done, known
}

// news reports whether a process has progress that is to be proposed now.
func (d *Driver) news(now time.Duration, p *process) bool {
	if p.call != 0 || p.next > now {
		return false
	}
	done, known := d.told(p.pid)
	return done != p.done || known != p.known
}

// Next returns when Tick is due; false while there is nothing to do before the next event.
func (d *Driver) Next() (next time.Duration, ok bool) {
	full := d.calls >= MaxCalls
	due := func(at time.Duration) {
		if !ok || at < next {
			next, ok = at, true
		}
	}
	for _, t := range d.parts {
		switch {
		case t.call != 0:
			due(t.until)
		case !full: // else it waits for an answer
			due(t.next)
		}
	}
	for _, p := range d.processes {
		switch {
		case p.call != 0:
			due(p.until)
		case !full && d.news(p.next, p):
			due(p.next)
		}
	}
	return next, ok
}

// Tick does what is due.
func (d *Driver) Tick(now time.Duration, out []Effect) []Effect {
	for _, t := range d.parts {
		if t.call != 0 && now >= t.until {
			d.stats.Lost++
			t.call = 0
			d.calls--
			t.again(now)
		}
	}
	for _, p := range d.processes {
		if p.call != 0 && now >= p.until {
			d.stats.Lost++
			p.call, p.next = 0, now+ProposePause
			d.calls--
		}
	}
	return d.run(now, out)
}

// again waits longer with every failure.
func (t *tracked) again(now time.Duration) {
	t.next = now + min(MaxPause, FirstPoll<<min(t.fails, 10))
	t.fails++
}

// pause is how long a part is left alone that went on.
func (d *Driver) pause(t *tracked) time.Duration {
	longest := PollPause + pollShare*time.Duration(max(0, len(d.parts)-MaxCalls))
	return min(longest, FirstPoll<<min(t.polls, 12))
}

// run calls what is due, the most urgent first and of these the longest due, as far as MaxCalls allows.
func (d *Driver) run(now time.Duration, out []Effect) []Effect {
	if d.calls >= MaxCalls {
		return out
	}
	var due []*tracked // stays ascending among equals
	for _, t := range d.parts {
		if t.call == 0 && t.next <= now {
			due = append(due, t)
		}
	}
	slices.SortStableFunc(due, func(a, b *tracked) int {
		return cmp.Or(cmp.Compare(a.urgency(), b.urgency()), cmp.Compare(a.next, b.next))
	})
	for _, t := range due[:min(len(due), MaxCalls-d.calls)] {
		t.call, t.until = d.begin(), now+CallPatience
		e := Effect{Kind: Order, Call: t.call, Part: t.Part}
		if t.change != nil {
			e.Kind, e.Change = Propose, *t.change
		} else {
			e.Listed = t.Listed
		}
		out = append(out, e)
	}
	for _, p := range d.processes {
		if d.calls >= MaxCalls {
			break
		}
		if !d.news(now, p) {
			continue
		}
		p.call, p.until = d.begin(), now+CallPatience
		p.done, p.known = d.told(p.pid)
		part := Part{PID: p.pid, Home: true}
		out = append(out, Effect{Kind: Propose, Call: p.call, Part: part, Change: Change{Verb: Progress, Part: part, Done: p.done, Known: p.known}})
	}
	return out
}

// begin gives a call its number.
func (d *Driver) begin() uint64 {
	d.numbers++
	d.calls++
	d.stats.Calls++
	return d.numbers
}

// urgency orders what is due: homes before vRegions, for these wait for them, and recoveries before all that nobody waits for.
func (t *tracked) urgency() int {
	u := 2 * int(t.Stage)
	if t.Home {
		u--
	}
	return u
}

// Answered takes the answer to an effect. Report is that of an Order.
func (d *Driver) Answered(now time.Duration, part Part, call uint64, rep Report, err error, out []Effect) []Effect {
	if i, ok := d.find(part); ok && call != 0 && d.parts[i].call == call {
		t := d.parts[i]
		t.call = 0
		d.calls--
		d.heard(now, t, rep, err)
	} else if i, ok := d.process(part.PID); ok && call != 0 && d.processes[i].call == call {
		p := d.processes[i]
		p.call, p.next = 0, now+ProgressPause
		d.calls--
		if err != nil { // told again, if it is still news
			p.done, p.known = 0, 0
		}
	} else {
		d.stats.Late++
	}
	return d.run(now, out)
}

// heard takes the answer of a part that waited for it.
func (d *Driver) heard(now time.Duration, t *tracked, rep Report, err error) {
	switch {
	case t.change == nil && t.Home && t.Stage == Configure && (wire.KindOf(err) == wire.KindNotFound || wire.KindOf(err) == wire.KindNotOwner):
		c := &Change{Verb: Configured, Part: t.Part, Epoch: t.Epoch, Config: t.Config, Absent: true}
		for _, h := range t.Holders {
			c.InSync = append(c.InSync, h.Node)
		}
		t.change, t.next = c, now // the books may know better; then it is asked again
		return
	case err != nil:
		d.stats.Failed++
		t.text = cut(err.Error())
		t.again(now)
		return
	case t.change != nil && t.change.Verb == Tended: // tried again until the list shows it, ever more seldom
		t.next, t.polls, t.fails = now+min(MaxTendPause, TendPause<<min(t.polls, 10)), t.polls+1, 0
		return
	case t.change != nil: // the list will show it
		t.change, t.fails, t.next = nil, 0, now+ProposePause
		return
	}
	t.done, t.known, t.text, t.fails = rep.Done, max(rep.Known, rep.Done), cut(rep.Text), 0
	if t.Stage == Recover && rep.State > wire.RecoverFencing && t.fenced == 0 {
		t.fenced = now
	}
	if c := t.outcome(rep); c != nil {
		if c.Verb == Served || c.Verb == Recovered {
			c.FencedMS = uint64((now - t.fenced).Milliseconds())
		}
		t.change, t.next = c, now
		return
	}
	t.next = now + d.pause(t)
	t.polls++
}

// outcome returns what a report has the books know, nil if nothing.
func (t *tracked) outcome(rep Report) *Change {
	c := &Change{Part: t.Part, Epoch: t.Epoch}
	switch {
	case t.Stage == Recover && rep.State == wire.RecoverDone:
		c.Verb, c.Lost, c.LostPages = Recovered, rep.Lost, rep.LostPages[:min(len(rep.LostPages), wire.MaxLostNamed)]
	case t.Stage == Recover && rep.State == wire.RecoverFailed:
		c.Verb, c.Text = Failed, cut(rep.Text)
	case t.Stage == Recover && rep.State == wire.RecoverServing && !t.Served:
		c.Verb = Served
	case t.Stage == Configure && rep.Config == t.Config: // of an older one, or of one that the list will show, nothing follows
		c.Verb, c.Config = Configured, t.Config
		for _, h := range t.Holders {
			if h.Filling && slices.Contains(rep.InSync, h.Node) && !slices.Contains(c.InSync, h.Node) {
				c.InSync = append(c.InSync, h.Node)
			}
		}
		if t.Known && len(c.InSync) == 0 {
			return nil
		}
	default:
		return nil
	}
	return c
}

func cut(s string) string {
	if len(s) > MaxText {
		return strings.ToValidUTF8(s[:MaxText], "")
	}
	return s
}

// CheckInvariants returns the first broken rule.
func (d *Driver) CheckInvariants() error {
	calls := 0
	for i, t := range d.parts {
		switch {
		case i > 0 && d.parts[i-1].Part.compare(t.Part) >= 0:
			return fmt.Errorf("redundancy: %v is out of order", t.Part)
		case t.Stage < Recover || t.Stage > Tend:
			return fmt.Errorf("redundancy: %v is in stage %d", t.Part, t.Stage)
		case t.call > d.numbers:
			return fmt.Errorf("redundancy: %v has call %d of %d", t.Part, t.call, d.numbers)
		case t.change != nil && (t.change.Part != t.Part || t.change.Verb != Tended && t.change.Epoch != t.Epoch):
			return fmt.Errorf("redundancy: %v is to be told %+v", t.Part, *t.change)
		}
		if t.call != 0 {
			calls++
		}
	}
	for i, p := range d.processes {
		if j, ok := d.find(Part{PID: p.pid, Home: true}); !ok && (j == len(d.parts) || d.parts[j].PID != p.pid) || i > 0 && d.processes[i-1].pid >= p.pid {
			return fmt.Errorf("redundancy: process %d is out of order, or nothing of it is listed", p.pid)
		}
		if p.call != 0 {
			calls++
		}
	}
	if calls != d.calls || calls > MaxCalls {
		return fmt.Errorf("redundancy: %d calls under way, %d counted, at most %d", calls, d.calls, MaxCalls)
	}
	return nil
}
