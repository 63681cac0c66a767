package membership

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"splitkernel/netlayer/canary"
	"splitkernel/netlayer/wire"
)

// MaxTombstones bounds the removed members whose last epoch is remembered by name. Beyond it the one removed first is
// forgotten, and its epoch is kept as the floor of every id that registers for the first time.
const MaxTombstones = 1024

// State is what the managers have decided about a member.
type State uint8

// The states. Numbers are wire numbers.
const (
	Active   State = 1
	Draining State = 2 // chosen for nothing; it serves what it has
	Dead     State = 3 // declared dead: what it held under its epoch is lost
)

// stateNames are the names of State, by number.
var stateNames = [...]string{"none", "active", "draining", "dead"}

func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// MarshalJSON gives the name.
func (s State) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// UnmarshalJSON takes a name.
func (s *State) UnmarshalJSON(b []byte) error {
	var name string
	if err := json.Unmarshal(b, &name); err != nil {
		return err
	}
	i := slices.Index(stateNames[:], name)
	if i < 0 {
		return fmt.Errorf("state %q of a member, want one of %v", name, stateNames[1:])
	}
	*s = State(i)
	return nil
}

// Action is what people want done with a member.
type Action uint8

// The actions. Numbers are wire numbers.
const (
	Drain   Action = 1
	Undrain Action = 2
	Remove  Action = 3
)

func (a Action) String() string {
	switch a {
	case Drain:
		return "drain"
	case Undrain:
		return "undrain"
	case Remove:
		return "remove"
	}
	return fmt.Sprintf("action(%d)", uint8(a))
}

// Note is what a leader saw of a member and takes down as an event.
type Note uint8

// The notes. Numbers are wire numbers.
const (
	NoteSilent Note = 1 // not heard of within its lease
	NoteProbed Note = 2 // others were asked; the text says what they saw
	NoteHeard  Note = 3 // heard of again
	NoteFenced Note = 4 // its epoch is over; the text says how long that took (FenceText)
)

// CheckNote says why a note of m, by id and epoch, cannot be taken down.
func (t *Table) CheckNote(m wire.Member, n Note) error {
	i, ok := t.find(m.ID)
	switch {
	case !ok:
		return t.unknown(m.ID)
	case n < NoteSilent || n > NoteFenced:
		return wire.Errorf(wire.KindBadRequest, "note %d of %s, want 1 to 4", n, m.ID)
	case t.members[i].Epoch != m.Epoch:
		return wire.Errorf(wire.KindStale, "%s is registered under epoch %d, not %d", m.ID, t.members[i].Epoch, m.Epoch)
	}
	return nil
}

// Entry is a member and what was decided about it.
type Entry struct {
	Member wire.Member
	// Turn counts the decisions about members of this manager. It is that of the last one about this member, its
	// registration included, so that whoever acted on an older one can be told.
	Turn  uint64
	Drain bool // also while it is dead: it drains again when it has rejoined
	Dead  bool
	// Silent and Traffic are what the last stamp that told of it said (Live). Whoever registers is heard of.
	Silent  bool
	Traffic uint64
}

// State returns the state of the entry.
func (e *Entry) State() State {
	switch {
	case e.Dead:
		return Dead
	case e.Drain:
		return Draining
	}
	return Active
}

// Tombstone is what is left of a removed member.
type Tombstone struct {
	ID    wire.NodeID
	Epoch wire.Epoch // its last
	Turn  uint64     // of its removal
}

// Saved is a table in a snapshot.
type Saved struct {
	Entries []Entry // ascending by id
	Gone    []Tombstone
	Turn    uint64     // the last one taken
	Floor   wire.Epoch // no id that is not known gets an epoch up to this one
}

// mark is what an Entry has beside its member.
type mark struct {
	turn    uint64
	drain   bool
	dead    bool
	silent  bool
	traffic uint64
}

func (t *Table) entry(i int) Entry {
	k := t.marks[i]
	return Entry{Member: t.members[i], Turn: k.turn, Drain: k.drain, Dead: k.dead, Silent: k.silent, Traffic: k.traffic}
}

// Placeable reports whether member i of View may be chosen for something new when it is heard of.
func (t *Table) Placeable(i int) bool { return !t.marks[i].drain && !t.marks[i].dead }

// Heard reports whether member i of View is heard of, and the traffic that it reported, as stamped last.
func (t *Table) Heard(i int) (traffic uint64, ok bool) {
	return t.marks[i].traffic, !t.marks[i].silent
}

// Find returns the position in View of the member of an id.
func (t *Table) Find(id wire.NodeID) (int, bool) { return t.find(id) }

// See takes over what a stamp tells of members; what it says of an epoch that is over counts for nothing. Changed is called
// for each member that is another candidate now.
func (t *Table) See(live []Live, changed func(id wire.NodeID)) {
	for _, l := range live {
		i, ok := t.find(l.ID)
		if !ok || t.members[i].Epoch != l.Epoch {
			continue
		}
		if k := &t.marks[i]; k.silent != l.Silent || k.traffic != l.Traffic {
			k.silent, k.traffic = l.Silent, l.Traffic
			changed(l.ID)
		}
	}
}

// StateAt returns the state of member i of View.
func (t *Table) StateAt(i int) State {
	e := t.entry(i)
	return e.State()
}

// Entry returns the entry of an id.
func (t *Table) Entry(id wire.NodeID) (Entry, bool) {
	i, ok := t.find(id)
	if !ok {
		return Entry{}, false
	}
	return t.entry(i), true
}

// Entries returns the entries, ascending by id; never nil.
func (t *Table) Entries() []Entry {
	out := make([]Entry, len(t.members))
	for i := range out {
		out[i] = t.entry(i)
	}
	return out
}

// Gone returns the removed members that are remembered, the one removed first before the others; never nil.
func (t *Table) Gone() []Tombstone { return append([]Tombstone{}, t.gone...) }

// Save returns the table for a snapshot.
func (t *Table) Save() Saved {
	return Saved{Entries: t.Entries(), Gone: t.Gone(), Turn: t.turn, Floor: t.floor}
}

// Load makes the table of a snapshot and checks it. It keeps the slices.
func Load(role wire.Role, v Saved) (*Table, error) {
	t := &Table{role: role, gone: v.Gone, turn: v.Turn, floor: v.Floor}
	for _, e := range v.Entries {
		t.members = append(t.members, e.Member)
		t.marks = append(t.marks, mark{e.Turn, e.Drain, e.Dead, e.Silent, e.Traffic})
	}
	return t, t.CheckInvariants()
}

// Was reports whether id may have been registered under epoch at some time.
func (t *Table) Was(id wire.NodeID, epoch wire.Epoch) bool {
	if m, ok := t.Get(id); ok {
		return epoch > 0 && epoch <= m.Epoch
	}
	return epoch > 0 && epoch <= t.lastEpoch(id)
}

// LastEpoch returns the epoch that id has, or had when it was removed; 0 if that is forgotten or it never was a member.
func (t *Table) LastEpoch(id wire.NodeID) wire.Epoch {
	if m, ok := t.Get(id); ok {
		return m.Epoch
	}
	for _, g := range t.gone {
		if g.ID == id {
			return g.Epoch
		}
	}
	return 0
}

// lastEpoch returns an epoch that no registration of an id that is no member exceeded.
func (t *Table) lastEpoch(id wire.NodeID) wire.Epoch {
	for _, g := range t.gone {
		if g.ID == id {
			return g.Epoch
		}
	}
	return t.floor
}

// Standing tells what the table has of id under epoch.
func (t *Table) Standing(id wire.NodeID, epoch wire.Epoch) wire.Standing {
	if i, ok := t.find(id); ok {
		switch m := t.members[i]; {
		case m.Epoch < epoch:
			return wire.StandingUnknown // this replica lags
		case m.Epoch > epoch || t.marks[i].dead && !canary.On(canary.Revive):
			return wire.StandingFenced
		}
		return wire.StandingMember
	}
	for _, g := range t.gone {
		if g.ID == id && g.Epoch >= epoch {
			return wire.StandingRemoved
		}
	}
	return wire.StandingUnknown
}

// Fate says in words what became of what id held under epoch, if that is no more than this.
func (t *Table) Fate(id wire.NodeID, epoch wire.Epoch) string {
	e, ok := t.Entry(id)
	switch {
	case !ok:
		return fmt.Sprintf("%s was removed", id)
	case e.Member.Epoch != epoch:
		return fmt.Sprintf("%s registered again as epoch %d", id, e.Member.Epoch)
	case e.Dead:
		return fmt.Sprintf("%s was declared dead", id)
	}
	return fmt.Sprintf("%s is %v", id, e.State())
}

// next takes the next turn.
func (t *Table) next() uint64 {
	t.turn++
	return t.turn
}

// DeclareDead marks id dead if it is registered under epoch. It returns an error of wire.KindNotFound or KindStale, and
// false without one if it was dead before.
func (t *Table) DeclareDead(id wire.NodeID, epoch wire.Epoch) (bool, error) {
	i, ok := t.find(id)
	if !ok {
		return false, t.unknown(id)
	}
	if e := t.members[i].Epoch; e != epoch {
		return false, wire.Errorf(wire.KindStale, "%s is registered under epoch %d, epoch %d is not declared dead any more", id, e, epoch)
	}
	if t.marks[i].dead {
		return false, nil
	}
	t.marks[i].dead, t.marks[i].turn = true, t.next()
	return true, nil
}

// SetDrain begins or ends the draining of id. It reports whether that changed anything, and refuses what is dead or
// unknown and the last that is active.
func (t *Table) SetDrain(id wire.NodeID, drain bool) (bool, error) {
	changes, err := t.CheckDrain(id, drain)
	if !changes || err != nil {
		return false, err
	}
	i, _ := t.find(id)
	t.marks[i].drain, t.marks[i].turn = drain, t.next()
	return true, nil
}

// CheckDrain is SetDrain without doing it.
func (t *Table) CheckDrain(id wire.NodeID, drain bool) (bool, error) {
	i, ok := t.find(id)
	switch {
	case !ok:
		return false, t.unknown(id)
	case t.marks[i].dead:
		return false, wire.Errorf(wire.KindFailed, "%s is dead (epoch %d): remove it, or wait until it has rejoined", id, t.members[i].Epoch)
	case t.marks[i].drain == drain:
		return false, nil
	case drain && t.active() == 1:
		return false, wire.Errorf(wire.KindNoRoom, "%s is the last active %s: add another first", id, roleNoun(t.role))
	}
	return true, nil
}

// active counts the members that are.
func (t *Table) active() (n int) {
	for i := range t.marks {
		if t.Placeable(i) {
			n++
		}
	}
	return n
}

// CheckRemove says why id cannot be removed, whatever it still owns.
func (t *Table) CheckRemove(id wire.NodeID) error {
	i, ok := t.find(id)
	switch {
	case !ok:
		return t.unknown(id)
	case t.Placeable(i):
		return wire.Errorf(wire.KindBusy, "%s is active: drain it first", id)
	}
	return nil
}

// Remove takes id out of the table and leaves a tombstone. The caller has asked CheckRemove.
func (t *Table) Remove(id wire.NodeID) error {
	if err := t.CheckRemove(id); err != nil {
		return err
	}
	i, _ := t.find(id)
	t.gone = append(t.gone, Tombstone{id, t.members[i].Epoch, t.next()})
	if len(t.gone) > MaxTombstones {
		t.floor = max(t.floor, t.gone[0].Epoch)
		t.gone = slices.Delete(t.gone, 0, 1)
	}
	t.members = slices.Delete(t.members, i, i+1)
	t.marks = slices.Delete(t.marks, i, i+1)
	return nil
}

// Act carries out an action of people on id. Owned says in words what it still owns, "" if nothing; it is asked for a
// removal only. Act reports whether anything changed.
func (t *Table) Act(id wire.NodeID, a Action, owned func() string) (bool, error) {
	switch a {
	case Drain, Undrain:
		return t.SetDrain(id, a == Drain)
	case Remove:
		if err := t.CheckRemove(id); err != nil {
			return false, err
		}
		if has := owned(); has != "" {
			return false, wire.Errorf(wire.KindBusy, "%s still has %s: wait until it is drained, or end the vNodes", id, has)
		}
		return true, t.Remove(id)
	}
	return false, wire.Errorf(wire.KindBadRequest, "%v of %s, want drain, undrain or remove", a, id)
}

// unknown is the error of an id that is no member; it names some that are.
func (t *Table) unknown(id wire.NodeID) error {
	text := fmt.Sprintf("no %s %.64q", roleNoun(t.role), id)
	if slices.ContainsFunc(t.gone, func(g Tombstone) bool { return g.ID == id }) {
		text += " (it was removed)"
	}
	if len(t.members) == 0 {
		return wire.Errorf(wire.KindNotFound, "%s: none is registered", text)
	}
	names := make([]string, 0, maxNamed)
	for _, m := range t.members[:min(len(t.members), maxNamed)] {
		names = append(names, string(m.ID))
	}
	more := ""
	if n := len(t.members) - maxNamed; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return wire.Errorf(wire.KindNotFound, "%s: there are %s%s", text, strings.Join(names, ", "), more)
}

// roleNoun names what a manager registers.
func roleNoun(r wire.Role) string {
	switch r {
	case wire.RoleCompute:
		return "pComponent"
	case wire.RoleMemory:
		return "mComponent"
	case wire.RoleStorage:
		return "sComponent"
	}
	return r.String()
}

// Owned collects in words what a member still has.
type Owned []string

// Add notes n of what, in the plural if n is not 1.
func (o *Owned) Add(n uint64, one, many string) {
	switch n {
	case 0:
	case 1:
		*o = append(*o, "1 "+one)
	default:
		*o = append(*o, fmt.Sprintf("%d %s", n, many))
	}
}

func (o Owned) String() string {
	if len(o) < 2 {
		return strings.Join(o, "")
	}
	return strings.Join(o[:len(o)-1], ", ") + " and " + o[len(o)-1]
}

// checkMarks is the part of CheckInvariants about states.
func (t *Table) checkMarks() error {
	if len(t.marks) != len(t.members) || len(t.gone) > MaxTombstones {
		return fmt.Errorf("membership: %d members with %d states; %d removed, at most %d", len(t.members), len(t.marks), len(t.gone), MaxTombstones)
	}
	for i, k := range t.marks {
		if k.turn == 0 || k.turn > t.turn {
			return fmt.Errorf("membership: member %q: turn %d, the last was %d", t.members[i].ID, k.turn, t.turn)
		}
	}
	for i, g := range t.gone {
		_, back := t.find(g.ID)
		switch {
		case g.ID == "" || len(g.ID) > MaxIDBytes || g.Epoch == 0 || back || g.Turn > t.turn || i > 0 && t.gone[i-1].Turn >= g.Turn:
			return fmt.Errorf("membership: tombstone %+v: no id, no epoch, a member or out of order", g)
		case slices.ContainsFunc(t.gone[:i], func(o Tombstone) bool { return o.ID == g.ID }):
			return fmt.Errorf("membership: %q has two tombstones", g.ID)
		}
	}
	if t.floor == math.MaxUint32 {
		return fmt.Errorf("membership: the epochs are used up")
	}
	return nil
}

// Turn returns the turn of the last decision about a member.
func (t *Table) Turn() uint64 { return t.turn }
