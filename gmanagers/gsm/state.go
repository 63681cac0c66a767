package gsm

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/apart"
	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/internal/dedup"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/movelist"
	"splitkernel/gmanagers/placement"
	"splitkernel/netlayer/wire"
)

// MaxVolumes bounds the volumes that exist at a time.
const MaxVolumes = 1 << 16

// MaxClosed bounds the vNodes of which is remembered that they were freed, so that a late Prepare holds nothing for them.
const MaxClosed = 1024

// Volume is a volume, as listings and snapshots hold it.
type Volume struct {
	Volume    wire.VolumeID
	Epoch     wire.Epoch
	Name      string
	SizeBytes uint64
	PID       wire.PID // of the vNode
	Prepared  bool     // held for an admission that is not known to be decided
	Storage   wire.NodeID
	Cache     wire.NodeID
	CacheAddr string // as stamped when it was placed
	PlacedMS  int64  // ms since 1970 by the clock of the leader that placed it
	// Lost says what did not survive its move, the volume or its buffer cache with writes that were not flushed; 0 is nothing.
	Lost      wire.MoveKind
	CacheRack string     // of the buffer cache, as stamped when it was placed
	Apart     apart.Rule // of its vNode
	Own       apart.Rule // its own
	// CacheEpoch is of the mComponent's membership when it became the buffer cache: under another it has lost what it held.
	CacheEpoch wire.Epoch
	Copies     admission.Copies
	// Replicas are the copies of a volume that has several: n that are counted in quorums, of which one may be leaving, and then one that
	// fills in its stead; or n of which one is made again and not there for quorums. Storage is the first. The slice is replaced, never changed.
	Replicas []Replica
	Config   uint64 // of Replicas: 1 at first, one more with each change; 0 if there is one copy
	// BrokenMS is since when a copy that is counted is missing: its sComponent was declared dead, or registered again and the copy was not
	// seen since; by the clock of the leader, 0 if none is.
	BrokenMS  int64
	Confirmed uint64 // the configuration that the buffer cache is known to have, 0 if none is known
	Recached  bool   // the buffer cache was chosen anew, and perhaps nobody was told
}

// Groups are its memberships of groups.
func (v *Volume) Groups() []apart.Member { return apart.Volume(v.Apart, v.PID, v.Own, v.Volume) }

// less as a number of times is minus one.
const less = ^uint64(0)

// State is the replicated state. Make one with New.
type State struct {
	members     *membership.Table
	next        uint64                       // the next volume id; 2^32 if all are used up
	volumes     []Volume                     // ascending by Volume
	files       []File                       // ascending by Volume
	asked       []Asked                      // ascending by Holder
	filed       map[wire.NodeID]uint64       // derived: files at an sComponent; only looked up
	reserved    map[wire.NodeID]uint64       // derived: bytes of the volumes and files at an sComponent; only looked up
	stored      map[wire.NodeID]uint64       // derived: volumes at an sComponent; only looked up
	cached      map[wire.NodeID]uint64       // derived: volumes of a buffer cache; only looked up
	of          map[wire.PID][]wire.VolumeID // derived: the volumes of a vNode, ascending; only looked up
	closed      []wire.PID                   // vNodes freed last, oldest first, at most MaxClosed
	storageTurn wire.NodeID                  // the sComponent that round_robin chose last; empty if none
	cacheTurn   wire.NodeID                  // the same of buffer caches
	gates       []Gate                       // mComponents that get no buffer cache, ascending by ID, at most MaxGates
	sessions    *dedup.Table[Result]
	events      *events.Log
	untold      events.Pending // of what is Prepared
	moves       *movelist.List
	note        events.Event      // why the sComponent at hand was chosen, kept for its memory
	cacheNote   events.Event      // and the buffer cache
	caches      []membership.Live // mComponents that take buffer caches, as stamped: never silent, ascending by ID, at most membership.MaxMembers
	apart       *apart.Index      // derived: where the volumes of groups are, or will be
	apartCaches *apart.Index      // derived: and their buffer caches
	set         placement.Set     // derived: the sComponents as candidates
	cacheSet    placement.Set     // derived: caches as candidates
}

// New returns the state of a manager that has seen no command.
func New() *State {
	s := &State{members: membership.NewTable(wire.RoleStorage), next: 1, sessions: dedup.NewTable[Result](), events: &events.Log{}, moves: movelist.New(wire.GSM)}
	s.derive()
	return s
}

// derive makes the counters, the indices of groups and the candidates.
func (s *State) derive() {
	s.reserved, s.stored, s.cached = map[wire.NodeID]uint64{}, map[wire.NodeID]uint64{}, map[wire.NodeID]uint64{}
	s.of = map[wire.PID][]wire.VolumeID{}
	s.filed = map[wire.NodeID]uint64{}
	s.apart, s.apartCaches = apart.New(), apart.New()
	s.set, s.cacheSet = placement.Set{}, placement.Set{}
	for i := range s.volumes {
		v := &s.volumes[i]
		s.count(v, 1)
		s.of[v.PID] = append(s.of[v.PID], v.Volume)
	}
	for _, f := range s.files {
		s.countFile(f, 1)
	}
	list := s.moves.Moves()
	for i := range list {
		if m := &list[i]; !m.Ended() {
			s.countMove(m, 1)
		}
	}
	for i := range s.members.View() {
		s.set.Add(s.candidate(i))
	}
	for i := range s.caches {
		s.cacheSet.Add(s.cacheCandidate(i))
	}
	s.set.Index()
	s.cacheSet.Index()
}

// count counts a volume and its buffer cache, n times, which is 1 or less, without bringing the candidates in line.
func (s *State) count(v *Volume, n uint64) {
	ms := v.Groups()
	for _, id := range v.Stores() {
		s.countStored(id, v.SizeBytes, ms, n)
	}
	s.countCached(v.Cache, v.CacheRack, ms, n)
}

func (s *State) countStored(id wire.NodeID, size uint64, ms []apart.Member, n uint64) {
	s.reserved[id] += n * size
	s.stored[id] += n
	if len(ms) > 0 {
		m, _ := s.members.Get(id)
		s.apart.Add(ms, id, m.Rack, n)
	}
}

func (s *State) countCached(id wire.NodeID, rack string, ms []apart.Member, n uint64) {
	if s.cached[id] += n; s.cached[id] == 0 {
		delete(s.cached, id)
	}
	s.apartCaches.Add(ms, id, rack, n)
}

// refresh brings the candidate of an sComponent in line with the books, refreshCache that of an mComponent.
func (s *State) refresh(id wire.NodeID) {
	if i, ok := s.members.Find(id); ok {
		s.set.Put(s.candidate(i))
	} else {
		s.set.Remove(id)
	}
}

func (s *State) refreshCache(id wire.NodeID) {
	if i, ok := s.findCache(id); ok {
		s.cacheSet.Put(s.cacheCandidate(i))
	} else {
		s.cacheSet.Remove(id)
	}
}

func (s *State) findCache(id wire.NodeID) (int, bool) {
	return slices.BinarySearchFunc(s.caches, id, func(l membership.Live, id wire.NodeID) int { return cmp.Compare(l.ID, id) })
}

// see takes over what a command tells of members and of mComponents.
func (s *State) see(cmd Command) {
	s.members.See(cmd.Stamp.Live, s.refresh)
	for _, l := range cmd.Caches {
		i, ok := s.findCache(l.ID)
		switch {
		case checkCache(l) != nil || ok && l.Epoch < s.caches[i].Epoch:
			continue
		case l.Silent && ok:
			s.caches = slices.Delete(s.caches, i, i+1)
		case l.Silent:
			continue
		case ok:
			s.caches[i] = l
		case len(s.caches) < membership.MaxMembers:
			s.caches = slices.Insert(s.caches, i, l)
		}
		s.refreshCache(l.ID)
	}
}

// Caches returns the mComponents that take buffer caches as far as stamps told, ascending by id. The caller changes nothing and keeps
// nothing.
func (s *State) Caches() []membership.Live { return s.caches }

// Apply carries out a command once: the same (client, sequence) again changes nothing and has the same result.
func (s *State) Apply(cmd Command) Result {
	return s.sessions.Once(cmd.Client, cmd.Seq, failed, func() Result { return s.apply(cmd) })
}

func (s *State) apply(cmd Command) Result {
	s.see(cmd)
	q := cmd.Request
	switch q.Op {
	case OpRegister:
		if was, ok := s.members.Get(q.Member.ID); ok && was.Rack != q.Member.Rack && s.apart.Has(was.ID) {
			return failed(wire.Errorf(wire.KindExists, "member %q: rack %q, it has volumes that are apart by rack and were placed when its rack was %q: drain it under that first", was.ID, q.Member.Rack, was.Rack))
		}
		epoch, err := s.members.Register(q.Member)
		if err != nil {
			return failed(err)
		}
		s.rerack(q.Member.ID)
		s.events.Joined(cmd.Stamp.NowMS, q.Member.ID, epoch)
		s.broken(cmd.Stamp.NowMS, q.Member.ID)
		return Result{Epoch: epoch}
	case OpSteps:
		return s.steps(cmd)
	case OpDead:
		return s.dead(cmd)
	case OpBegin:
		return s.beginMoves(cmd)
	case OpEnd:
		return s.endMoves(cmd)
	case OpNode:
		return s.node(cmd)
	case OpNote:
		return s.noted(cmd)
	case OpGates:
		return s.setGates(q.Gates)
	case OpRepair:
		return s.repair(cmd)
	case OpFile:
		return s.file(cmd)
	}
	return failed(wire.Errorf(wire.KindBadRequest, "gsm operation %d, which there is not", q.Op))
}

func (s *State) steps(cmd Command) Result {
	steps := cmd.Request.Steps
	if len(steps) > admission.MaxBatch {
		return failed(wire.Errorf(wire.KindBadRequest, "%d steps, at most %d", len(steps), admission.MaxBatch))
	}
	res := Result{Votes: make([]admission.Vote, 0, len(steps))}
	for _, st := range steps {
		v := admission.Vote{PID: st.PID}
		if err := s.step(st, cmd, &v); err != nil {
			v.Kind, v.Text = wire.KindOf(err), membership.TextOf(err)
			if never := s.never(st); v.Kind == wire.KindNoRoom && never != "" {
				v.Never, v.Text = true, v.Text+"; "+never
			}
		}
		res.Votes = append(res.Votes, v)
	}
	return res
}

// step carries out one step of a vNode's transaction.
func (s *State) step(st admission.Step, cmd Command, v *admission.Vote) (err error) {
	ids := s.of[st.PID]
	switch {
	case st.PID == 0:
		return wire.Errorf(wire.KindBadRequest, "process id 0")
	case st.Verb == admission.Free:
		if len(ids) > 0 && !s.prepared(st.PID) { // of what is prepared nothing was told
			s.events.Append(events.Event{MS: cmd.Stamp.NowMS, Kind: events.Released, PID: st.PID, Amount: uint64(len(ids))})
		}
		s.free(st.PID)
	case st.Verb == admission.Prepare:
		if len(ids) == 0 {
			if ids, err = s.hold(st, cmd); err != nil {
				return err
			}
		}
		for _, id := range ids {
			v.Volumes = append(v.Volumes, s.placement(id))
		}
	case st.Verb != admission.Commit:
		return wire.Errorf(wire.KindBadRequest, "step %d of process %d, want 1 to 3", st.Verb, st.PID)
	case len(ids) == 0:
		return wire.Errorf(wire.KindNotFound, "process %d has no volumes", st.PID)
	default:
		for _, id := range ids {
			i, _ := s.find(id)
			s.volumes[i].Prepared = false
		}
		s.untold.Tell(st.PID, s.events)
	}
	return nil
}

// hold places the volumes of a vNode, all of them or none.
func (s *State) hold(st admission.Step, cmd Command) ([]wire.VolumeID, error) {
	switch {
	case slices.Contains(s.closed, st.PID):
		return nil, wire.Errorf(wire.KindStale, "process %d was freed before it was prepared", st.PID)
	case st.Apart.CheckQualified() != nil:
		return nil, st.Apart.CheckQualified()
	case len(st.Volumes) == 0 || len(st.Volumes) > admission.MaxVolumes:
		return nil, wire.Errorf(wire.KindBadRequest, "process %d wants %d volumes, want 1 to %d", st.PID, len(st.Volumes), admission.MaxVolumes)
	}
	for _, spec := range st.Volumes {
		if err := s.create(spec, st, cmd); err != nil {
			s.drop(st.PID)
			return nil, err
		}
	}
	return s.of[st.PID], nil
}

// create places one volume; it is prepared.
func (s *State) create(spec admission.VolumeSpec, st admission.Step, cmd Command) error {
	pid := st.PID
	switch {
	case len(spec.Name) > admission.MaxNameBytes:
		return wire.Errorf(wire.KindBadRequest, "volume name of %d bytes, want at most %d", len(spec.Name), admission.MaxNameBytes)
	case spec.SizeBytes == 0 || spec.SizeBytes > math.MaxInt64:
		return wire.Errorf(wire.KindBadRequest, "volume %q: size_bytes: %d, want 1 to %d", spec.Name, spec.SizeBytes, int64(math.MaxInt64))
	case spec.Apart.CheckQualified() != nil:
		return spec.Apart.CheckQualified()
	case spec.Apart.Level != 0 && spec.Apart.Group == st.Apart.Group:
		return wire.Errorf(wire.KindBadRequest, "volume %q: its group %q is that of its vNode", spec.Name, st.Apart.Group)
	case spec.Copies.Check() != nil:
		return spec.Copies.Check()
	case len(s.volumes) >= MaxVolumes || s.next > math.MaxUint32:
		return wire.Errorf(wire.KindNoRoom, "volume table: %d volumes, at most %d, and ids up to %d", len(s.volumes), MaxVolumes, uint32(math.MaxUint32))
	}
	size := (spec.SizeBytes + wire.PageSize - 1) / wire.PageSize * wire.PageSize
	ms := apart.Volume(st.Apart, pid, spec.Apart, wire.VolumeID(s.next))
	storages, storageTurn, notes, err := s.chooseStorages(spec, size, ms, cmd.Stamp)
	if err != nil {
		return err
	}
	cache, cacheTurn, err := s.chooseCache(spec.Name, ms, cmd, s.next)
	if err != nil {
		return err
	}
	v := Volume{
		Volume: wire.VolumeID(s.next), Epoch: 1, Name: spec.Name, SizeBytes: size, PID: pid, Prepared: true,
		Storage: storages[0].ID, Cache: cache.ID, CacheAddr: cache.Addr, PlacedMS: cmd.Stamp.NowMS,
		CacheRack: cache.Rack, CacheEpoch: cache.Epoch, Apart: st.Apart, Own: spec.Apart, Copies: spec.Copies,
	}
	if spec.Copies.Replicated() {
		v.Config = 1
		for _, m := range storages {
			v.Replicas = append(v.Replicas, Replica{m.ID, wire.ReplicaInSync, m.Epoch})
		}
	}
	s.next++
	s.volumes = append(s.volumes, v) // ids only grow
	s.count(&v, 1)
	s.refreshStores(&v)
	s.refreshCache(v.Cache)
	s.storageTurn, s.cacheTurn = storageTurn, cacheTurn // not before: a volume without a cache is no turn
	s.of[pid] = append(s.of[pid], v.Volume)
	for i, e := range notes {
		e.MS, e.Kind, e.PID, e.Volume, e.Node, e.Amount = cmd.Stamp.NowMS, events.PlacedVolume, pid, v.Volume, storages[i].ID, size
		s.untold.Add(e)
	}
	e := s.cacheNote
	e.MS, e.Kind, e.PID, e.Volume, e.Node = cmd.Stamp.NowMS, events.PlacedCache, pid, v.Volume, v.Cache
	s.untold.Add(e)
	return nil
}

// placement returns where a volume is that exists.
func (s *State) placement(id wire.VolumeID) admission.Volume {
	i, _ := s.find(id)
	return s.Place(&s.volumes[i])
}

// Place says where a volume is.
func (s *State) Place(v *Volume) admission.Volume {
	return v.Place(func(id wire.NodeID) string {
		m, _ := s.members.Get(id)
		return m.Addr
	})
}

// Place says where the volume is; addr gives the addresses of sComponents.
func (v *Volume) Place(addr func(wire.NodeID) string) admission.Volume {
	p := admission.Volume{
		Volume: v.Volume, Epoch: v.Epoch, SizeBytes: v.SizeBytes, Storage: v.Storage, StorageAddr: addr(v.Storage), Cache: v.Cache, CacheAddr: v.CacheAddr,
		Copies: v.Copies, Config: v.Config,
	}
	for _, r := range v.Replicas {
		p.Replicas = append(p.Replicas, wire.VolumeReplica{Node: r.Node, Addr: addr(r.Node), Member: r.Member, State: r.State})
	}
	return p
}

// Prepared returns the vNodes whose volumes are held for an admission that is not known to be decided, ascending.
func (s *State) Prepared() []wire.PID {
	out := []wire.PID{}
	for _, v := range s.volumes {
		if v.Prepared {
			out = append(out, v.PID)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// isApart begins the refusal of what has memberships.
func (s *State) isApart(ms []apart.Member) string {
	if len(ms) == 0 {
		return ""
	}
	return fmt.Sprintf("apart: it is apart from %s; ", apart.Groups(ms))
}

// refuses says why each sComponent is none for a volume of size bytes of which others have a copy.
func (s *State) refuses(size uint64, ms []apart.Member, others []wire.NodeID) string {
	var why membership.Refusals
	members := s.members.View()
	for i := range members {
		m := &members[i]
		if _, ok := s.members.Heard(i); !s.members.Placeable(i) {
			why.Closed(m.ID, s.members.StateAt(i))
		} else if !ok {
			why.Silent(m.ID)
		} else if text := s.apart.Why(ms, m.ID, m.Rack); text != "" {
			why.Apart(m.ID, text)
		} else if slices.Contains(others, m.ID) {
			why.Apart(m.ID, "has a copy already")
		} else if c := s.candidate(i); c.Room < size {
			why.Short(m.ID, size, c.Room, c.Capacity)
		}
	}
	return why.With("raise scomponent.capacity_bytes")
}

// candidate makes the candidate of member i.
func (s *State) candidate(i int) placement.Candidate {
	m := &s.members.View()[i]
	capacity, reserved := m.Capacity.StorageBytes, s.reserved[m.ID]
	traffic, heard := s.members.Heard(i)
	return placement.Candidate{
		ID: m.ID, Rack: m.Rack, Room: capacity - min(capacity, reserved), // it may have registered again with less
		Reserved: reserved, Capacity: capacity, Volumes: s.stored[m.ID], Traffic: traffic, Closed: !heard || !s.members.Placeable(i),
	}
}

// cacheCandidate makes the candidate of s.caches[i], which reserves nothing.
func (s *State) cacheCandidate(i int) placement.Candidate {
	l := &s.caches[i]
	return placement.Candidate{ID: l.ID, Rack: l.Rack, Room: math.MaxUint64, Volumes: s.cached[l.ID], Traffic: l.Traffic, Closed: s.shut(l.ID, l.Epoch)}
}

// chooseCache returns the mComponent for a buffer cache, which reserves nothing, and whose turn it was then.
func (s *State) chooseCache(name string, ms []apart.Member, cmd Command, key uint64) (l membership.Live, turn wire.NodeID, err error) {
	policy, err := placement.New(cmd.CachePolicy)
	if err != nil {
		return l, "", err
	}
	ask := placement.Ask{Need: 1, Key: placement.Hash(key), Chance: placement.Hash(cmd.Stamp.Chance, key, 1), After: s.cacheTurn} // another draw than for storage
	ask.Avoid, ask.AvoidRacks = s.apartCaches.Avoid(ms)
	ask.Within, ask.WithinRacks = s.apartCaches.Own(ms)
	i, ask := placement.ChooseNear(policy, ask, &s.cacheSet)
	if i < 0 {
		return l, "", wire.Errorf(wire.KindNoRoom, "%sbuffer caches: volume %q wants 1, no mComponent is alive%s", s.isApart(ms), name, s.refusesCache(ms))
	}
	s.cacheNote.Explain(policy, ask, &s.cacheSet, i)
	l = s.caches[i]
	if policy.Rotates {
		return l, l.ID, nil
	}
	return l, s.cacheTurn, nil
}

// refusesCache says after "no mComponent is alive" why those that are take no buffer cache.
func (s *State) refusesCache(ms []apart.Member) string {
	closed := 0
	var near membership.Refusals
	for i := range s.caches {
		l := &s.caches[i]
		if s.cacheSet.Closed(i) {
			closed++
		} else if why := s.apartCaches.Why(ms, l.ID, l.Rack); why != "" {
			near.Apart(l.ID, why)
		}
	}
	text := ""
	if closed > 0 {
		text = fmt.Sprintf(" and takes any (%d are draining or dead)", closed)
	}
	if near.Any() {
		text += " and apart: " + near.String()
	}
	return text
}

func (s *State) find(id wire.VolumeID) (int, bool) {
	return slices.BinarySearchFunc(s.volumes, id, func(v Volume, id wire.VolumeID) int { return cmp.Compare(v.Volume, id) })
}

// free gives back the volumes of a vNode and remembers that it did.
func (s *State) free(pid wire.PID) {
	s.drop(pid)
	if slices.Contains(s.closed, pid) {
		return
	}
	s.closed = append(s.closed, pid)
	if len(s.closed) > MaxClosed {
		s.closed = slices.Delete(s.closed, 0, 1)
	}
}

// drop forgets the volumes of a vNode.
func (s *State) drop(pid wire.PID) {
	for _, id := range s.of[pid] {
		i, _ := s.find(id)
		v := s.volumes[i]
		s.count(&v, less)
		s.refreshStores(&v)
		s.refreshCache(v.Cache)
		s.volumes = slices.Delete(s.volumes, i, i+1)
	}
	delete(s.of, pid)
	s.untold.Drop(pid)
}

// prepared reports whether the volumes of a vNode are held for an admission that is not known to be decided.
func (s *State) prepared(pid wire.PID) bool {
	ids := s.of[pid]
	if len(ids) == 0 {
		return false
	}
	i, ok := s.find(ids[0])
	return ok && s.volumes[i].Prepared
}

// Members returns the sComponents, ascending by id.
func (s *State) Members() []wire.Member { return s.members.Members() }

// Volumes returns the volumes, ascending by id; id selects one, 0 all.
func (s *State) Volumes(id wire.VolumeID) []Volume {
	if id == 0 {
		return append([]Volume{}, s.volumes...) // never nil: equal states give equal snapshots
	}
	i, ok := s.find(id)
	if !ok {
		return nil
	}
	return []Volume{s.volumes[i]}
}

// CheckCapacity returns an error if the volumes of an sComponent take more bytes than it offers. It is apart from
// CheckInvariants because an sComponent may register again with less than its volumes take.
func (s *State) CheckCapacity() error {
	for _, m := range s.members.Members() {
		if s.reserved[m.ID] > m.Capacity.StorageBytes {
			return fmt.Errorf("gsm: the volumes at %q take %d bytes of %d", m.ID, s.reserved[m.ID], m.Capacity.StorageBytes)
		}
	}
	return nil
}

// CheckInvariants returns the first broken rule: order, limits, and counts that do not fit the volumes.
func (s *State) CheckInvariants() error {
	if err := s.members.CheckInvariants(); err != nil {
		return err
	}
	if err := s.sessions.CheckInvariants(); err != nil {
		return err
	}
	if err := s.events.CheckInvariants(); err != nil {
		return err
	}
	if len(s.volumes) > MaxVolumes || s.next == 0 || s.next > math.MaxUint32+1 {
		return fmt.Errorf("gsm: %d volumes, at most %d; next id %d", len(s.volumes), MaxVolumes, s.next)
	}
	if n := max(len(s.storageTurn), len(s.cacheTurn)); n > membership.MaxIDBytes {
		return fmt.Errorf("gsm: a last turn was that of an id of %d bytes, at most %d", n, membership.MaxIDBytes)
	}
	if err := errors.Join(s.checkGates(), s.checkFiles()); err != nil {
		return err
	}
	for i, v := range s.volumes {
		_, ok := s.members.Get(v.Storage)
		switch {
		case i > 0 && s.volumes[i-1].Volume >= v.Volume:
			return fmt.Errorf("gsm: volume %d is out of order", v.Volume)
		case v.Volume == 0 || uint64(v.Volume) >= s.next:
			return fmt.Errorf("gsm: volume %d, the next is %d", v.Volume, s.next)
		case !ok || v.Cache == "" || v.CacheAddr == "":
			return fmt.Errorf("gsm: volume %d is at %q, which never was, or has no cache (%q at %q)", v.Volume, v.Storage, v.Cache, v.CacheAddr)
		case v.PID == 0 || slices.Contains(s.closed, v.PID):
			return fmt.Errorf("gsm: volume %d is of process %d, which is none or was freed", v.Volume, v.PID)
		case v.Apart.CheckQualified() != nil || v.Own.CheckQualified() != nil || len(v.CacheRack) > membership.MaxIDBytes:
			return fmt.Errorf("gsm: volume %d: groups %+v and %+v, cache in a rack of %d bytes", v.Volume, v.Apart, v.Own, len(v.CacheRack))
		case v.Lost != 0 && v.Lost != wire.MoveVolume && v.Lost != wire.MoveCache:
			return fmt.Errorf("gsm: volume %d lost %v", v.Volume, v.Lost)
		case v.Epoch == 0 || v.SizeBytes == 0 || v.SizeBytes%wire.PageSize != 0 || v.SizeBytes > 1<<63 || len(v.Name) > admission.MaxNameBytes:
			return fmt.Errorf("gsm: volume %d: epoch %d, %d bytes, name of %d bytes", v.Volume, v.Epoch, v.SizeBytes, len(v.Name))
		}
		if err := s.checkReplicas(&v); err != nil {
			return err
		}
	}
	if len(s.closed) > MaxClosed {
		return fmt.Errorf("gsm: %d freed vNodes are remembered, at most %d", len(s.closed), MaxClosed)
	}
	if err := s.checkMoves(); err != nil {
		return err
	}
	if err := s.untold.CheckInvariants(s.prepared); err != nil {
		return fmt.Errorf("gsm: %w", err)
	}
	if err := s.checkCaches(); err != nil {
		return err
	}
	was := *s
	was.derive()
	if err := errors.Join(s.set.Same(&was.set), s.cacheSet.Same(&was.cacheSet), s.apart.Same(was.apart), s.apartCaches.Same(was.apartCaches), s.apart.Check(), s.apartCaches.Check()); err != nil {
		return fmt.Errorf("gsm: %w", err)
	}
	if len(s.of) != len(was.of) {
		return fmt.Errorf("gsm: counts volumes of %d vNodes, has them of %d", len(s.of), len(was.of))
	}
	for _, m := range s.members.Members() {
		if s.reserved[m.ID] != was.reserved[m.ID] || s.stored[m.ID] != was.stored[m.ID] || s.filed[m.ID] != was.filed[m.ID] {
			return fmt.Errorf("gsm: %q counts %d volumes of %d bytes, has %d of %d", m.ID, s.stored[m.ID], s.reserved[m.ID], was.stored[m.ID], was.reserved[m.ID])
		}
	}
	for _, v := range s.volumes {
		if !slices.Equal(s.of[v.PID], was.of[v.PID]) {
			return fmt.Errorf("gsm: process %d counts volumes %v, has %v", v.PID, s.of[v.PID], was.of[v.PID])
		}
		if s.cached[v.Cache] != was.cached[v.Cache] {
			return fmt.Errorf("gsm: cache %q counts %d volumes, has %d", v.Cache, s.cached[v.Cache], was.cached[v.Cache])
		}
	}
	return nil
}

// rerack brings candidate and groups of an sComponent that registered again in line with its rack.
func (s *State) rerack(id wire.NodeID) {
	m, _ := s.members.Get(id)
	s.apart.Rename(id, m.Rack)
	s.refresh(id)
}

// checkCaches returns the first broken rule of the mComponents that take buffer caches.
func (s *State) checkCaches() error {
	if len(s.caches) > membership.MaxMembers {
		return fmt.Errorf("gsm: %d mComponents, at most %d", len(s.caches), membership.MaxMembers)
	}
	for i, l := range s.caches {
		if err := checkCache(l); err != nil || l.Silent || i > 0 && s.caches[i-1].ID >= l.ID {
			return fmt.Errorf("gsm: mComponent %+v is silent or out of order (%v)", l, err)
		}
	}
	return nil
}
