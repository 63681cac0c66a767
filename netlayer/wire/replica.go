package wire

import (
	"encoding/binary"
	"fmt"
)

// MemoryKind says by what the memory of a process survives the loss of an mComponent.
type MemoryKind uint8

// The kinds. Numbers are wire numbers: explicit, never reused.
const (
	MemoryNone    MemoryKind = 0 // by nothing
	MemoryLog     MemoryKind = 1 // by the log of another mComponent and its backup file
	MemorySync    MemoryKind = 2 // by full copies at other mComponents
	MemoryErasure MemoryKind = 3 // by shares of pages at other mComponents
)

// memoryKindNames are the names of MemoryKind, by number.
var memoryKindNames = [...]string{"none", "log", "sync", "erasure"}

func (k MemoryKind) String() string {
	if int(k) < len(memoryKindNames) {
		return memoryKindNames[k]
	}
	return fmt.Sprintf("memory(%d)", uint8(k))
}

// MaxHolders bounds the holders of one vRegion.
const MaxHolders = 16

// MemoryPolicy is how the memory of a process is made redundant. Fields that its kind does not have are 0.
type MemoryPolicy struct {
	Kind         MemoryKind
	Copies       uint32 // of log and sync: holders beside the owner
	Data, Parity uint32 // of erasure: Data shares make a page, Parity may be lost
	LogBlock     bool   // of log: a full log delays the flush; else the page is skipped, counted and named
}

// Holders is how many holders a vRegion of the policy has.
func (p MemoryPolicy) Holders() int {
	if p.Kind == MemoryErasure {
		return int(p.Data + p.Parity)
	}
	return int(p.Copies)
}

// ShareBytes is how many bytes of a page each holder of the policy has.
func (p MemoryPolicy) ShareBytes() int {
	if p.Kind == MemoryErasure && p.Data > 0 {
		return (PageSize + int(p.Data) - 1) / int(p.Data)
	}
	return PageSize
}

// Holder is an mComponent that holds what makes a vRegion, or the memory map of a process, survive its owner or home.
type Holder struct {
	Node    NodeID
	Addr    string
	Member  Epoch // of its membership under which it was chosen: a process registered under another has nothing
	Filling bool  // it has not got yet what was there before it was chosen
	Index   uint32
}

// RegionConfig is who makes a vRegion redundant. GMM makes it; of two the one with the newer (Epoch, Config) counts. Config 0 is
// a vRegion without redundancy.
type RegionConfig struct {
	PID     PID
	Region  RegionNo
	Epoch   Epoch  // of the owner
	Config  uint64 // one more with every change of the holders or of the owner
	Policy  MemoryPolicy
	Holders []Holder
}

// Newer reports whether c replaces a configuration of (epoch, config).
func (c RegionConfig) Newer(epoch Epoch, config uint64) bool {
	return c.Epoch > epoch || c.Epoch == epoch && c.Config > config
}

// RegionConfigRep is how far the owner has come with a configuration.
type RegionConfigRep struct {
	Config      uint64   // the newest that it has
	InSync      []NodeID // holders that have everything, ascending
	Copied      uint64   // pages that went to holders that are filled
	Known       uint64   // pages that are to go to them, in all
	Unprotected uint64   // pages that a full log has skipped and that were not written again since
	Text        string   // why it does not come further
}

// ReplicaOpenReq makes an mComponent a holder of a vRegion, or tells it of a newer configuration: from then on it refuses what
// comes under an older one.
type ReplicaOpenReq struct {
	PID    PID
	Region RegionNo
	Epoch  Epoch
	Config uint64
	Policy MemoryPolicy
	Index  uint32 // of the share that it holds
	Fresh  bool   // it forgets what it has of the vRegion under an older configuration
	Member Epoch  // of the holder's membership; another is refused as stale. 0 is not known
	Kept   CutState
	Owner  NodeID // of an owner that serves: who it is, and where
	Addr   string
}

// ReplicaAgainReq asks an owner to send a holder again what was in a backup file that it has to leave, or has lost.
type ReplicaAgainReq struct {
	PID    PID
	Region RegionNo
	Epoch  Epoch // of the owner
	Config uint64
	Holder NodeID
}

// ReplicaOpenRep is what a holder has of a vRegion.
type ReplicaOpenRep struct {
	Pages uint64
	Lost  uint64 // pages of which it knows the version and has not the bytes
	Kept  CutState
}

// ReplicaRef names what a holder has of a vRegion under configurations up to (Epoch, Config).
type ReplicaRef struct {
	PID    PID
	Region RegionNo
	Epoch  Epoch
	Config uint64
}

// ReplicaUnmapReq removes the pages of [Start, Start+Length) from a holder. Writes of an older barrier are refused from then on.
type ReplicaUnmapReq struct {
	PID     PID
	Region  RegionNo
	Epoch   Epoch
	Config  uint64
	Barrier uint32
	Start   uint64
	Length  uint64
}

// RegionRecoverReq makes an mComponent the owner of a vRegion whose owner is lost. The same order again asks how far it has come.
type RegionRecoverReq struct {
	Config    RegionConfig // the one under which it will serve
	OldEpoch  Epoch        // of the owner that was lost
	Sources   []Holder     // who has what is to be recovered; of sync the new owner itself may be one
	Self      NodeID       // the new owner
	Member    Epoch        // of its membership; another is refused as stale. 0 is not known
	Via       NodeID       // the home of the process
	ViaAddr   string
	TimeoutMS uint32 // after this long without progress it says why; it does not give up
}

// RecoverState is how far the recovery of a vRegion, or of a memory map, has come.
type RecoverState uint8

// The states. Numbers are wire numbers.
const (
	RecoverFencing RecoverState = 1 // the sources are told
	RecoverTelling RecoverState = 2 // who uses it is told
	RecoverServing RecoverState = 3 // it is served; pages still come
	RecoverDone    RecoverState = 4 // everything is here
	RecoverFailed  RecoverState = 5 // what is left does not suffice: it is lost
)

// recoverStateNames are the names of RecoverState, by number.
var recoverStateNames = [...]string{"none", "fencing", "telling", "serving", "done", "failed"}

func (s RecoverState) String() string {
	if int(s) < len(recoverStateNames) {
		return recoverStateNames[s]
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// MaxLostNamed bounds the lost pages that a status names.
const MaxLostNamed = 64

// RegionRecoverRep is how far it has come.
type RegionRecoverRep struct {
	State     RecoverState
	Done      uint64   // pages that are here
	Known     uint64   // pages of the vRegion, as far as is known
	Lost      uint64   // pages of which only the version survived, as a full log had skipped them
	LostPages []PageNo // the first of them, ascending
	Text      string
}

// RegionPartsReq asks the home of a process for the mapped parts of a vRegion from an address on. Epoch is the asker's as its owner.
type RegionPartsReq struct {
	PID    PID
	Region RegionNo
	Epoch  Epoch
	From   uint64
}

// RegionPartsRep lists at most MaxMapEntries parts; More says that there are more behind the last one.
type RegionPartsRep struct {
	Mapped  []MappedPart
	More    bool
	Process Epoch // of the process: older ones are refused by the new owner
}

// HomeBackupReq sends the memory map of a process, or what changed of it, to the backup of its home. Of two the one with the newer
// (HomeEpoch, Config, Seq) counts. Copy.Move is not used; its parts come in order, each after the answer to the one before.
type HomeBackupReq struct {
	HomeEpoch Epoch
	Config    uint64
	Seq       uint64
	Member    Epoch // of the backup's membership; another is refused as stale. 0 is not known
	Gone      bool  // the process has ended, or has another backup: what is here is dropped
	Copy      HomeCopyReq
}

// HomeConfig is who is the backup of a process's home. GMM makes it; an empty Backup.Node is none.
type HomeConfig struct {
	PID    PID
	Epoch  Epoch // of the home
	Config uint64
	Backup Holder
}

// HomeConfigRep is how far the home has come with a configuration.
type HomeConfigRep struct {
	Config uint64 // the newest that it has
	InSync bool
	Text   string
}

// HomeRecoverReq makes the backup of a home that is lost the home. The same order again asks how far it has come.
type HomeRecoverReq struct {
	Config     HomeConfig // the one under which it will be the home
	OldEpoch   Epoch
	Self       NodeID
	Member     Epoch  // of its membership; another is refused as stale. 0 is not known
	Process    Epoch  // of the process
	ClientAddr string // of its pComponent, if the backup has not heard of the process yet; empty if that is not known
}

// HomeRecoverRep is how far it has come.
type HomeRecoverRep struct {
	State RecoverState
	Text  string
}

// Lengths of the fixed bodies of replicas in bytes, and how many pages one answer may carry.
const (
	ReplicaWriteLen  = 56
	ReplicaReadLen   = 48
	ReplicaHeadLen   = 32
	MaxReplicaPages  = 64
	MaxReplicaListed = 8192
)

// Flags of a ReplicaWrite.
const (
	ReplicaFill uint32 = 1 // sent because the holder is filled, and not by a flush
	ReplicaLost uint32 = 2 // the sender knows the version and has not the bytes: there is no payload
)

// ReplicaWrite brings a page, or a share of it, to a holder. The bytes are the payload.
//
//	0     8      16            20              24        32       40        44      48           52         56
//	+-----+------+-------------+---------------+---------+--------+---------+-------+------------+----------+
//	| pid | page | owner epoch | process epoch | version | config | barrier | flags | sum of the | pre      |
//	|     |      |             |               |         |        |         |       | whole page |          |
//	+-----+------+-------------+---------------+---------+--------+---------+-------+------------+----------+
//
// The holder takes it only if (process epoch, version) is newer than what it has for the page. The reply is empty, or one byte 1:
// the log was full and the page was skipped.
type ReplicaWrite struct {
	PID          PID
	Page         PageNo
	OwnerEpoch   Epoch
	ProcessEpoch Epoch
	Version      uint64
	Config       uint64
	Barrier      uint32
	Flags        uint32
	Sum          uint32 // that came with the flush
	Pre          uint32 // of a page as it was at a checkpoint: Cut.Pre of that; 0 of one as it is
}

// Append appends the body to b.
func (w ReplicaWrite) Append(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint64(b, uint64(w.PID))
	b = le.AppendUint64(b, uint64(w.Page))
	b = le.AppendUint32(b, uint32(w.OwnerEpoch))
	b = le.AppendUint32(b, uint32(w.ProcessEpoch))
	b = le.AppendUint64(b, w.Version)
	b = le.AppendUint64(b, w.Config)
	b = le.AppendUint32(b, w.Barrier)
	b = le.AppendUint32(b, w.Flags)
	b = le.AppendUint32(b, w.Sum)
	return le.AppendUint32(b, w.Pre)
}

// ParseReplicaWrite reads a ReplicaWrite; ok is false if anything in it is not of this version.
func ParseReplicaWrite(b []byte) (w ReplicaWrite, ok bool) {
	le := binary.LittleEndian
	if len(b) != ReplicaWriteLen {
		return w, false
	}
	w = ReplicaWrite{PID(le.Uint64(b)), PageNo(le.Uint64(b[8:])), Epoch(le.Uint32(b[16:])), Epoch(le.Uint32(b[20:])), le.Uint64(b[24:]),
		le.Uint64(b[32:]), le.Uint32(b[40:]), le.Uint32(b[44:]), le.Uint32(b[48:]), le.Uint32(b[52:])}
	return w, w.Flags&^(ReplicaFill|ReplicaLost) == 0
}

// ReplicaSkipped is the reply to a ReplicaWrite that a full log has skipped.
var ReplicaSkipped = []byte{1}

// Flags of a ReplicaRead.
const (
	ReplicaExact uint32 = 1 // only the page itself
	ReplicaList  uint32 = 2 // entries without bytes, at most MaxReplicaListed
	ReplicaAside uint32 = 8 // pages may come as the payload of the answer, behind each other; then its Bytes is 0
)

// ReplicaRead asks a holder for the pages that it has from one on, at most Count.
//
//	0     8        16     24            28      32       40      44         48
//	+-----+--------+------+-------------+-------+--------+-------+----------+
//	| pid | region | page | owner epoch | count | config | flags | reserved |
//	+-----+--------+------+-------------+-------+--------+-------+----------+
type ReplicaRead struct {
	PID        PID
	Region     RegionNo
	Page       PageNo
	OwnerEpoch Epoch
	Count      uint32
	Config     uint64
	Flags      uint32
}

// Append appends the body to b.
func (r ReplicaRead) Append(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint64(b, uint64(r.PID))
	b = le.AppendUint64(b, uint64(r.Region))
	b = le.AppendUint64(b, uint64(r.Page))
	b = le.AppendUint32(b, uint32(r.OwnerEpoch))
	b = le.AppendUint32(b, r.Count)
	b = le.AppendUint64(b, r.Config)
	b = le.AppendUint32(b, r.Flags)
	return le.AppendUint32(b, 0)
}

// ParseReplicaRead reads a ReplicaRead; ok is false if anything in it is not of this version.
func ParseReplicaRead(b []byte) (r ReplicaRead, ok bool) {
	le := binary.LittleEndian
	if len(b) != ReplicaReadLen || le.Uint32(b[44:]) != 0 {
		return r, false
	}
	r = ReplicaRead{PID(le.Uint64(b)), RegionNo(le.Uint64(b[8:])), PageNo(le.Uint64(b[16:])), Epoch(le.Uint32(b[24:])), le.Uint32(b[28:]),
		le.Uint64(b[32:]), le.Uint32(b[40:])}
	most := uint32(MaxReplicaPages)
	if r.Flags&ReplicaList != 0 {
		most = MaxReplicaListed
	}
	return r, r.Count > 0 && r.Count <= most && r.Flags&^(ReplicaExact|ReplicaList|ReplicaAside) == 0
}

// PageLost is the state of a page of which only the version is known. Only in a ReplicaPages.
const PageLost PageState = 4

// ReplicaPages is the answer to a ReplicaRead: the head, Count entries, two of a page that changed since the last checkpoint, as those of a RegionCopy, and Bytes bytes for each entry in
// state PageFull, in the order of the entries. The bytes are in the body.
//
//	0      8       12      16      20         32
//	+------+-------+-------+-------+----------+---------------------------+-------------------------------+
//	| next | count | bytes | more  | reserved | count × 32 bytes: entries | bytes of each in state full   |
//	+------+-------+-------+-------+----------+---------------------------+-------------------------------+
type ReplicaPages struct {
	Next  PageNo // where to go on, if More
	Count uint32
	Bytes uint32 // of each page: 4096, or those of a share, or 0 in a list
	More  bool
}

// Append appends the head to b. The caller appends the entries by PageEntry.Append, and then the bytes.
func (p ReplicaPages) Append(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint64(b, uint64(p.Next))
	b = le.AppendUint32(b, p.Count)
	b = le.AppendUint32(b, p.Bytes)
	more := uint32(0)
	if p.More {
		more = 1
	}
	b = le.AppendUint32(b, more)
	return append(b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
}

// ParseReplicaPages reads the head of an answer and checks its length; entries are read by CopyEntry, as both heads are as long, and
// pages are the bytes behind them. ok is false if anything in it is not of this version.
func ParseReplicaPages(b []byte) (p ReplicaPages, pages []byte, ok bool) {
	le := binary.LittleEndian
	if len(b) < ReplicaHeadLen || le.Uint32(b[16:]) > 1 || le.Uint32(b[20:])|le.Uint32(b[24:])|le.Uint32(b[28:]) != 0 {
		return p, nil, false
	}
	p = ReplicaPages{PageNo(le.Uint64(b)), le.Uint32(b[8:]), le.Uint32(b[12:]), le.Uint32(b[16:]) == 1}
	if p.Count > 2*MaxReplicaListed || p.Bytes > PageSize || len(b) < ReplicaHeadLen+int(p.Count)*PageEntryLen {
		return p, nil, false
	}
	full := 0
	for i := range int(p.Count) {
		e := b[ReplicaHeadLen+i*PageEntryLen:]
		s := le.Uint32(e[24:])
		if s != uint32(PageFull) && s != uint32(PageLost) {
			return p, nil, false
		}
		if s == uint32(PageFull) {
			full++
		}
	}
	pages = b[ReplicaHeadLen+int(p.Count)*PageEntryLen:]
	return p, pages, len(pages) == full*int(p.Bytes)
}
