package replica

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
	"time"

	"splitkernel/netlayer/wire"
)

// files are the backup files of a Holder: the one that is written to, and before it those that had to be left and still have pages. A page
// has a block of one of them while it is there, so a file is bounded and is never cleaned.
type files struct {
	list  []*file // in the order in which GSM gave them
	step  uint64  // number of the step under way; 0: none
	last  uint64  // number of a step
	due   time.Duration
	fails int
	doubt bool          // whether the file is where it was: GSM is asked before it is used again
	given bool          // GSM may have given one, and its answer was lost: it is asked again, to give it back if it is not needed any more
	maybe bool          // the same, of one in place of the current one, of which GSM is asked again as long as that is there
	bad   wire.VolumeID // what GSM is told not to give again
	seq   uint64        // of writes: of two to a block the one with the larger counts
	why   string        // of the last failure, since which nothing was saved; empty if something was
	check time.Duration // when GSM is asked whether the current one is where it was

	again    []key         // whose owners are asked next for what is in files that are left
	againDue time.Duration // when the next round of that begins
	asked    bool          // a question was asked that comes again and again, since a page was saved
}

// file is one of them.
type file struct {
	at     wire.ReplicaFile
	open   bool     // it was made, and answers to us
	reopen bool     // it is read, and has to be opened for it
	left   bool     // nothing more is written to it
	broken bool     // what is there cannot be read any more
	taken  []uint64 // by block, a bit; as long as it was needed
	used   int      // bits of taken
	low    uint32   // all blocks below are taken
}

func (f *file) blocks() uint32 { return uint32(min(f.at.SizeBytes/wire.PageSize, 1<<31)) }

// take gives the lowest free block: which one must not depend on the order in which blocks were freed. If there is none nothing changes.
func (f *file) take() (block uint32, ok bool) {
	i := int(f.low / 64)
	for i < len(f.taken) && f.taken[i] == ^uint64(0) {
		i++
	}
	block = uint32(i) * 64
	if i < len(f.taken) {
		block += uint32(bits.TrailingZeros64(^f.taken[i]))
	}
	if block >= f.blocks() {
		return 0, false
	}
	if i == len(f.taken) {
		f.taken = append(f.taken, 0)
	}
	f.taken[i] |= 1 << (block % 64)
	f.used++
	f.low = block
	return block, true
}

func (f *file) free(block uint32) {
	f.taken[block/64] &^= 1 << (block % 64)
	f.used--
	f.low = min(f.low, block)
}

func (h *Holder) file(id wire.VolumeID) *file {
	for _, f := range h.files.list {
		if f.at.Volume == id {
			return f
		}
	}
	return nil
}

// current is the file that is written to, nil if there is none.
func (h *Holder) current() *file {
	if n := len(h.files.list); n > 0 && !h.files.list[n-1].left {
		return h.files.list[n-1]
	}
	return nil
}

// release gives back the block of a page that is saved.
func (h *Holder) release(e *entry) {
	if e == nil || e.where != saved {
		return
	}
	if f := h.file(e.file); f != nil {
		f.free(e.block)
	}
}

func (h *Holder) broken(id wire.VolumeID) bool {
	f := h.file(id)
	return f == nil || f.broken
}

// forgetFiles forgets the files: GSM gives none of an older membership.
func (h *Holder) forgetFiles() {
	h.files = files{last: h.files.last, seq: h.files.seq}
}

func (h *Holder) filePages() (n int) {
	for _, f := range h.files.list {
		n += f.used
	}
	return n
}

// Fits reports whether n pages of the vRegion of a page have room in the memory of its log, if it is one.
func (h *Holder) Fits(pid wire.PID, page wire.PageNo, n int) bool {
	r := h.regions[key{pid, wire.RegionNo(uint64(page) >> h.shift)}]
	return r == nil || r.policy.Kind != wire.MemoryLog || uint64(h.logged+n)*wire.PageSize <= h.o.LogBytes
}

// FileAt says where a backup file is; open is false if it has to be opened before it is read: then Reopen has that done.
func (h *Holder) FileAt(id wire.VolumeID) (at wire.ReplicaFile, open, ok bool) {
	f := h.file(id)
	if f == nil {
		return at, false, false
	}
	return f.at, f.open, true
}

// FileKind says what is to be done about a backup file.
type FileKind uint8

// The kinds.
const (
	AskFile  FileKind = 1 // GSM is asked for one, by Req
	OpenFile FileKind = 2 // the volume At is made and attached at its sComponent, both of which may be so already
	DropFile FileKind = 3 // GSM is given back one, by Req, and then the volume At is deleted, which need not succeed
	AskOwner FileKind = 4 // the Owner of a vRegion, at Addr, is sent Again: what is in a file that is left is wanted from it
)

func (k FileKind) String() string {
	if k > AskOwner {
		k = 0
	}
	return [...]string{"?", "ask", "open", "drop", "again"}[k]
}

// FileStep is one thing to be done about a backup file; FileDone tells how it went.
type FileStep struct {
	No   uint64
	Kind FileKind
	Req  wire.FileReq
	At   wire.ReplicaFile

	Again wire.ReplicaAgainReq
	Owner wire.NodeID
	Addr  string
}

// NextFile gives what is to be done about backup files now, one thing at a time.
func (h *Holder) NextFile(now time.Duration) (FileStep, bool) {
	s, ok := h.fileStep()
	if !ok {
		s, ok = h.later(now)
	} else {
		ok = now >= h.files.due
	}
	if !ok {
		return FileStep{}, false
	}
	h.files.last++
	h.files.step, s.No, s.Req.No = h.files.last, h.files.last, h.files.last // of what is asked for; OpenFile asks GSM for nothing
	if s.Kind == DropFile {
		h.file(s.At.Volume).left = true // even if it is not known what became of it
	}
	return s, true
}

// fileStep is the next step, due now or later.
func (h *Holder) fileStep() (s FileStep, ok bool) {
	if h.files.step != 0 {
		return s, false
	}
	for _, f := range h.files.list {
		if f.used == 0 && (f.left || !h.keepsLogs()) {
			return FileStep{Kind: DropFile, At: f.at, Req: wire.FileReq{Holder: h.self, Member: h.now, Drop: f.at.Volume}}, true
		}
		if f.reopen {
			return FileStep{Kind: OpenFile, At: f.at}, true
		}
	}
	f := h.current()
	switch {
	case h.o.FileBytes == 0 || !h.files.given && (h.next >= len(h.saves) || !h.keepsLogs()):
		return s, false
	case f == nil || h.files.doubt || h.files.given:
		return FileStep{Kind: AskFile, Req: h.askFile()}, true
	}
	return FileStep{Kind: OpenFile, At: f.at}, !f.open
}

func (h *Holder) askFile() wire.FileReq {
	return wire.FileReq{Holder: h.self, Member: h.now, SizeBytes: h.o.FileBytes, Bad: h.files.bad}
}

// keepsLogs reports whether there is a vRegion whose pages may have to be saved.
func (h *Holder) keepsLogs() bool {
	for _, r := range h.regions { // whether there is one: no order
		if r.policy.Kind == wire.MemoryLog && !r.promoted {
			return true
		}
	}
	return false
}

// FileDone reports how a step went; got is what GSM gave for AskFile.
func (h *Holder) FileDone(now time.Duration, s FileStep, got wire.ReplicaFile, err error) {
	if s.No != h.files.step {
		return // of a membership that is over
	}
	h.files.step = 0
	f := h.current()
	switch {
	case s.Kind == DropFile && err == nil:
		h.files.list = slices.DeleteFunc(h.files.list, func(f *file) bool { return f.at.Volume == s.At.Volume })
		if len(h.files.list) == 0 && h.files.maybe {
			h.files.given, h.files.maybe = true, false
		}
	case s.Kind == AskFile && err == nil:
		sure := !h.files.doubt && f != nil && f.at == got
		h.files.doubt, h.files.given, h.files.maybe, h.files.bad, h.files.check = false, false, false, 0, now+h.o.check()
		if sure {
			return // it is where it was
		}
		if old := h.file(got.Volume); old != nil {
			old.at, old.open = got, false
			if old == f {
				break
			}
			h.files.list = slices.DeleteFunc(h.files.list, func(x *file) bool { return x == old })
			old.left = false
			h.files.list = append(h.files.list, old)
		} else {
			h.files.list = append(h.files.list, &file{at: got})
		}
		if f != nil {
			f.left = true
		}
		h.files.againDue = now // what is there is wanted at once
	case s.Kind == AskFile && f != nil && f.open && !h.files.doubt && !h.files.given: // it was asked whether that is where it was
		h.files.maybe = h.files.maybe || !refused(wire.KindOf(err))
		return
	case s.Kind == AskFile:
		// Who cannot ask goes on with what it has.
		h.files.doubt, h.files.given = h.files.doubt && f == nil, !refused(wire.KindOf(err))
		h.failed(now, err)
		return
	case s.Kind == AskOwner:
		return // whoever does not answer is asked again in the next round
	case s.Kind == OpenFile:
		o := h.file(s.At.Volume)
		o.open, o.reopen = err == nil, false
		if err == nil {
			break
		}
		if k := wire.KindOf(err); k == wire.KindFailed || k == wire.KindCorrupt {
			o.broken, o.left, h.files.bad = true, true, o.at.Volume
		}
		h.files.doubt = true
		h.failed(now, err)
		return
	}
	if err != nil {
		h.failed(now, err)
		return
	}
	h.files.due = 0
	if s.Kind == OpenFile {
		h.files.fails = 0
	}
}

// refused reports whether an error says that GSM gave no file.
func refused(k wire.Kind) bool {
	switch k {
	case wire.KindNoRoom, wire.KindNoSpace, wire.KindStale, wire.KindBadRequest:
		return true
	}
	return false
}

func (h *Holder) failed(now time.Duration, err error) {
	h.files.fails++
	h.files.due, h.files.why = now+h.o.pause(h.files.fails), err.Error()
}

// Reopen takes note that a file has to be opened before it can be read.
func (h *Holder) Reopen(id wire.VolumeID) {
	if f := h.file(id); f != nil && !f.broken {
		f.open, f.reopen = false, true
	}
}

// Unread takes note that what a file gave for a page is not what was written there. It reports true if the page is lost by that, and
// false if it is somewhere else by now, and is to be read again.
func (h *Holder) Unread(pid wire.PID, region wire.RegionNo, it Item) bool {
	r := h.regions[key{pid, region}]
	if r == nil {
		return false
	}
	e := r.pages.at(it.Page)
	if it.Pre != 0 {
		e = r.pre.at(it.Page)
	}
	if e == nil || e.where != saved || e.file != it.File || e.block != it.Block || e.version != (version{it.Epoch, it.Version}) {
		return false
	}
	h.release(e)
	e.where = lost
	h.stats.Unread++
	return true
}

// Reader is a Holder whose files are read.
type Reader interface {
	FileAt(id wire.VolumeID) (at wire.ReplicaFile, open, ok bool)
	Reopen(id wire.VolumeID)
	Unread(pid wire.PID, region wire.RegionNo, it Item) bool
}

// Judge says what follows from what a file gave for a page that was asked for: an error, fits or not, or nothing, as it is not open. The page is lost, or the
// question is refused by an error and is to be asked again, or neither.
func Judge(h Reader, q wire.ReplicaRead, it Item, fits bool, err error) (lost bool, refused error) {
	at, open, ok := h.FileAt(it.File)
	switch k := wire.KindOf(err); {
	case err == nil && fits:
		return false, nil
	case !ok:
	case !open, k == wire.KindFailed, k == wire.KindNotFound, k == wire.KindStale:
		h.Reopen(it.File)
		return false, wire.Errorf(wire.KindBusy, "the backup file at %s has to be opened anew: retry", at.Storage)
	case err != nil && k != wire.KindCorrupt:
		return false, wire.Errorf(wire.KindUnavailable, "the backup file at %s: %v", at.Storage, err)
	case h.Unread(q.PID, q.Region, it):
		return true, nil
	}
	return false, wire.Errorf(wire.KindBusy, "page %#x changed while it was read: retry", uint64(it.Page)<<wire.PageShift)
}

// Save is a page of a log on its way to a backup file.
type Save struct {
	PID    wire.PID
	Region wire.RegionNo
	Slot   uint32
	Page   wire.PageNo
	Epoch  wire.Epoch
	No     uint64 // version
	Sum    uint32
	Pre    bool // as it was at the last checkpoint: the store keeps it
	File   wire.VolumeID
	Block  uint32
	Seq    uint64 // version of the block in the volume
}

// NextSave gives the next page to write to a backup file; what the store has of it then is what is written.
func (h *Holder) NextSave(now time.Duration) (Save, bool) {
	f := h.current()
	if f == nil || !f.open || h.files.doubt {
		return Save{}, false
	}
	for h.next < len(h.saves) && len(h.saving) < h.o.SaveMessages && now >= h.saveDue {
		at := h.saves[h.next]
		r := h.regions[at.key]
		var e *entry
		pre := false
		if r != nil && !r.promoted && !h.saving[at] { // otherwise Saved comes back to it
			e, pre = r.toSave(at.page)
		}
		block := uint32(0)
		if e != nil {
			ok := false
			if block, ok = f.take(); !ok {
				return Save{}, false // the file is full
			}
		}
		if h.next++; h.next == len(h.saves) {
			h.saves, h.next = h.saves[:0], 0
		}
		if e != nil {
			h.saving[at], h.files.asked = true, false
			h.files.seq++
			return Save{PID: at.pid, Region: at.region, Slot: r.slot, Page: at.page, Epoch: e.epoch, No: e.version.version, Sum: e.sum, Pre: pre, File: f.at.Volume, Block: block, Seq: h.files.seq}, true
		}
	}
	return Save{}, false
}

// FileDue gives when NextFile has something; false if it has not.
func (h *Holder) FileDue() (time.Duration, bool) {
	_, ok := h.fileStep()
	return h.files.due, ok
}

// SaveDue gives when NextSave has something; false if it has not.
func (h *Holder) SaveDue() (time.Duration, bool) {
	f := h.current()
	ok := f != nil && f.open && !h.files.doubt && uint64(f.used) < uint64(f.blocks()) && h.next < len(h.saves) && len(h.saving) < h.o.SaveMessages
	return h.saveDue, ok
}

// Saved reports that a page is in the backup file, durably, or why not; free says that its frame is not needed any more, and kept that it is the one
// that the store keeps for the checkpoint.
func (h *Holder) Saved(now time.Duration, s Save, err error) (free, kept bool) {
	at := savePlace{key{s.PID, s.Region}, s.Page}
	delete(h.saving, at)
	f := h.file(s.File)
	if err == nil && f == nil {
		err = wire.Errorf(wire.KindStale, "the backup file is of a membership that is over")
	}
	if err != nil {
		h.stats.SaveErrors++
		h.fails++
		h.saveDue, h.files.why = now+h.o.pause(h.fails), err.Error()
		if k := wire.KindOf(err); f != nil && k != wire.KindBusy && k != wire.KindNoSpace {
			f.open = false
			h.files.doubt = h.files.doubt || f == h.current()
		}
	} else {
		h.fails, h.saveDue, h.files.why = 0, 0, ""
	}
	r := h.regions[at.key]
	var e *entry
	if r != nil && !r.promoted && r.slot == s.Slot && err == nil { // it may have changed since, and be kept now
		v := version{s.Epoch, s.No}
		if e = r.pages.at(s.Page); e == nil || e.version != v {
			e, kept = r.pre.at(s.Page), true
		}
		if e != nil && (e.version != v || e.where != stored) {
			e = nil
		}
	}
	if e != nil {
		e.where, e.file, e.block = saved, s.File, s.Block
		h.logged--
		h.stats.Saved++
	} else if f != nil {
		f.free(s.Block)
	}
	if more, _ := r.toSave(s.Page); more != nil && !r.promoted {
		h.save(at)
	}
	return e != nil, e != nil && kept
}

// Behind says why pages of logs are in memory that ought to be in a backup file; empty if they are not, or are about to be.
func (h *Holder) Behind() string {
	switch f := h.current(); {
	case h.next >= len(h.saves) && len(h.saving) == 0:
		return ""
	case h.o.FileBytes == 0:
		return "replica_file_bytes is 0"
	case h.files.why != "":
		return h.files.why
	case f != nil && f.open && uint64(f.used) >= uint64(f.blocks()):
		return fmt.Sprintf("the backup file at %s is full: %d pages", f.at.Storage, f.used)
	}
	return ""
}

// checkFiles reports a broken invariant.
func (h *Holder) checkFiles() error {
	type block struct {
		file wire.VolumeID
		no   uint32
	}
	used := map[block]bool{}
	count := map[wire.VolumeID]int{}
	for _, r := range h.sorted() {
		for _, list := range []*table{&r.pages, &r.pre} {
			for page, e := range list.all() {
				if e.where != saved {
					continue
				}
				at := block{e.file, e.block}
				f := h.file(e.file)
				if f == nil || used[at] || e.block >= f.blocks() || int(e.block/64) >= len(f.taken) || f.taken[e.block/64]>>(e.block%64)&1 == 0 {
					return fmt.Errorf("replica: page %#x is in block %d of file %d, which is not its own", uint64(page), e.block, e.file)
				}
				used[at] = true
				count[e.file]++
			}
		}
	}
	under := 0
	for i, f := range h.files.list {
		n := 0
		for _, w := range f.taken {
			n += bits.OnesCount64(w)
		}
		if n != f.used || count[f.at.Volume] > n || !f.left && i != len(h.files.list)-1 || f.used > int(f.blocks()) {
			return fmt.Errorf("replica: file %d of %d: %d blocks of %d are taken, counted as %d, %d pages are there, left %t", f.at.Volume, len(h.files.list), n, f.blocks(), f.used, count[f.at.Volume], f.left)
		}
		under += n - count[f.at.Volume]
	}
	if under > len(h.saving) {
		return fmt.Errorf("replica: %d blocks are taken for %d pages that are on their way", under, len(h.saving))
	}
	return nil
}

// underway lists the pages on their way to backup files, in order.
func (h *Holder) underway() []savePlace {
	list := make([]savePlace, 0, len(h.saving))
	for at := range h.saving {
		list = append(list, at)
	}
	slices.SortFunc(list, func(a, b savePlace) int {
		return cmp.Or(cmp.Compare(a.pid, b.pid), cmp.Compare(a.region, b.region), cmp.Compare(a.page, b.page))
	})
	return list
}
