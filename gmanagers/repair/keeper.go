package repair

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"splitkernel/gmanagers/admission"
	"splitkernel/netlayer/wire"
)

const (
	// MaxCalls bounds the calls and proposals under way.
	MaxCalls = 32
	// PollPause is the time between two questions how far a copy is. Failed calls are repeated after a pause that doubles up to MaxPause.
	PollPause = 100 * time.Millisecond
	MaxPause  = 5 * time.Second
	// ProposePause is how long the books are given to show what was proposed, before it is proposed again: longer than an election.
	ProposePause = time.Second
	// CallPatience is how long an answer is waited for. The caller's deadline is shorter, so this only ends a call that the caller lost.
	CallPatience = 20 * time.Second
	// MaxText bounds the text of a change, which is replicated, in bytes.
	MaxText = 512
)

// Volume is a volume that needs something, as the books have it.
type Volume struct {
	Place  admission.Volume
	Name   string
	Client string // address of the pComponent of its process; empty if that is not known
	// Gone says why the mComponent of its buffer cache does not have it any more; empty if it may.
	Gone string
	// Recached: its buffer cache was chosen anew, and perhaps nobody was told.
	Recached bool
	// Missing is a copy that is to be replaced, and Why; empty if none is. Dead is waited for.
	Missing wire.NodeID
	Why     string
	Dead    bool
	// Back are copies whose sComponents registered again, under these epochs, and of which it is not known whether they have everything.
	Back []Back
	// Unconfirmed: the buffer cache may not know the configuration.
	Unconfirmed bool
}

// Back is a copy at an sComponent that registered again.
type Back struct {
	Node   wire.NodeID
	Member wire.Epoch
}

// fills is the copy that fills, be it a new one or one that is made again, nil if there is none.
func (v *Volume) fills() *wire.VolumeReplica {
	for i := range v.Place.Replicas {
		if v.Place.Replicas[i].State.Fills() {
			return &v.Place.Replicas[i]
		}
	}
	return nil
}

// same reports whether two are the same as far as a call is about it.
func (v *Volume) same(o *Volume) bool {
	return v.Place.Epoch == o.Place.Epoch && v.Place.Config == o.Place.Config && v.Place.Cache == o.Place.Cache && v.Gone == o.Gone && v.Missing == o.Missing &&
		v.Dead == o.Dead && v.Recached == o.Recached && v.Unconfirmed == o.Unconfirmed && slices.Equal(v.Back, o.Back)
}

// EffectKind says what an Effect asks for.
type EffectKind uint8

// The effects. All are answered.
const (
	Propose EffectKind = 1 // Change to the replicated state
	Create  EffectKind = 2 // wire.OpVolumeCreate at Node
	Config  EffectKind = 3 // wire.OpVolumeConfig at Node: order and question in one
	Attach  EffectKind = 4 // wire.OpVolumeAttach at Node
	Tell    EffectKind = 5 // wire.OpCacheSwitch to the pComponent at Addr
)

func (k EffectKind) String() string {
	names := [...]string{"none", "propose", "create", "config", "attach", "tell"}
	return names[min(int(k), len(names)-1)]
}

// Effect is something that the caller must do. Fields that its kind does not name are zero.
type Effect struct {
	Kind   EffectKind
	Call   uint64
	Volume wire.VolumeID
	Node   wire.NodeID
	Addr   string
	Change Change
	Create wire.VolumeCreateReq
	Config wire.VolumeConfigReq
	Attach wire.VolumeAttachReq
	Switch wire.SwitchReq
}

// kept is a volume with what is known of it beside the books.
type kept struct {
	Volume
	since   time.Duration // when it was first seen that Missing is dead
	created bool          // the copy that fills has its files
	served  bool          // the new buffer cache serves
	told    bool          // and the pComponent knows
	lost    string        // why it will never serve; empty if it may
	next    time.Duration // when it is due
	fails   int
	call    uint64 // under way; 0 if none
	kind    EffectKind
	until   time.Duration
	rep     wire.VolumeConfigRep // of the last answer
	heard   bool                 // under the present books
	absent  bool                 // the buffer cache does not have the volume
	refused bool                 // the copy that is made again cannot be made there: perhaps another has room by now
}

// Progress is how far a volume is, for listings.
type Progress struct {
	Volume wire.VolumeID
	Done   uint64 // blocks that the fill has compared
	Blocks uint64 // of the volume
}

// Keeper looks after the volumes of one cluster while its caller leads. Make one with New; it is not safe for concurrent use.
type Keeper struct {
	after   time.Duration
	volumes []*kept // ascending by id
	calls   int
	numbers uint64
	touched uint64 // how often something was due: what did not count changed nothing
}

// New returns a keeper that waits so long for an sComponent that is dead.
func New(replaceAfter time.Duration) *Keeper { return &Keeper{after: replaceAfter} }

// Calls returns how many calls and proposals are under way.
func (k *Keeper) Calls() int { return k.calls }

// Progress lists the volumes of which a copy fills.
func (k *Keeper) Progress() (out []Progress) {
	for _, v := range k.volumes {
		if v.fills() != nil && v.heard {
			out = append(out, Progress{v.Place.Volume, v.rep.Done, v.rep.Blocks})
		}
	}
	return out
}

func (k *Keeper) find(id wire.VolumeID) (int, bool) {
	return slices.BinarySearchFunc(k.volumes, id, func(v *kept, id wire.VolumeID) int { return cmp.Compare(v.Place.Volume, id) })
}

// Sync takes the volumes that need something now, ascending by id.
func (k *Keeper) Sync(now time.Duration, list []Volume, out []Effect) []Effect {
	volumes := make([]*kept, 0, len(list))
	k.calls = 0 // those of volumes that need nothing any more are forgotten
	for i := range list {
		v := &kept{Volume: list[i], next: now, since: now}
		if at, ok := k.find(list[i].Place.Volume); ok {
			was := k.volumes[at]
			if was.same(&list[i]) {
				v = was
				v.Volume = list[i]
			} else if was.Dead && v.Dead && was.Missing == v.Missing {
				v.since = was.since
			}
		}
		if v.call != 0 {
			k.calls++
		}
		volumes = append(volumes, v)
	}
	k.volumes = volumes
	return k.run(now, out)
}

// Next returns when Tick is due; false while there is nothing to do before the next event.
func (k *Keeper) Next() (next time.Duration, ok bool) {
	for _, v := range k.volumes {
		due := v.next
		switch {
		case v.call != 0:
			due = v.until
		case k.calls >= MaxCalls:
			continue
		}
		if !ok || due < next {
			next, ok = due, true
		}
	}
	return next, ok
}

// Tick does what is due.
func (k *Keeper) Tick(now time.Duration, out []Effect) []Effect {
	for _, v := range k.volumes {
		if v.call != 0 && now >= v.until {
			v.call = 0
			k.calls--
			k.touched++
			v.again(now)
		}
	}
	return k.run(now, out)
}

// again waits longer with every failure.
func (v *kept) again(now time.Duration) {
	v.next = now + min(MaxPause, PollPause<<min(v.fails, 10))
	v.fails++
}

// look says when something is to be done after an answer of the buffer cache: at once, or if nothing follows from it when that is asked again.
func (v *kept) look(now time.Duration) {
	switch {
	case v.learned(v.fills()).Verb != 0:
		v.fails, v.next = 0, now
	case v.fresh(): // it is in no hurry
		v.again(now)
	default:
		v.fails, v.next = 0, now+PollPause
	}
}

// run does what is due, that which is due longest first, as far as MaxCalls allows.
func (k *Keeper) run(now time.Duration, out []Effect) []Effect {
	if k.calls >= MaxCalls {
		return out
	}
	var due []*kept
	for _, v := range k.volumes {
		if v.call == 0 && v.next <= now {
			due = append(due, v)
		}
	}
	slices.SortStableFunc(due, func(a, b *kept) int { return cmp.Compare(a.next, b.next) })
	for _, v := range due {
		if k.calls >= MaxCalls {
			break
		}
		k.touched++
		e, ok := k.step(now, v)
		if !ok {
			continue // v.next says when
		}
		k.numbers++
		k.calls++
		v.call, v.kind, v.until = k.numbers, e.Kind, now+CallPatience
		e.Call, e.Volume = v.call, v.Place.Volume
		out = append(out, e)
	}
	return out
}

// step is what a volume needs next; false if that is to wait.
func (k *Keeper) step(now time.Duration, v *kept) (Effect, bool) {
	p := &v.Place
	fills := v.fills()
	switch {
	case v.Gone != "":
		return v.propose(Change{Verb: Recache, Epoch: p.Epoch, Text: v.Gone}), true
	case v.Recached && !v.served && v.lost == "":
		return Effect{Kind: Attach, Node: p.Cache, Addr: p.CacheAddr, Attach: p.Attach(v.Client)}, true
	case v.Recached && v.Client != "" && !v.told:
		return Effect{Kind: Tell, Addr: v.Client, Switch: wire.SwitchReq{Volume: p.Volume, Epoch: p.Epoch, To: p.Cache, ToAddr: p.CacheAddr}}, true
	case v.Recached && v.lost != "":
		return v.propose(Change{Verb: Lose, Epoch: p.Epoch, Text: v.lost}), true
	case v.Recached:
		return v.propose(Change{Verb: Told, Epoch: p.Epoch}), true
	case v.Missing != "" && v.Dead && now-v.since < k.after:
		v.next = v.since + k.after
		return Effect{}, false
	case v.Missing != "":
		return v.propose(Change{Verb: Replace, Config: p.Config, Node: v.Missing, Text: v.Why}), true
	case fills != nil && v.refused:
		v.refused = false
		return v.propose(Change{Verb: Replace, Config: p.Config, Node: fills.Node, Text: "it cannot be made again at " + string(fills.Node)}), true
	case fills != nil && fills.State == wire.ReplicaRemade && v.Unconfirmed && v.heard:
		return v.propose(Change{Verb: Confirmed, Epoch: p.Epoch, Config: p.Config}), true
	case fills != nil && !v.created && (fills.State != wire.ReplicaRemade || !v.Unconfirmed): // who took it for what it was before would count it
		return Effect{
			Kind: Create, Node: fills.Node, Addr: fills.Addr, Create: wire.VolumeCreateReq{Volume: p.Volume, Epoch: p.Epoch, Name: v.Name, SizeBytes: p.SizeBytes, Config: p.Config},
		}, true
	}
	if c := v.learned(fills); c.Verb != 0 {
		return v.propose(c), true
	}
	// A copy is filled and looked at by the buffer cache, so one must be there even if nobody uses the volume.
	return Effect{Kind: Config, Node: p.Cache, Addr: p.CacheAddr, Config: wire.VolumeConfigReq{Volume: p.Attach(v.Client), Attach: fills != nil || len(v.Back) > 0}}, true
}

// learned is the change that follows from the last answer of the buffer cache; its verb is 0 if none does.
func (v *kept) learned(fills *wire.VolumeReplica) Change {
	p := &v.Place
	switch {
	case !v.heard:
		return Change{}
	case v.absent && v.fresh():
		return Change{} // when it is attached it is seen whether every copy was made
	case v.absent:
		return Change{Verb: Confirmed, Epoch: p.Epoch, Config: p.Config} // who attaches it from now on is told, or turned away by the copies
	}
	for _, r := range p.Replicas {
		if r.State == wire.ReplicaInSync && fills == nil && slices.Contains(v.rep.Lost, r.Node) {
			c := Change{Verb: Replace, Config: p.Config, Node: r.Node, Text: string(r.Node) + " does not have the volume any more"}
			if v.fillable() {
				c.Verb = Remake
			}
			return c
		}
	}
	if fills != nil && v.rep.InSync {
		return Change{Verb: Synced, Config: p.Config, Node: fills.Node}
	}
	for _, b := range v.Back {
		if !slices.Contains(v.rep.Behind, b.Node) && !slices.Contains(v.rep.Lost, b.Node) {
			return Change{Verb: Seen, Config: p.Config, Node: b.Node, Member: b.Member}
		}
	}
	if v.Unconfirmed && fills == nil && (!v.fresh() || len(v.rep.Behind) == 0) {
		return Change{Verb: Confirmed, Epoch: p.Epoch, Config: p.Config}
	}
	return Change{}
}

// fresh reports whether a volume has the copies with which it was made, and nobody has seen yet that all of them are there: one that could not be made
// does not keep a vNode from its volume, and no sComponent knows of it.
func (v *kept) fresh() bool { return v.Unconfirmed && v.Place.Config == 1 && len(v.Back) == 0 }

// fillable reports whether so many copies have what they acknowledged that one which is lost may count for nothing.
func (v *kept) fillable() bool {
	n := 0
	for _, r := range v.Place.Replicas {
		if r.State.Counts() && !slices.Contains(v.rep.Lost, r.Node) && !slices.Contains(v.rep.Behind, r.Node) {
			n++
		}
	}
	return n >= int(v.Place.Copies.ReadQuorum)
}

func (v *kept) propose(c Change) Effect {
	c.Volume = v.Place.Volume
	if len(c.Text) > MaxText {
		c.Text = strings.ToValidUTF8(c.Text[:MaxText], "")
	}
	return Effect{Kind: Propose, Change: c}
}

// Answered takes the answer to a call. Rep is that of Config. A change that was refused is an error, too.
func (k *Keeper) Answered(now time.Duration, id wire.VolumeID, call uint64, rep wire.VolumeConfigRep, err error, out []Effect) []Effect {
	i, ok := k.find(id)
	if !ok || call == 0 || k.volumes[i].call != call {
		return k.run(now, out) // its volume needs nothing any more, or something else
	}
	v := k.volumes[i]
	v.call = 0
	k.calls--
	kind := wire.KindOf(err)
	switch {
	case v.kind == Propose && err == nil:
		v.fails, v.next = 0, now+ProposePause // the books show it before
		v.heard = false
	case v.kind == Create && err == nil:
		v.created, v.fails, v.next = true, 0, now
	case v.kind == Config && err == nil && rep.Config == v.Place.Config:
		v.rep, v.heard, v.absent = rep, true, false
		v.look(now)
	case v.kind == Config && (kind == wire.KindNotFound || kind == wire.KindNotOwner) && v.fills() == nil && len(v.Back) == 0:
		v.heard, v.absent = true, true
		v.look(now)
	case v.kind == Attach && err == nil:
		v.served, v.fails, v.next = true, 0, now
	case v.kind == Attach && kind == wire.KindFailed:
		v.lost, v.fails, v.next = err.Error(), 0, now
	case v.kind == Tell && (err == nil || kind == wire.KindNotFound):
		v.told, v.fails, v.next = true, 0, now
	default:
		switch fills := v.fills(); {
		case v.kind == Propose:
			v.heard = false // the books may be other ones
		case v.kind == Create:
			v.refused = fills != nil && fills.State == wire.ReplicaRemade
		}
		v.again(now)
	}
	return k.run(now, out)
}

// CheckInvariants returns the first broken rule.
func (k *Keeper) CheckInvariants() error {
	n := 0
	for i, v := range k.volumes {
		if i > 0 && k.volumes[i-1].Place.Volume >= v.Place.Volume {
			return fmt.Errorf("repair: volume %d is out of order", v.Place.Volume)
		}
		if v.call != 0 {
			n++
		}
		if v.call > k.numbers {
			return fmt.Errorf("repair: volume %d waits for call %d, the last was %d", v.Place.Volume, v.call, k.numbers)
		}
	}
	if n != k.calls || n > MaxCalls {
		return fmt.Errorf("repair: %d calls are under way, counted are %d, at most %d", n, k.calls, MaxCalls)
	}
	return nil
}
