package wire

import "encoding/binary"

// RegionCopyOpenReq announces a vRegion to its taker, or, with a newer round, begins the copy anew. Until RegionServe the
// taker answers those who ask for its pages as busy.
type RegionCopyOpenReq struct {
	Move     MoveID
	Round    uint32
	PID      PID
	Region   RegionNo
	Epoch    Epoch // under which the taker will serve
	Pages    uint64
	From     NodeID // the giver, which a taker asks whether the move still goes on when it has heard nothing for long
	FromAddr string
	Member   Epoch // of the taker's membership, for which it was chosen: it refuses what was for another; 0 if not known
}

// MappedPart is a part of a vma inside a vRegion.
type MappedPart struct {
	Start, End uint64
	Anon       bool
	Writable   bool
	Name       string // only in the memory map of a process
}

// MaxMapEntries bounds the vmas and owners of one message, MaxMapBytes their names: more are sent in further messages.
const (
	MaxMapEntries = 8192
	MaxMapBytes   = 512 << 10
)

// RegionCopyEndReq ends the copy of a vRegion: the taker has all pages, and gets the mapped parts. Its parts come in order,
// each after the answer to the one before. After the last one the copy is complete, and the taker keeps it until it hears
// RegionServe or RegionDrop.
type RegionCopyEndReq struct {
	Move   MoveID
	Round  uint32 // newer than that of any page
	Part   uint32
	Parts  uint32
	Mapped []MappedPart
	Pages  uint64       // that the giver holds: the taker compares
	Config RegionConfig // who makes it redundant, which the taker goes on with under its own epoch
	Kept   CutState     // the last checkpoint, of which the taker has the pages that changed since as they were
	Keeps  uint64       // how many these are at least
}

// MoveServeReq tells a taker that everybody knows it: it serves under Epoch from now on.
type MoveServeReq struct {
	Move  MoveID
	Epoch Epoch
}

// RegionSwitchReq tells the home of a process, and by it the process's pComponent, who owns a vRegion now. The reply says
// that nothing answered under an older epoch will reach the process any more. With Undo the move has failed and the giver
// serves: then the home answers even if the pComponent does not.
type RegionSwitchReq struct {
	PID   PID
	Owner Owner
	Undo  bool
	If    Epoch // if it is not 0 the home must know the vRegion under this epoch, or have heard this news before
}

// HomeCopyReq sends the memory map of a process to its next home. Parts come in order, each after the answer to the one
// before; the fields of the process are those of every part.
type HomeCopyReq struct {
	Move      MoveID
	Part      uint32
	Parts     uint32
	PID       PID
	Epoch     Epoch  // of the process
	Addr      string // of its pComponent
	HeapStart uint64
	HeapEnd   uint64
	From      NodeID
	FromAddr  string
	Mapped    []MappedPart
	Owners    []Owner
	Configs   []RegionConfig // of vRegions whose owner is not known to have heard of its configuration
	Backup    HomeConfig     // its backup, which the next home goes on with under its own epoch
	Kept      HomeCut        // its last checkpoint, and a part of the map as it was then
	Member    Epoch          // of a move: of the taker's membership, for which it was chosen; 0 if not known
}

// HomeSwitchReq tells a pComponent which mComponent is the home of a process now, under which epoch. Home.Region is not used.
type HomeSwitchReq struct {
	PID  PID
	Home Owner
}

// PageState says what a page of a vRegion is at its giver.
type PageState uint8

// The states. Numbers are wire numbers.
const (
	PageAbsent PageState = 1 // the giver does not hold it: the taker frees it
	PageZero   PageState = 2 // resident, of no version and all zeros
	PageFull   PageState = 3 // its bytes are in the payload
)

// PageEntry is one page of a RegionCopy.
type PageEntry struct {
	Page    PageNo
	State   PageState
	Epoch   Epoch  // of the process, when the page was flushed
	Version uint64 // of the flush
	Sum     uint32 // that came with the flush and stays with the page
	Pre     uint32 // of a page as it was at a checkpoint: Cut.Pre of that; 0 of one as it is. The same message may have both
}

// Lengths of the body of a RegionCopy, in bytes, and how many pages it may tell of.
const (
	RegionCopyHeadLen = 32
	PageEntryLen      = 32
	MaxCopyPages      = MaxLongPayload / PageSize
)

// RegionCopy is the head of the body that carries pages from a giver to a taker. Count entries follow. The payload is, in the order of
// the entries, the bytes of those that are PageFull: apart from the body, so that a receiver knows where they belong before it reads them.
//
//	0           8         12      16      20         32
//	+-----------+---------+-------+-------+----------+
//	| move no   | manager | round | count | reserved |
//	+-----------+---------+-------+-------+----------+
//	| page      | version | epoch | sum   | state    |   count times, 32 bytes: 8, 8, 4, 4, 4 and 4
//	| pre       |
//	+-----------+---------+-------+-------+----------+
type RegionCopy struct {
	Move  MoveID
	Round uint32
	Count uint32
}

// Append appends the head to b.
func (c RegionCopy) Append(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint64(b, c.Move.No)
	b = le.AppendUint32(b, uint32(c.Move.Manager))
	b = le.AppendUint32(b, c.Round)
	b = le.AppendUint32(b, c.Count)
	return append(b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
}

// Append appends the entry to b.
func (e PageEntry) Append(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint64(b, uint64(e.Page))
	b = le.AppendUint64(b, e.Version)
	b = le.AppendUint32(b, uint32(e.Epoch))
	b = le.AppendUint32(b, e.Sum)
	b = le.AppendUint32(b, uint32(e.State))
	return le.AppendUint32(b, e.Pre)
}

// ParseRegionCopy reads the head of a body and checks its length; full is how many of its entries have bytes in the payload. ok is false
// if anything in it is not of this version. Entries are read by CopyEntry.
func ParseRegionCopy(b []byte) (c RegionCopy, full int, ok bool) {
	le := binary.LittleEndian
	if len(b) < RegionCopyHeadLen || le.Uint32(b[20:])|le.Uint32(b[24:])|le.Uint32(b[28:]) != 0 || le.Uint32(b[8:]) > 0xff {
		return c, 0, false
	}
	c = RegionCopy{Move: MoveID{Manager: Manager(le.Uint32(b[8:])), No: le.Uint64(b)}, Round: le.Uint32(b[12:]), Count: le.Uint32(b[16:])}
	if c.Count > MaxCopyPages || len(b) != RegionCopyHeadLen+int(c.Count)*PageEntryLen {
		return c, 0, false
	}
	for i := range int(c.Count) {
		e := b[RegionCopyHeadLen+i*PageEntryLen:]
		switch s := le.Uint32(e[24:]); {
		case le.Uint32(e[28:]) != 0 && s != uint32(PageFull) || s < uint32(PageAbsent) || s > uint32(PageFull):
			return c, 0, false
		case s == uint32(PageFull):
			full++
		case le.Uint64(e[8:]) != 0 || le.Uint64(e[16:]) != 0: // only what was flushed has a version
			return c, 0, false
		}
	}
	return c, full, true
}

// CopyEntry reads entry i of a body that ParseRegionCopy has accepted.
func CopyEntry(b []byte, i int) PageEntry {
	le := binary.LittleEndian
	b = b[RegionCopyHeadLen+i*PageEntryLen:]
	return PageEntry{PageNo(le.Uint64(b)), PageState(le.Uint32(b[24:])), Epoch(le.Uint32(b[16:])), le.Uint64(b[8:]), le.Uint32(b[20:]), le.Uint32(b[28:])}
}
