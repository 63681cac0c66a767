package replica

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"splitkernel/netlayer/canary"
	"splitkernel/netlayer/wire"
)

// Holder is what one mComponent holds for the owners of others. Use one goroutine at a time.
type Holder struct {
	o       Options
	self    wire.NodeID
	shift   uint // log2(region bytes) - PageShift
	regions map[key]*held
	slots   map[uint32]*held
	logged  int         // pages in the memory of logs
	saves   []savePlace // pages of logs that are not in the backup file yet, the oldest first; those before next are gone
	next    int
	saving  map[savePlace]bool // on their way to the file; a page that comes back waits until the older write has ended
	saveDue time.Duration      // after a failure
	fails   int
	files   files
	now     wire.Epoch // of the membership; 0: none that counts
	past    wire.Epoch // the newest that is over
	stats   HolderStats
}

// HolderStats counts what a Holder did since its start.
type HolderStats struct {
	Regions     int    // now
	Pages       int    // now
	Kept        int    // pages as they were at the last checkpoints, of those that changed since
	LoggedPages int    // in the memory of logs now
	Writes      uint64 // taken
	Old         uint64 // not newer than what was there
	Skipped     uint64 // by a full log
	Full        uint64 // turned away until there is room
	Saved       uint64 // pages that went to backup files
	FilePages   int    // in backup files now
	SaveErrors  uint64 // pages that could not be written to a backup file, and will be tried again
	Unread      uint64 // pages of which what a backup file gave was not what was written: they are lost, by name
	Stale       uint64 // of an older configuration or barrier
}

type key struct {
	pid    wire.PID
	region wire.RegionNo
}

// where says where the bytes of a page are.
type where uint8

const (
	stored where = 1 // in the page store
	saved  where = 2 // in the backup file
	lost   where = 3 // nowhere: only the version is known
)

type entry struct {
	version
	sum   uint32
	where where
	file  wire.VolumeID // of a saved one: where it is
	block uint32
}

// held is one vRegion.
type held struct {
	key
	epoch    wire.Epoch
	config   uint64
	barrier  uint32
	policy   wire.MemoryPolicy
	index    uint32
	slot     uint32
	pages    table
	lines    map[wire.PageNo]uint32 // of shares: pages by line
	promoted bool                   // this mComponent owns the vRegion now: nothing is added
	owner    wire.NodeID            // which opened it last, and told its address
	addr     string
	kept     wire.CutState // the last checkpoint of its process
	pre      table         // pages as they were then, of those that changed since
}

type savePlace struct {
	key
	page wire.PageNo
}

// NewHolder makes the holder's side. self names this mComponent in errors; regionBytes is the size of a vRegion. The options have been validated.
func NewHolder(o Options, self wire.NodeID, regionBytes uint64) *Holder {
	shift := uint(0)
	for uint64(wire.PageSize)<<shift < regionBytes {
		shift++
	}
	return &Holder{o: o, self: self, shift: shift, regions: map[key]*held{}, slots: map[uint32]*held{}, saving: map[savePlace]bool{}}
}

// Stats returns the counts.
func (h *Holder) Stats() HolderStats {
	s := h.stats
	s.Regions, s.LoggedPages, s.FilePages = len(h.regions), h.logged, h.filePages()
	for _, r := range h.regions { // a sum: no order
		s.Pages += r.pages.n
		s.Kept += r.pre.n
	}
	return s
}

// Registered says under which epoch the managers have this mComponent now.
func (h *Holder) Registered(e wire.Epoch) {
	if e > h.past {
		h.now, h.past = e, e-1
	}
}

// Opening is what the driver does for a replica_open.
type Opening struct {
	New  bool   // get a slot and call Add
	Free bool   // free the pages of Slot: a fill begins anew
	Slot uint32 // unless New
	Rep  wire.ReplicaOpenRep
}

// Open takes a configuration. One that is older than what is known is refused as stale.
func (h *Holder) Open(req wire.ReplicaOpenReq) (o Opening, err error) {
	switch {
	case req.Member == 0 || req.Member == h.now:
	case req.Member <= h.past:
		return o, wire.Errorf(wire.KindNotFound, "%s was made a holder of vRegion %d of process %d under epoch %d of its membership, which is over: it has nothing", h.self, req.Region, req.PID, req.Member)
	default:
		return o, wire.Errorf(wire.KindBusy, "%s was made a holder of vRegion %d of process %d under epoch %d of its membership, of which it has not heard: retry", h.self, req.Region, req.PID, req.Member)
	}
	r := h.regions[key{req.PID, req.Region}]
	switch {
	case r == nil:
		return Opening{New: true}, nil
	case req.Epoch < r.epoch || req.Epoch == r.epoch && req.Config < r.config:
		return o, h.stale(r, req.Epoch, req.Config)
	}
	o = Opening{Slot: r.slot}
	if req.Epoch == r.epoch && req.Config == r.config {
		r.servedBy(req)
		h.cutAt(r, req.Kept)
		o.Rep = r.rep()
		return o, nil // again
	}
	if r.promoted {
		return o, wire.Errorf(wire.KindBusy, "%s owns vRegion %d of process %d: retry", h.self, req.Region, req.PID)
	}
	r.servedBy(req)
	r.epoch, r.config, r.barrier, r.policy, r.index = req.Epoch, req.Config, 0, req.Policy, req.Index
	if req.Fresh {
		h.clear(r)
		r.kept = wire.CutState{}
		o.Free = true
	}
	h.cutAt(r, req.Kept)
	o.Rep = r.rep()
	return o, nil
}

// Add makes a holder of what Open said is new, in the slot that it got.
func (h *Holder) Add(req wire.ReplicaOpenReq, slot uint32) {
	none := table{first: wire.PageNo(uint64(req.Region) << h.shift)}
	r := &held{key: key{req.PID, req.Region}, epoch: req.Epoch, config: req.Config, policy: req.Policy, index: req.Index, slot: slot, pages: none, pre: none, kept: req.Kept}
	r.servedBy(req)
	h.regions[r.key], h.slots[slot] = r, r
}

// servedBy takes note of who opens it: an owner that serves says where it is, one that only fences does not.
func (r *held) servedBy(req wire.ReplicaOpenReq) {
	if req.Owner != "" {
		r.owner, r.addr = req.Owner, req.Addr
	}
}

func (r *held) rep() wire.ReplicaOpenRep {
	rep := wire.ReplicaOpenRep{Pages: uint64(r.pages.n), Kept: r.kept}
	for _, e := range r.pages.all() {
		if e.where == lost {
			rep.Lost++
		}
	}
	return rep
}

func (h *Holder) stale(r *held, epoch wire.Epoch, config uint64) error {
	h.stats.Stale++
	return wire.Errorf(wire.KindStale, "%s holds vRegion %d of process %d under epoch %d, configuration %d: %d, %d is over", h.self, r.region, r.pid, r.epoch, r.config, epoch, config)
}

// clear forgets the pages of a vRegion, which the driver frees.
func (h *Holder) clear(r *held) {
	for _, e := range r.pages.all() {
		h.gone(r, e)
	}
	h.dropKept(r)
	r.pages.clear()
	r.lines = nil
}

// Action says what the driver does with a page that came.
type Action uint8

// The actions.
const (
	Old     Action = 1 // acknowledge
	Store   Action = 2 // store it in the slot's group, and acknowledge
	Skip    Action = 3 // as Aside, and acknowledge as skipped; nothing is stored of one that is kept
	Discard Action = 4 // free what is stored of the page, and acknowledge: as skipped if it came with bytes
	Wait    Action = 5 // with an error: a log is full, and has room when pages of it are in the backup file; whoever can waits for that
	Keep    Action = 6 // have the slot's group keep it for its checkpoint, and acknowledge
	Aside   Action = 7 // have the slot's group keep what is stored of the page, and acknowledge
)

func (a Action) String() string {
	return [...]string{"?", "old", "store", "skip", "discard", "wait", "keep", "aside"}[min(int(a), 7)]
}

// find gives the vRegion of a request under a configuration.
func (h *Holder) find(pid wire.PID, region wire.RegionNo, epoch wire.Epoch, config uint64) (*held, error) {
	r := h.regions[key{pid, region}]
	switch {
	case r == nil:
		return nil, wire.Errorf(wire.KindNotFound, "%s holds nothing of vRegion %d of process %d", h.self, region, pid)
	case epoch < r.epoch || epoch == r.epoch && config < r.config:
		return nil, h.stale(r, epoch, config)
	case epoch != r.epoch || config != r.config:
		return nil, wire.Errorf(wire.KindBusy, "%s has not heard of epoch %d, configuration %d of vRegion %d of process %d: retry", h.self, epoch, config, region, pid)
	}
	return r, nil
}

// Write takes a page. room says whether a frame of the page store is free.
func (h *Holder) Write(w wire.ReplicaWrite, room bool) (slot uint32, a Action, err error) {
	r, err := h.find(w.PID, wire.RegionNo(uint64(w.Page)>>h.shift), w.OwnerEpoch, w.Config)
	if err != nil {
		return 0, 0, err
	}
	if r.promoted {
		return 0, 0, h.stale(r, w.OwnerEpoch, w.Config)
	}
	if w.Barrier < r.barrier {
		h.stats.Stale++
		return 0, 0, wire.Errorf(wire.KindStale, "%s: barrier %d of vRegion %d of process %d is over, want %d", h.self, w.Barrier, r.region, r.pid, r.barrier)
	}
	if w.Pre != 0 {
		return h.writeKept(r, w, room)
	}
	e := r.pages.at(w.Page)
	v := version{w.ProcessEpoch, w.Version}
	again := h.comesAgain(e, w)
	skipped := e != nil && e.where == lost && e.version == v && w.Flags&wire.ReplicaLost == 0 // there may be room now
	if e != nil && !v.newer(e.version) && !skipped && !again {
		h.stats.Old++
		return r.slot, Old, nil
	}
	isLog := r.policy.Kind == wire.MemoryLog
	keeps := r.covers(w.Page, e) && !r.kept.Cut.Covers(v.epoch, v.version)
	here := e != nil && e.where == stored && !keeps // and is overwritten
	if !here && r.lines[h.line(r, w.Page)] > 0 {
		here = true // its line is there
	}
	set := func(to entry) {
		if keeps {
			r.keep(w.Page, e)
		} else {
			h.release(e)
		}
		r.pages.put(w.Page, to)
	}
	if w.Flags&wire.ReplicaLost == 0 {
		if !here && (!room || isLog && uint64(h.logged+1)*wire.PageSize > h.o.LogBytes) {
			if !isLog || r.policy.LogBlock {
				h.stats.Full++
				return h.full(r)
			}
			if again && !h.broken(e.file) { // it is where it was, and asked for once more
				h.stats.Old++
				return r.slot, Old, nil
			}
			h.stats.Skipped++
			if canary.On(canary.SilentSkip) && e != nil {
				return r.slot, Old, nil
			}
			set(entry{version: v, where: lost})
			return r.slot, Skip, nil
		}
		h.stats.Writes++
		if e == nil {
			h.count(r, w.Page, 1)
		}
		set(entry{version: v, sum: w.Sum, where: stored})
		if isLog && !here {
			h.logged++
			h.save(savePlace{r.key, w.Page})
		}
		return r.slot, Store, nil
	}
	if here && isLog {
		h.logged--
	}
	set(entry{version: v, where: lost})
	if keeps {
		return r.slot, Aside, nil
	}
	return r.slot, Discard, nil
}

// Has reports whether a page is known here, also as one whose bytes are elsewhere.
func (h *Holder) Has(pid wire.PID, page wire.PageNo) bool {
	r := h.regions[key{pid, wire.RegionNo(uint64(page) >> h.shift)}]
	return r != nil && r.pages.at(page) != nil
}

// Unmap removes the pages of a range; the driver frees them in the slot's group. ok is false if it was done before.
func (h *Holder) Unmap(req wire.ReplicaUnmapReq) (slot uint32, ok bool, err error) {
	r, err := h.find(req.PID, req.Region, req.Epoch, req.Config)
	if err != nil {
		return 0, false, err
	}
	if r.promoted {
		return 0, false, h.stale(r, req.Epoch, req.Config)
	}
	if req.Barrier <= r.barrier {
		return r.slot, false, nil
	}
	r.barrier = req.Barrier
	h.Forgot(r.slot, wire.PageNo(req.Start>>wire.PageShift), req.Length>>wire.PageShift)
	return r.slot, true, nil
}

// Forgot removes pages of a slot whose vRegion is unmapped, by its owner that may be this mComponent now.
func (h *Holder) Forgot(slot uint32, first wire.PageNo, n uint64) {
	r := h.slots[slot]
	if r == nil {
		return
	}
	for page, ok := r.pages.next(first); ok && uint64(page-first) < n; page, ok = r.pages.next(page + 1) {
		e := r.pages.at(page)
		if r.covers(page, e) {
			r.keep(page, e)
		} else {
			h.gone(r, e)
		}
		r.pages.drop(page)
		h.count(r, page, ^uint32(0))
	}
}

// Item is one page of an answer to a replica_read.
type Item struct {
	wire.PageEntry
	Saved bool // its bytes are in a backup file only
	File  wire.VolumeID
	Block uint32
}

// Read lists the pages that are asked for. A new owner reads under the configuration under which it has opened this holder.
func (h *Holder) Read(q wire.ReplicaRead, items []Item) (_ []Item, head wire.ReplicaPages, err error) {
	r, err := h.find(q.PID, q.Region, q.OwnerEpoch, q.Config)
	if err != nil {
		return items, head, err
	}
	if q.Flags&wire.ReplicaList == 0 {
		head.Bytes = uint32(r.policy.ShareBytes())
	}
	if q.Flags&wire.ReplicaExact != 0 {
		items = h.items(r, q.Page, items)
		head.Count = uint32(len(items))
		head.Next = q.Page + 1
		return items, head, nil
	}
	page, more := r.next(q.Page)
	for n := uint32(0); more && n < q.Count; n++ { // whoever asks counts on it that as many pages from the first on are told of
		items = h.items(r, page, items)
		head.Next = page + 1
		page, more = r.next(page + 1)
	}
	head.Count, head.More = uint32(len(items)), more
	return items, head, nil
}

// next gives the first page from one on of which there is something.
func (r *held) next(from wire.PageNo) (wire.PageNo, bool) {
	now, ok := r.pages.next(from)
	if was, kept := r.pre.next(from); kept && (!ok || was < now) {
		return was, true
	}
	return now, ok
}

// items gives a page as it is, and as it was at the last checkpoint if that is another.
func (h *Holder) items(r *held, page wire.PageNo, list []Item) []Item {
	if e := r.pages.at(page); e != nil {
		list = append(list, h.item(e, page))
	}
	if e := r.pre.at(page); e != nil {
		it := h.item(e, page)
		it.Pre = r.kept.Cut.Pre()
		list = append(list, it)
	}
	return list
}

func (h *Holder) item(e *entry, page wire.PageNo) Item {
	it := Item{PageEntry: wire.PageEntry{Page: page, State: wire.PageFull, Epoch: e.epoch, Version: e.version.version, Sum: e.sum}}
	switch {
	case e.where == lost || e.where == saved && h.broken(e.file):
		it.State, it.Sum = wire.PageLost, 0
	case e.where == saved:
		it.Saved, it.File, it.Block = true, e.file, e.block
	}
	return it
}

// Drop forgets what is here of a vRegion up to a configuration: ok says that there is something, whose slot the driver gives up.
func (h *Holder) Drop(ref wire.ReplicaRef) (slot uint32, ok bool, err error) {
	r := h.regions[key{ref.PID, ref.Region}]
	switch {
	case r == nil || r.promoted:
		return 0, false, nil
	case r.epoch > ref.Epoch || r.epoch == ref.Epoch && r.config > ref.Config:
		return 0, false, h.stale(r, ref.Epoch, ref.Config)
	}
	h.remove(r)
	return r.slot, true, nil
}

func (h *Holder) remove(r *held) {
	h.clear(r)
	delete(h.regions, r.key)
	delete(h.slots, r.slot)
}

// Promote says that this mComponent owns the vRegion from now on, under an epoch and configuration of which its former owner knows nothing: what is here is
// no longer a replica. ok is false if nothing of it is here. The driver reads from it what is in the backup file, and which pages are lost, and then calls Forget.
func (h *Holder) Promote(pid wire.PID, region wire.RegionNo, epoch wire.Epoch, config uint64) (slot uint32, ok bool, err error) {
	r := h.regions[key{pid, region}]
	if r == nil {
		return 0, false, nil
	}
	if epoch < r.epoch || epoch == r.epoch && config < r.config {
		return 0, false, h.stale(r, epoch, config)
	}
	if !r.promoted && r.policy.Kind == wire.MemoryLog {
		for _, list := range []*table{&r.pages, &r.pre} {
			for _, e := range list.all() {
				if e.where == stored {
					h.logged-- // they are pages of an owner
				}
			}
		}
	}
	r.epoch, r.config, r.promoted = epoch, config, true
	return r.slot, true, nil
}

// Forget drops what Promote has left. The slot stays the owner's.
func (h *Holder) Forget(pid wire.PID, region wire.RegionNo) {
	if r := h.regions[key{pid, region}]; r != nil && r.promoted {
		h.exit(r)
	}
}

// Exit forgets what is here of a process that has ended; its slots are those that vregion.Owners.Exit names.
func (h *Holder) Exit(pid wire.PID) {
	for _, r := range h.sorted() {
		if r.pid == pid {
			h.exit(r)
		}
	}
}

func (h *Holder) exit(r *held) {
	if r.promoted {
		for _, list := range []*table{&r.pages, &r.pre} {
			for _, e := range list.all() {
				h.release(e)
			}
		}
		delete(h.regions, r.key)
		delete(h.slots, r.slot)
		return
	}
	h.remove(r)
}

// Fence forgets everything, because the managers gave up what is here.
func (h *Holder) Fence() {
	h.now, h.past = 0, max(h.past, h.now)
	for _, r := range h.sorted() {
		h.exit(r)
	}
	h.forgetFiles()
}

func (h *Holder) sorted() []*held {
	list := make([]*held, 0, len(h.regions))
	for _, r := range h.regions {
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b *held) int { return cmp.Or(cmp.Compare(a.pid, b.pid), cmp.Compare(a.region, b.region)) })
	return list
}

// Holdings lists what is held, ascending.
func (h *Holder) Holdings() []wire.HeldReplica {
	out := make([]wire.HeldReplica, 0, len(h.regions))
	for _, r := range h.sorted() {
		if !r.promoted {
			out = append(out, wire.HeldReplica{PID: r.pid, Region: r.region, Epoch: r.epoch, Config: r.config})
		}
	}
	return out
}

// save puts a page into the queue. Of those that were unmapped meanwhile it holds no more than of those that the log has room for.
func (h *Holder) save(at savePlace) {
	if room := 2 * (h.logged + 16); len(h.saves) >= room {
		seen := map[savePlace]bool{}
		kept := h.saves[:0]
		for _, x := range h.saves[h.next:] {
			if e, _ := h.regions[x.key].toSave(x.page); e != nil && !seen[x] {
				seen[x] = true
				kept = append(kept, x)
			}
		}
		h.saves, h.next = kept, 0
	}
	h.saves = append(h.saves, at)
}

// CheckInvariants reports a broken one, for tests.
func (h *Holder) CheckInvariants() error {
	logged := 0
	for _, r := range h.sorted() {
		kept, err := h.checkKept(r)
		if err != nil {
			return err
		}
		logged += kept
		if h.slots[r.slot] != r {
			return fmt.Errorf("replica: slot %d is not that of vRegion %d of process %d", r.slot, r.region, r.pid)
		}
		inLines := uint32(0)
		for _, n := range r.lines {
			inLines += n
		}
		if r.together() > 1 && int(inLines) != r.pages.n {
			return fmt.Errorf("replica: vRegion %d of process %d has %d pages, %d of them in lines", r.region, r.pid, r.pages.n, inLines)
		}
		for page, e := range r.pages.all() {
			if uint64(page)>>h.shift != uint64(r.region) {
				return fmt.Errorf("replica: page %#x is not in vRegion %d", uint64(page), r.region)
			}
			if e.where < stored || e.where > lost || e.where == saved && r.policy.Kind != wire.MemoryLog {
				return fmt.Errorf("replica: page %#x of a %v is at %d", uint64(page), r.policy.Kind, e.where)
			}
			if r.policy.Kind == wire.MemoryLog && !r.promoted && e.where == stored {
				logged++
			}
		}
	}
	if len(h.slots) != len(h.regions) || logged != h.logged || uint64(logged)*wire.PageSize > h.o.LogBytes || len(h.saving) > h.o.SaveMessages || h.next > len(h.saves) {
		return fmt.Errorf("replica: %d slots of %d vRegions, %d pages in logs, counted as %d, at most %d bytes, %d on their way to files",
			len(h.slots), len(h.regions), logged, h.logged, h.o.LogBytes, len(h.saving))
	}
	return h.checkFiles()
}
