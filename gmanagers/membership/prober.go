package membership

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"splitkernel/netlayer/wire"
)

const (
	// Witnesses is how many other components are asked about a silent one: one may be cut off from it too, and of three
	// in different racks all are only if the silent one is cut off from nearly everybody.
	Witnesses = 3
	// MaxSuspects bounds the silent components that are looked into at a time; others wait. When very many are silent, it is
	// rather the leader that is cut off.
	MaxSuspects = 64
	// DefaultProbe is the default of how long a probe may take: with the lease less than two seconds, so that a process that was
	// stopped is noticed by then. One that stands still for less, because its machine is busy, answers in time.
	DefaultProbe = 800 * time.Millisecond
	// MinProbe and MaxProbe bound it.
	MinProbe = 100 * time.Millisecond
	MaxProbe = wire.MaxProbeMS * time.Millisecond
	// probeSlack is how long the way to a witness and back may take beyond the probe.
	probeSlack = 150 * time.Millisecond
	// brokenPause is the pause between two rounds about a member whose connection ended and that nobody reached or refused for.
	brokenPause = 100 * time.Millisecond
	// refusals is how many must find that nobody listens before a round ends early: one alone may be in the wrong place.
	refusals = 2
	// maxTold bounds the answers that a reason repeats.
	maxTold = Witnesses + 1
	// maxToldBytes bounds each of them.
	maxToldBytes = 160
)

// Witness is somebody who can be asked to probe.
type Witness struct {
	ID   wire.NodeID
	Addr string
	Rack string
}

// ProbeKind says what a ProbeEffect asks for.
type ProbeKind uint8

// The effects of a Prober. Ask is answered by Answered; the others are to be proposed.
const (
	Ask        ProbeKind = 1 // have By probe Of; By.ID empty: probe it from here
	Suspect    ProbeKind = 2 // take down that Of is silent (NoteSilent)
	Reached    ProbeKind = 3 // take down that others reach Of (NoteProbed)
	HeardAgain ProbeKind = 4 // take down that Of is heard of again (NoteHeard)
	Declare    ProbeKind = 5 // declare Of dead, as a compare-and-set on its epoch
)

func (k ProbeKind) String() string {
	return [...]string{"?", "ask", "suspect", "reached", "heard_again", "declare"}[min(int(k), 5)]
}

// ProbeEffect is something that the caller of a Prober must do.
type ProbeEffect struct {
	Kind  ProbeKind
	Of    wire.Member
	By    Witness       // of Ask
	Round uint64        // of Ask: to be given back; of Declare: the round that decided
	Text  string        // who said what
	Death Death         // of Declare
	Since time.Duration // of Declare: the last sign that it lived
}

// Reason is what is taken down with the effect.
func (e *ProbeEffect) Reason() string {
	if e.Kind == Declare {
		return e.Death.String() + ": " + e.Text
	}
	return e.Text
}

// Note is what is taken down of a member for this effect; 0 if nothing is.
func (k ProbeKind) Note() Note {
	switch k {
	case Suspect:
		return NoteSilent
	case Reached:
		return NoteProbed
	case HeardAgain:
		return NoteHeard
	}
	return 0
}

// CheckProbe says why d cannot be the time of a probe. Key names the option in the error.
func CheckProbe(key string, d time.Duration) error {
	if d < MinProbe || d > MaxProbe {
		return fmt.Errorf("%s: %d, want %d to %d", key, d.Milliseconds(), MinProbe.Milliseconds(), MaxProbe.Milliseconds())
	}
	return nil
}

// QuestionTimeout is how long who asks a witness waits for its answer: the probe, and the way there and back.
func QuestionTimeout(probe time.Duration) time.Duration { return probe + probeSlack*2/3 }

// Patience is how long a Prober waits for answers: longer than who asks.
func Patience(probe time.Duration) time.Duration { return probe + probeSlack }

// Outlives is how long a component may be stopped, or cut off, without being declared dead: it was heard a heartbeat before at worst,
// and answers a probe that waits for it.
func Outlives(lease, probe time.Duration) time.Duration {
	return lease + probe - wire.HeartbeatMS*time.Millisecond
}

// ProbeAnswer is what became of an Ask.
type ProbeAnswer struct {
	Of       wire.NodeID
	By       wire.NodeID // empty: from here
	Round    uint64
	Answered bool // false: the witness did not answer, so it says nothing
	Alive    bool
	Refused  bool // nobody listens at its address
	Text     string
}

// inquiry is one member that may have ended.
type inquiry struct {
	of      wire.Member
	since   time.Duration // the last sign that it lived
	silent  bool          // not heard of within the lease
	broken  bool          // its connection ended
	again   bool          // it did while a round was under way
	round   uint64        // of the questions that are out; 0 between rounds
	next    time.Duration
	due     time.Duration // the round ends by then, whoever answered
	waits   []wire.NodeID // asked, not answered
	alone   bool          // nobody but the leader could be asked
	said    int           // other components that answered
	own     bool          // the leader's own probe has ended
	ownSaid bool          // and said something
	alive   bool          // somebody reached it in this round
	refused int           // how many found that nobody listens
	told    []string      // who said what, in the order of answers
	reached bool          // the last round found it alive
}

// Prober finds out, while its manager leads, whether members are dead that are silent, or whose connection has ended. Nobody dies of
// silence alone: a partition between one manager and a live component must not kill it. So the leader asks Witnesses others, and
// itself, to reach it. A silent one is declared dead when nobody who answers reaches it, if any other component answers, or if there
// is none; a witness that does not answer says nothing. Else it is asked again a lease later.
//
// The end of a connection is no death either, but a reason to ask at once. It is one if nobody listens at the address, which two of
// those who are asked must find, or all who answer: then the process has ended, and nobody need wait for its silence.
//
// Make one with NewProber for each term of leadership; it is not safe for concurrent use.
type Prober struct {
	lease    time.Duration
	patience time.Duration
	rounds   uint64
	open     []*inquiry // ascending by id
}

// NewProber returns a prober with the lease of its manager. An answer is awaited for patience, which is longer than a
// probe and the way to the witness and back take together.
func NewProber(lease, patience time.Duration) *Prober {
	return &Prober{lease: lease, patience: patience}
}

func (p *Prober) find(id wire.NodeID) (int, bool) {
	return slices.BinarySearchFunc(p.open, id, func(q *inquiry, id wire.NodeID) int { return cmp.Compare(q.of.ID, id) })
}

// Unreachable reports whether a member is silent, and others reach it.
func (p *Prober) Unreachable(m wire.Member) bool {
	i, ok := p.find(m.ID)
	return ok && p.open[i].of.Epoch == m.Epoch && p.open[i].reached
}

// Tick takes the members that may have ended and are not dead, ascending by id, and those that can be asked: live components
// of any role, or other managers if there are none. Call it when a connection ended, when a member becomes silent, and at Wake.
func (p *Prober) Tick(now time.Duration, doubts []Doubt, witnesses []Witness, out []ProbeEffect) []ProbeEffect {
	p.open = slices.DeleteFunc(p.open, func(q *inquiry) bool {
		i, ok := slices.BinarySearchFunc(doubts, q.of.ID, func(d Doubt, id wire.NodeID) int { return cmp.Compare(d.Member.ID, id) })
		if ok && doubts[i].Member.Epoch == q.of.Epoch && (doubts[i].Silent || !q.silent) {
			return false
		}
		if (!ok || doubts[i].Member.Epoch == q.of.Epoch) && q.reached {
			out = append(out, ProbeEffect{Kind: HeardAgain, Of: q.of})
		}
		return true
	})
	for _, d := range doubts {
		i, ok := p.find(d.Member.ID)
		if !ok {
			if len(p.open) >= MaxSuspects {
				continue
			}
			p.open = slices.Insert(p.open, i, &inquiry{of: d.Member, next: now})
		}
		q := p.open[i]
		if d.Silent && !q.silent {
			out = append(out, ProbeEffect{Kind: Suspect, Of: d.Member})
		}
		if ok && d.Broken && (!q.broken || d.Since > q.since) { // what was heard before says nothing of now
			q.next, q.again = now, q.round != 0
		}
		q.since, q.silent, q.broken = d.Since, d.Silent, d.Broken
	}
	for _, q := range p.open {
		switch {
		case q.round == 0 && now >= q.next:
			out = p.ask(now, q, witnesses, out)
		case q.round != 0 && now >= q.due:
			out = p.judge(now, q, out)
		}
	}
	return out
}

// Wake is when Tick has something to do although nothing happens; false if it has not.
func (p *Prober) Wake() (at time.Duration, ok bool) {
	for _, q := range p.open {
		t := q.next
		if q.round != 0 {
			t = q.due
		}
		if !ok || t < at {
			at, ok = t, true
		}
	}
	return at, ok
}

// ask begins a round.
func (p *Prober) ask(now time.Duration, q *inquiry, witnesses []Witness, out []ProbeEffect) []ProbeEffect {
	p.rounds++
	*q = inquiry{of: q.of, since: q.since, silent: q.silent, broken: q.broken, round: p.rounds, due: now + p.patience, reached: q.reached}
	chosen := choose(q.of, p.rounds, witnesses)
	q.alone = len(chosen) == 0
	out = append(out, ProbeEffect{Kind: Ask, Of: q.of, Round: q.round})
	for _, w := range chosen {
		q.waits = append(q.waits, w.ID)
		out = append(out, ProbeEffect{Kind: Ask, Of: q.of, By: w, Round: q.round})
	}
	return out
}

// choose returns at most Witnesses of those who can be asked about a member, as many racks as there are first, and others in
// another round.
func choose(of wire.Member, round uint64, witnesses []Witness) []Witness {
	type drawn struct {
		Witness
		hash uint64
		turn int // how many of its rack come before it
	}
	pool := make([]drawn, 0, len(witnesses))
	for _, w := range witnesses {
		if w.ID == of.ID {
			continue
		}
		h := fnv.New64a()
		fmt.Fprintf(h, "%d/%s/%s", round, of.ID, w.ID) // what differs most comes first: it is mixed best
		pool = append(pool, drawn{Witness: w, hash: h.Sum64()})
	}
	order := func(a, b drawn) int {
		return cmp.Or(cmp.Compare(a.turn, b.turn), cmp.Compare(a.hash, b.hash), cmp.Compare(a.ID, b.ID))
	}
	slices.SortFunc(pool, order)
	racks := map[string]int{}
	for i := range pool {
		pool[i].turn = racks[pool[i].Rack]
		racks[pool[i].Rack]++
	}
	slices.SortFunc(pool, order)
	var out []Witness
	for _, d := range pool[:min(len(pool), Witnesses)] {
		out = append(out, d.Witness)
	}
	return out
}

// Answered takes what became of an Ask. Answers of a round that is over are ignored.
func (p *Prober) Answered(now time.Duration, a ProbeAnswer, out []ProbeEffect) []ProbeEffect {
	i, ok := p.find(a.Of)
	if !ok || p.open[i].round == 0 || p.open[i].round != a.Round {
		return out
	}
	q := p.open[i]
	who := "the leader"
	if a.By == "" {
		if q.own {
			return out
		}
		q.own, q.ownSaid = true, a.Answered
	} else {
		j := slices.Index(q.waits, a.By)
		if j < 0 {
			return out
		}
		q.waits = slices.Delete(q.waits, j, j+1)
		who = string(a.By)
		if a.Answered {
			q.said++
		}
	}
	q.alive = q.alive || a.Answered && a.Alive
	if a.Answered && a.Refused && !a.Alive {
		q.refused++
	}
	if len(q.told) < maxTold {
		q.told = append(q.told, who+" "+a.words())
	}
	if q.own && len(q.waits) == 0 || q.refused >= refusals {
		return p.judge(now, q, out)
	}
	return out
}

func (a ProbeAnswer) words() string {
	text := a.Text
	if len(text) > maxToldBytes {
		text = text[:maxToldBytes]
	}
	switch {
	case !a.Answered:
		return "does not tell: " + text
	case a.Alive:
		return "reaches it"
	}
	return "does not reach it: " + text
}

// judge ends a round.
func (p *Prober) judge(now time.Duration, q *inquiry, out []ProbeEffect) []ProbeEffect {
	text, round, answered := strings.Join(q.told, "; "), q.round, q.said > 0 || q.alone && q.ownSaid
	if q.round, q.next = 0, now+p.lease; q.again {
		q.next, q.again = now, false
	}
	switch {
	case q.alive:
		if q.silent && !q.reached { // once, not at every round
			out = append(out, ProbeEffect{Kind: Reached, Of: q.of, Text: text})
		}
		q.reached = q.silent
	case q.refused >= refusals, answered && (q.silent || q.refused > 0):
		// It stays in the caller's list until that is carried out; if the proposal is lost there is another round.
		q.reached = false
		d := Death{Cause: CauseSilence, Detect: now - q.since}
		if q.refused > 0 {
			d.Cause = CauseRefused
		}
		out = append(out, ProbeEffect{Kind: Declare, Of: q.of, Round: round, Text: text, Death: d, Since: q.since})
	default: // nobody could tell: the question stays open
		if q.reached = false; !q.silent {
			q.next = now + brokenPause
		}
	}
	return out
}

// CheckInvariants returns the first broken rule.
func (p *Prober) CheckInvariants() error {
	if len(p.open) > MaxSuspects {
		return fmt.Errorf("membership: %d silent members are looked into, at most %d", len(p.open), MaxSuspects)
	}
	for i, q := range p.open {
		switch {
		case i > 0 && p.open[i-1].of.ID >= q.of.ID:
			return fmt.Errorf("membership: the inquiry into %q is out of order", q.of.ID)
		case q.round > p.rounds || len(q.waits) > Witnesses || len(q.told) > maxTold || q.refused > maxTold:
			return fmt.Errorf("membership: the inquiry into %q: round %d of %d, %d asked, %d answers", q.of.ID, q.round, p.rounds, len(q.waits), len(q.told))
		}
	}
	return nil
}
