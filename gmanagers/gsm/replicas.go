package gsm

import (
	"fmt"
	"slices"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/apart"
	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/placement"
	"splitkernel/gmanagers/repair"
	"splitkernel/netlayer/wire"
)

// Replica is one copy of a volume.
type Replica struct {
	Node   wire.NodeID
	State  wire.ReplicaState
	Member wire.Epoch // of the membership of Node under which the copy was made, or seen to have everything
}

// Stores are the sComponents that hold a volume, those that are counted in quorums first.
func (v *Volume) Stores() []wire.NodeID {
	if len(v.Replicas) == 0 {
		return []wire.NodeID{v.Storage}
	}
	ids := make([]wire.NodeID, 0, len(v.Replicas))
	for _, r := range v.Replicas {
		ids = append(ids, r.Node)
	}
	return ids
}

// StoredAt reports whether a volume has a copy at an sComponent.
func (v *Volume) StoredAt(id wire.NodeID) bool {
	if len(v.Replicas) == 0 {
		return v.Storage == id
	}
	return v.replica(id) >= 0
}

// Fills reports whether the copy at an sComponent is one that fills.
func (v *Volume) Fills(id wire.NodeID) bool {
	i := v.replica(id)
	return i >= 0 && v.Replicas[i].State.Fills()
}

func (v *Volume) replica(id wire.NodeID) int {
	return slices.IndexFunc(v.Replicas, func(r Replica) bool { return r.Node == id })
}

// in returns the position of the replica that is in a state, -1 if none is. At most one is leaving, and one filling or made again.
func (v *Volume) in(state wire.ReplicaState) int {
	return slices.IndexFunc(v.Replicas, func(r Replica) bool { return r.State == state })
}

// fills returns the position of the copy that is filled, be it a new one or one that is made again, -1 if none is. At most one is.
func (v *Volume) fills() int {
	return slices.IndexFunc(v.Replicas, func(r Replica) bool { return r.State.Fills() })
}

// Whole reports whether every copy that a volume is to have is there and no other is being made.
func (v *Volume) Whole() bool { return v.BrokenMS == 0 && v.fills() < 0 }

// KeptWithout reports whether a volume has copies that are counted in quorums at others than an sComponent, and as many as a read asks for.
func (v *Volume) KeptWithout(id wire.NodeID) bool {
	n := 0
	for _, r := range v.Replicas {
		if r.Node != id && r.State.Counts() {
			n++
		}
	}
	return n > 0 && n >= int(v.Copies.ReadQuorum)
}

// refreshStores brings the candidates that hold a volume in line with the books.
func (s *State) refreshStores(v *Volume) {
	for _, id := range v.Stores() {
		s.refresh(id)
	}
}

// chooseStorages returns the sComponents for the copies of a volume, each with why it was chosen, and whose turn it was then.
func (s *State) chooseStorages(spec admission.VolumeSpec, size uint64, ms []apart.Member, stamp membership.Stamp) (to []wire.Member, turn wire.NodeID, notes []events.Event, err error) {
	turn = s.storageTurn
	what := fmt.Sprintf("volume %q wants %d at one sComponent", spec.Name, size)
	if spec.Copies.Replicated() {
		what = fmt.Sprintf("volume %q wants %d at each of %d sComponents", spec.Name, size, spec.Copies.Replicas)
	}
	var nodes []wire.NodeID
	var racks []string
	for i := range spec.Copies.Places() {
		q := choice{what: what, size: size, ms: ms, key: s.next, draw: i, turn: turn, nodes: nodes, racks: racks}
		if i > 0 {
			q.what += fmt.Sprintf(", %d are found", i)
		}
		var m wire.Member
		if m, turn, err = s.chooseStorage(q, stamp); err != nil {
			return nil, "", nil, err
		}
		to, notes = append(to, m), append(notes, copied(s.note))
		nodes, racks = with(nodes, m.ID), with(racks, m.Rack)
	}
	return to, turn, notes, nil
}

// copied is an event that keeps its candidates when the memory of another is used again.
func copied(e events.Event) events.Event {
	e.Candidates = slices.Clone(e.Candidates)
	return e
}

// choice is for what an sComponent is chosen.
type choice struct {
	what string // "volume "v" wants 4096 at one sComponent"
	size uint64
	ms   []apart.Member
	key  uint64 // the volume
	draw uint64 // so that each copy is drawn by itself
	turn wire.NodeID
	// Nodes have another copy, ascending, and are never chosen; racks have one, and are not chosen if something fits in others.
	nodes []wire.NodeID
	racks []string
}

// chooseStorage returns the sComponent for a copy of a volume and whose turn it was then.
func (s *State) chooseStorage(q choice, stamp membership.Stamp) (m wire.Member, turn wire.NodeID, err error) {
	policy, err := placement.New(stamp.Policy)
	if err != nil {
		return m, "", err
	}
	ask := placement.Ask{Need: q.size, Key: placement.Hash(q.key), Chance: placement.Hash(stamp.Chance, q.key), After: q.turn}
	if q.draw > 0 {
		ask.Chance = placement.Hash(stamp.Chance, q.key, 1+q.draw) // 1 is drawn for the buffer cache
	}
	ask.Avoid, ask.AvoidRacks = s.apart.Avoid(q.ms)
	ask.Within, ask.WithinRacks = s.apart.Own(q.ms)
	racks := ask.AvoidRacks
	for _, id := range q.nodes {
		ask.Avoid = with(ask.Avoid, id)
	}
	ask.AvoidRacks = slices.Clone(racks)
	for _, r := range q.racks {
		ask.AvoidRacks = with(ask.AvoidRacks, r)
	}
	i, asked := placement.ChooseNear(policy, ask, &s.set)
	if i < 0 && len(q.racks) > 0 { // there are no other racks, or nothing fits there
		ask.AvoidRacks = racks
		i, asked = placement.ChooseNear(policy, ask, &s.set)
	}
	if i < 0 {
		return m, "", wire.Errorf(wire.KindNoRoom, "%sstorage_bytes: %s: %s", s.isApart(q.ms), q.what, s.refuses(q.size, q.ms, q.nodes))
	}
	s.note.Explain(policy, asked, &s.set, i)
	m, _ = s.members.Get(s.set.ID(i))
	if policy.Rotates {
		return m, m.ID, nil
	}
	return m, q.turn, nil
}

// with puts x into an ascending list.
func with[T ~string](list []T, x T) []T {
	i, ok := slices.BinarySearch(list, x)
	if ok {
		return list
	}
	return slices.Insert(list, i, x)
}

// MaxRepairs bounds the repairs of one command.
const MaxRepairs = 64

// Repaired answers a repair. Kind is wire.KindNone if it was carried out.
type Repaired struct {
	Kind wire.Kind
	Text string
	Node wire.NodeID // who was chosen
}

// Err returns the error of a refusal, nil if the repair was carried out.
func (r Repaired) Err() error {
	if r.Kind == wire.KindNone {
		return nil
	}
	return &wire.Error{Kind: r.Kind, Text: r.Text}
}

// repair carries out repairs, each by itself.
func (s *State) repair(cmd Command) Result {
	list := cmd.Request.Repairs
	if len(list) > MaxRepairs {
		return failed(wire.Errorf(wire.KindBadRequest, "%d repairs, at most %d at a time", len(list), MaxRepairs))
	}
	res := Result{Repaired: make([]Repaired, 0, len(list))}
	for _, q := range list {
		node, err := s.repairOne(q, cmd)
		if err != nil {
			res.Repaired = append(res.Repaired, Repaired{Kind: wire.KindOf(err), Text: membership.TextOf(err)})
			continue
		}
		res.Repaired = append(res.Repaired, Repaired{Node: node})
	}
	return res
}

func (s *State) repairOne(q repair.Change, cmd Command) (wire.NodeID, error) {
	i, ok := s.find(q.Volume)
	if !ok {
		return "", wire.Errorf(wire.KindNotFound, "no volume %d", q.Volume)
	}
	v := &s.volumes[i]
	switch {
	case v.Prepared:
		return "", wire.Errorf(wire.KindBusy, "volume %d is of process %d, which is being admitted: wait until it runs", v.Volume, v.PID)
	case v.Lost != 0:
		return "", wire.Errorf(wire.KindFailed, "volume %d is lost", v.Volume)
	}
	switch {
	case q.Verb == repair.Recache || q.Verb == repair.Lose || q.Verb == repair.Told || q.Verb == repair.Confirmed:
		if q.Epoch != v.Epoch {
			return "", wire.Errorf(wire.KindStale, "volume %d: epoch %d, it has %d", v.Volume, q.Epoch, v.Epoch)
		}
	case q.Verb < repair.Replace || q.Verb > repair.Remake:
		return "", wire.Errorf(wire.KindBadRequest, "repair %d of volume %d, want 1 to 8", q.Verb, v.Volume)
	}
	switch q.Verb {
	case repair.Replace, repair.Remake, repair.Synced, repair.Seen, repair.Confirmed:
		if q.Config != v.Config || v.Config == 0 {
			return "", wire.Errorf(wire.KindStale, "volume %d: configuration %d, it has %d", v.Volume, q.Config, v.Config)
		}
	}
	switch q.Verb {
	case repair.Replace, repair.Remake:
		return s.replace(v, q, cmd)
	case repair.Synced:
		return q.Node, s.synced(v, q, cmd)
	case repair.Seen:
		return q.Node, s.seen(v, q, cmd)
	case repair.Confirmed:
		v.Confirmed = v.Config
	case repair.Recache:
		return s.recache(v, q, cmd)
	case repair.Told:
		v.Recached = false
	case repair.Lose:
		v.Lost, v.Recached = wire.MoveCache, false
		s.events.Append(events.Event{MS: cmd.Stamp.NowMS, Kind: events.Lost, PID: v.PID, Volume: v.Volume, Node: v.Cache, Epoch: v.Epoch, Reason: q.Text})
	}
	return v.Cache, nil
}

// sources counts the copies from which another may be filled: those in quorums at sComponents that were not declared dead, and the one
// that is to leave only if it does because its sComponent drains.
func (s *State) sources(v *Volume, leaves wire.NodeID) (n int) {
	for _, r := range v.Replicas {
		if r.State.Counts() && !s.isDead(r.Node) && (r.Node != leaves || s.drains(leaves)) {
			n++
		}
	}
	return n
}

func (s *State) isDead(id wire.NodeID) bool {
	e, ok := s.members.Entry(id)
	return !ok || e.Dead
}

// replace chooses who takes the place of a copy.
func (s *State) replace(v *Volume, q repair.Change, cmd Command) (wire.NodeID, error) {
	at, fills := v.replica(q.Node), v.fills()
	switch {
	case at < 0:
		return "", wire.Errorf(wire.KindNotFound, "volume %d has no copy at %q", v.Volume, q.Node)
	case fills >= 0 && at != fills:
		return "", wire.Errorf(wire.KindBusy, "volume %d: the copy at %s fills: one at a time", v.Volume, v.Replicas[fills].Node)
	case fills < 0 && s.sources(v, q.Node) < int(v.Copies.ReadQuorum):
		return "", wire.Errorf(wire.KindUnavailable, "volume %d: %d of its copies can be read, %d are wanted to fill another", v.Volume, s.sources(v, q.Node), v.Copies.ReadQuorum)
	}
	var nodes []wire.NodeID
	var racks []string
	for i, r := range v.Replicas {
		nodes = with(nodes, r.Node)
		if m, _ := s.members.Get(r.Node); r.State == wire.ReplicaInSync && i != at { // the rack of one that leaves is free
			racks = with(racks, m.Rack)
		}
	}
	m, turn, err := s.chooseStorage(choice{
		what: fmt.Sprintf("volume %d wants %d at another sComponent in place of %s", v.Volume, v.SizeBytes, q.Node), size: v.SizeBytes, ms: v.Groups(),
		key: uint64(v.Volume), draw: v.Config, turn: s.storageTurn, nodes: nodes, racks: racks,
	}, cmd.Stamp)
	if err != nil {
		if q.Verb == repair.Remake && fills < 0 && wire.KindOf(err) == wire.KindNoRoom && s.stays(q.Node) {
			return s.remake(v, at, q, cmd)
		}
		return "", err
	}
	s.storageTurn = turn
	next := slices.Clone(v.Replicas)
	if at == fills {
		next[at].Node, next[at].Member = m.ID, m.Epoch
	} else {
		next[at].State = wire.ReplicaLeaving
		next = append(next, Replica{m.ID, wire.ReplicaFilling, m.Epoch})
	}
	e := s.note
	e.MS, e.Kind, e.PID, e.Volume, e.Node, e.From, e.Amount, e.Reason = cmd.Stamp.NowMS, events.ReplicaFills, v.PID, v.Volume, m.ID, q.Node, v.Config+1, q.Text
	s.configure(v, next)
	s.events.Append(e)
	return m.ID, nil
}

// stays reports whether a copy can be made again at an sComponent that has lost it.
func (s *State) stays(id wire.NodeID) bool { return !s.isDead(id) && !s.drains(id) }

// remake has a copy made again where it was, as there is room nowhere else. It has a place still, but counts for nothing until it was
// filled: so the buffer cache must know before it is made (Confirmed), and no other may come that does not, as that to which it is moving.
func (s *State) remake(v *Volume, at int, q repair.Change, cmd Command) (wire.NodeID, error) {
	if s.caching(v) {
		return "", wire.Errorf(wire.KindBusy, "volume %d: its buffer cache is moving: its copy at %s is made again after that", v.Volume, q.Node)
	}
	m, _ := s.members.Get(q.Node)
	next := slices.Clone(v.Replicas)
	next[at].State, next[at].Member = wire.ReplicaRemade, m.Epoch
	s.configure(v, next)
	s.lookAgain(v, cmd.Stamp.NowMS)
	s.events.Append(events.Event{MS: cmd.Stamp.NowMS, Kind: events.ReplicaFills, PID: v.PID, Volume: v.Volume, Node: q.Node, From: q.Node, Amount: v.Config, Reason: q.Text})
	return q.Node, nil
}

// configure puts another configuration in force.
func (s *State) configure(v *Volume, next []Replica) {
	s.count(v, less)
	s.refreshStores(v)
	v.Replicas, v.Storage = next, next[0].Node
	v.Config++
	s.count(v, 1)
	s.refreshStores(v)
}

// synced has the copy that fills take the place of the one that leaves, or count again if it was made again.
func (s *State) synced(v *Volume, q repair.Change, cmd Command) error {
	fills, leaves := v.fills(), v.in(wire.ReplicaLeaving)
	if fills < 0 || v.Replicas[fills].Node != q.Node {
		return wire.Errorf(wire.KindStale, "volume %d: no copy fills at %q", v.Volume, q.Node)
	}
	was := v.BrokenMS
	next := slices.Clone(v.Replicas)
	left := q.Node
	if next[fills].State = wire.ReplicaInSync; leaves >= 0 {
		left, next[leaves] = next[leaves].Node, next[fills]
		next = slices.Delete(next, fills, fills+1)
	}
	s.configure(v, next)
	s.lookAgain(v, cmd.Stamp.NowMS) // it may have registered again meanwhile
	e := events.Event{MS: cmd.Stamp.NowMS, Kind: events.ReplicaInSync, PID: v.PID, Volume: v.Volume, Node: q.Node, From: left, Reason: q.Text}
	if was != 0 && v.BrokenMS == 0 {
		e.Amount = uint64(max(cmd.Stamp.NowMS-was, 0))
		e.Reason = fmt.Sprintf("every copy is there again, %d ms after the first was missed", e.Amount)
	}
	s.events.Append(e)
	return nil
}

// broken notes that an sComponent was declared dead, or registered again, at which volumes have copies.
func (s *State) broken(nowMS int64, id wire.NodeID) {
	for i := range s.volumes {
		if v := &s.volumes[i]; v.BrokenMS == 0 && v.replica(id) >= 0 {
			s.lookAgain(v, nowMS)
		}
	}
}

// missing reports whether a copy is one that is to be counted, and is made again, or is at an sComponent that was declared dead, or that
// registered again since it was seen to have everything.
func (s *State) missing(r Replica) bool {
	e, ok := s.members.Entry(r.Node)
	return r.State != wire.ReplicaFilling && (r.State == wire.ReplicaRemade || !ok || e.Dead || e.Member.Epoch != r.Member)
}

// lookAgain notes whether a copy is missing.
func (s *State) lookAgain(v *Volume, nowMS int64) {
	switch is := slices.ContainsFunc(v.Replicas, s.missing); {
	case !is:
		v.BrokenMS = 0
	case v.BrokenMS == 0:
		v.BrokenMS = max(nowMS, 1)
	}
}

// seen takes down that a copy at an sComponent which registered again has everything.
func (s *State) seen(v *Volume, q repair.Change, cmd Command) error {
	at := v.replica(q.Node)
	if e, ok := s.members.Entry(q.Node); at < 0 || !ok || e.Dead || e.Member.Epoch != q.Member {
		return wire.Errorf(wire.KindStale, "volume %d: no copy at %q under epoch %d of its membership", v.Volume, q.Node, q.Member)
	}
	was := v.BrokenMS
	next := slices.Clone(v.Replicas)
	next[at].Member = q.Member
	v.Replicas = next
	s.lookAgain(v, cmd.Stamp.NowMS)
	e := events.Event{MS: cmd.Stamp.NowMS, Kind: events.ReplicaInSync, PID: v.PID, Volume: v.Volume, Node: q.Node, Epoch: q.Member, Reason: "it is back and has caught up"}
	if was != 0 && v.BrokenMS == 0 {
		e.Amount = uint64(max(cmd.Stamp.NowMS-was, 0))
		e.Reason += fmt.Sprintf(": every copy is there again, %d ms after the first was missed", e.Amount)
	}
	s.events.Append(e)
	return nil
}

// recache chooses another buffer cache.
func (s *State) recache(v *Volume, q repair.Change, cmd Command) (wire.NodeID, error) {
	const epochs = 3 // a move of the volume or its buffer cache may have used two
	switch {
	case v.Epoch > 1<<32-1-epochs:
		return "", wire.Errorf(wire.KindNoRoom, "volume %d: its epochs are used up", v.Volume)
	case s.moves.MovingOf(wire.MoveCache, 0, v.Volume) != nil || s.moves.MovingOf(wire.MoveVolume, 0, v.Volume) != nil:
		return "", wire.Errorf(wire.KindBusy, "volume %d: it or its buffer cache is moving: wait for the end", v.Volume)
	}
	l, turn, err := s.chooseCache(fmt.Sprint(v.Volume), v.Groups(), cmd, uint64(v.Volume))
	if err != nil {
		return "", err
	}
	s.cacheTurn = turn
	from := v.Cache
	s.countCached(v.Cache, v.CacheRack, v.Groups(), less)
	s.refreshCache(v.Cache)
	v.Cache, v.CacheAddr, v.CacheRack, v.CacheEpoch = l.ID, l.Addr, l.Rack, l.Epoch
	v.Epoch += epochs
	v.Recached, v.Confirmed = true, 0
	s.countCached(v.Cache, v.CacheRack, v.Groups(), 1)
	s.refreshCache(v.Cache)
	e := s.cacheNote
	e.MS, e.Kind, e.PID, e.Volume, e.Node, e.From, e.Epoch, e.Reason = cmd.Stamp.NowMS, events.PlacedCache, v.PID, v.Volume, v.Cache, from, v.Epoch, q.Text
	s.events.Append(e)
	return v.Cache, nil
}

// checkReplicas returns the first broken rule of the copies of a volume.
func (s *State) checkReplicas(v *Volume) error {
	if err := v.Copies.Check(); err != nil {
		return fmt.Errorf("gsm: volume %d: %w", v.Volume, err)
	}
	if !v.Copies.Replicated() {
		if len(v.Replicas) > 0 || v.Config != 0 || v.BrokenMS != 0 || v.Confirmed != 0 {
			return fmt.Errorf("gsm: volume %d has one copy, and %v under configuration %d, broken since %d", v.Volume, v.Replicas, v.Config, v.BrokenMS)
		}
		return nil
	}
	var n [wire.ReplicaRemade + 1]int
	dead := false
	for i, r := range v.Replicas {
		if _, ok := s.members.Get(r.Node); !ok || r.State < wire.ReplicaInSync || r.State > wire.ReplicaRemade || v.replica(r.Node) != i || r.State == wire.ReplicaFilling && i != len(v.Replicas)-1 {
			return fmt.Errorf("gsm: volume %d: copy %+v of %v never was, is there twice, or is out of order", v.Volume, r, v.Replicas)
		}
		n[r.State]++
		dead = dead || s.missing(r)
	}
	switch {
	case n[wire.ReplicaInSync]+n[wire.ReplicaLeaving]+n[wire.ReplicaRemade] != int(v.Copies.Replicas) || n[wire.ReplicaFilling]+n[wire.ReplicaRemade] > 1 || n[wire.ReplicaFilling] != n[wire.ReplicaLeaving]:
		return fmt.Errorf("gsm: volume %d wants %d copies and has %v", v.Volume, v.Copies.Replicas, v.Replicas)
	case v.Confirmed > v.Config:
		return fmt.Errorf("gsm: volume %d: configuration %d is confirmed, it has %d", v.Volume, v.Confirmed, v.Config)
	case v.Config == 0 || v.Storage != v.Replicas[0].Node:
		return fmt.Errorf("gsm: volume %d: %v under configuration %d, the first is said to be at %q", v.Volume, v.Replicas, v.Config, v.Storage)
	case dead != (v.BrokenMS != 0):
		return fmt.Errorf("gsm: volume %d: a copy of %v is lost: %v, noted since %d", v.Volume, v.Replicas, dead, v.BrokenMS)
	}
	return nil
}
