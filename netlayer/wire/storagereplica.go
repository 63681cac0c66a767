package wire

import (
	"encoding/binary"
	"fmt"
)

// MaxReplicas bounds the copies of a volume, in sync and not.
const MaxReplicas = 16

// ReplicaState says what a replica of a volume counts for. Numbers are explicit and never reused.
type ReplicaState uint8

// The states.
const (
	ReplicaInSync  ReplicaState = 1 // counts in every quorum
	ReplicaLeaving ReplicaState = 2 // counts as one in sync until the one that is filled has its place
	ReplicaFilling ReplicaState = 3 // gets every write and serves no read; counts in the quorums of writes beside those in sync, in place of the leaving one
	ReplicaRemade  ReplicaState = 4 // is made again where it was, or at another: has its place in the number of replicas, and is not there for any quorum until it has everything
)

func (s ReplicaState) String() string {
	names := [...]string{"none", "in_sync", "leaving", "filling", "remade"}
	return names[int(s)%len(names)]
}

// Counts reports whether a replica in the state is there for quorums.
func (s ReplicaState) Counts() bool { return s == ReplicaInSync || s == ReplicaLeaving }

// Fills reports whether a replica in the state is brought what it lacks.
func (s ReplicaState) Fills() bool { return s == ReplicaFilling || s == ReplicaRemade }

// VolumeReplica is one copy of a volume.
type VolumeReplica struct {
	Node   NodeID
	Addr   string
	Member Epoch // of the membership of Node under which it was chosen
	State  ReplicaState
}

// SameAttach reports whether two requests are equal in all fields.
func SameAttach(a, b VolumeAttachReq) bool {
	if len(a.Replicas) != len(b.Replicas) {
		return false
	}
	for i := range a.Replicas {
		if a.Replicas[i] != b.Replicas[i] {
			return false
		}
	}
	return a.Volume == b.Volume && a.Epoch == b.Epoch && a.SizeBytes == b.SizeBytes && a.Storage == b.Storage && a.StorageAddr == b.StorageAddr &&
		a.ClientAddr == b.ClientAddr && a.Config == b.Config && a.WriteQuorum == b.WriteQuorum && a.ReadQuorum == b.ReadQuorum && a.Through == b.Through
}

// CheckReplicas checks replicas and quorums of an attach. A volume of one copy, whose list is empty, passes.
func (m VolumeAttachReq) CheckReplicas() error {
	bad := func(format string, args ...any) error {
		return Errorf(KindBadRequest, "volume %d: %s", m.Volume, fmt.Sprintf(format, args...))
	}
	n, leaving, filling, remade := 0, 0, 0, 0
	for i, r := range m.Replicas {
		switch r.State {
		case ReplicaInSync:
			n++
		case ReplicaLeaving:
			n++
			leaving++
		case ReplicaFilling:
			filling++
		case ReplicaRemade:
			n++
			remade++
		default:
			return bad("replica at %s in state %d", r.Node, r.State)
		}
		for _, o := range m.Replicas[:i] {
			if o.Node == r.Node {
				return bad("two replicas at %s", r.Node)
			}
		}
	}
	w, r := int(m.WriteQuorum), int(m.ReadQuorum)
	switch {
	case len(m.Replicas) == 0 && m.Config == 0 && w == 0 && r == 0:
		return nil
	case len(m.Replicas) > MaxReplicas:
		return bad("%d replicas, at most %d", len(m.Replicas), MaxReplicas)
	case n < 2 || leaving > 1 || filling+remade > 1 || leaving > filling:
		return bad("%d replicas of which %d leave, %d are filled and %d are made again, want 2 or more, one at a time, and one that leaves only for one that is filled", n, leaving, filling, remade)
	case m.Config == 0:
		return bad("replicas without a configuration number")
	}
	return CheckQuorums(n, w, r)
}

// CheckQuorums checks that any two writes, and any write and read, of n replicas have one in common.
func CheckQuorums(n, w, r int) error {
	if n < 1 || w < 1 || w > n || r < 1 || r > n || 2*w <= n || w+r <= n {
		return Errorf(KindBadRequest, "write_quorum: %d and read_quorum: %d of replicas: %d, want 1 to %d each, 2·write_quorum > %d and write_quorum + read_quorum > %d", w, r, n, n, n, n)
	}
	return nil
}

// StorageAttachReq has a replica serve a buffer cache, fencing every older one. Epochs are compared first, then configurations.
type StorageAttachReq struct {
	Volume    VolumeID
	Epoch     Epoch
	Config    uint64
	Instance  uint64 // of the buffer cache: under one epoch there may be only one
	SizeBytes uint64
}

// StorageAttachRep is what a replica knows that outlives a buffer cache. Generations are ordered by epoch, then number.
type StorageAttachRep struct {
	OpenEpoch   Epoch // newest generation with writes that were acknowledged and not flushed
	Open        uint64
	SyncedEpoch Epoch // newest generation that was completed by a flush here
	Synced      uint64
	Rebooted    bool   // its machine was restarted since it was attached before: what it was sent and had not synced may be lost
	Failure     string // why it serves no more; empty while it does
}

// VolumeConfigReq tells a buffer cache the replicas of its volume: order and poll in one, the same again changes nothing.
type VolumeConfigReq struct {
	Volume VolumeAttachReq
	Attach bool // attach the volume if it is not, as for a client
}

// VolumeConfigRep says how far a buffer cache is with a configuration.
type VolumeConfigRep struct {
	Config uint64   // in force
	InSync bool     // the replica that is filled has everything
	Done   uint64   // blocks that the fill has compared
	Blocks uint64   // of the volume
	Lost   []NodeID // replicas in sync that do not have the volume any more, or serve it no more
	Behind []NodeID // replicas that cannot be reached, or are catching up
}

// BlockVersion orders the writes of a block: by epoch of the volume, then number. The zero version is that of a block that was
// never written.
type BlockVersion struct {
	Epoch Epoch
	No    uint64
}

// Less reports whether v is older than o.
func (v BlockVersion) Less(o BlockVersion) bool {
	return v.Epoch < o.Epoch || v.Epoch == o.Epoch && v.No < o.No
}

// ReplicaBlockLen is the length of the body of replica_block_read, replica_block_write and replica_versions, in bytes.
const ReplicaBlockLen = 40

// The flags of a ReplicaBlock.
const (
	ReplicaNoPage uint32 = 1 << 0 // read: the version alone
	ReplicaRepair uint32 = 1 << 1 // write: also over what has the same version
	ReplicaVerify uint32 = 1 << 2 // read and versions: the bytes are read and compared with their checksums
)

// ReplicaBlock names a block at a replica, or the first of Count blocks.
//
//	0        4       8       16          24              28      32      36         40
//	+--------+-------+-------+-----------+---------------+-------+-------+----------+
//	| volume | epoch | block | version   | version       | flags | count | reserved |
//	|        |       |       | number    | epoch         |       |       |          |
//	+--------+-------+-------+-----------+---------------+-------+-------+----------+
type ReplicaBlock struct {
	Volume  VolumeID
	Epoch   Epoch // of the buffer cache
	Block   uint64
	Version BlockVersion // of a write
	Flags   uint32
	Count   uint32 // of versions
}

// Append appends the body to b.
func (m ReplicaBlock) Append(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint32(b, uint32(m.Volume))
	b = le.AppendUint32(b, uint32(m.Epoch))
	b = le.AppendUint64(b, m.Block)
	b = le.AppendUint64(b, m.Version.No)
	b = le.AppendUint32(b, uint32(m.Version.Epoch))
	b = le.AppendUint32(b, m.Flags)
	b = le.AppendUint32(b, m.Count)
	return le.AppendUint32(b, 0)
}

// ParseReplicaBlock reads a ReplicaBlock; ok is false if b has another length, unknown flags or reserved bytes that are set.
func ParseReplicaBlock(b []byte) (m ReplicaBlock, ok bool) {
	le := binary.LittleEndian
	if len(b) != ReplicaBlockLen || le.Uint32(b[36:]) != 0 || le.Uint32(b[28:]) >= ReplicaVerify<<1 {
		return m, false
	}
	m = ReplicaBlock{VolumeID(le.Uint32(b)), Epoch(le.Uint32(b[4:])), le.Uint64(b[8:]), BlockVersion{Epoch(le.Uint32(b[24:])), le.Uint64(b[16:])}, le.Uint32(b[28:]), le.Uint32(b[32:])}
	return m, m.Count <= MaxReplicaVersions
}

// MaxReplicaVersions bounds the blocks of one replica_versions, so that its reply stays below MaxBody.
const MaxReplicaVersions = 4096

// CopyState says what a replica has of a block. Numbers are explicit and never reused.
type CopyState uint8

// The states.
const (
	CopyGood    CopyState = 1 // bytes and checksums fit, as far as was looked
	CopyCorrupt CopyState = 2 // the bytes do not fit the checksums; the version is known
	CopyUnknown CopyState = 3 // not even the version can be trusted
)

// BlockCopyLen is the length of a BlockCopy in bytes.
const BlockCopyLen = 24

// BlockCopy is what a replica has of a block: the body of the reply to replica_block_read, whose payload is the block unless it is not
// good or was not asked for, and one entry of the reply to replica_versions.
//
//	0         8         12    16      20         24
//	+---------+---------+-----+-------+----------+
//	| version | version | sum | state | reserved |
//	| number  | epoch   |     |       |          |
//	+---------+---------+-----+-------+----------+
type BlockCopy struct {
	Version BlockVersion
	Sum     uint32 // checksum of the block as it is stored with it
	State   CopyState
}

// Append appends the entry to b.
func (c BlockCopy) Append(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint64(b, c.Version.No)
	b = le.AppendUint32(b, uint32(c.Version.Epoch))
	b = le.AppendUint32(b, c.Sum)
	b = le.AppendUint32(b, uint32(c.State))
	return le.AppendUint32(b, 0)
}

// ParseBlockCopy reads the BlockCopy that b begins with; ok is false if there is none.
func ParseBlockCopy(b []byte) (c BlockCopy, ok bool) {
	le := binary.LittleEndian
	if len(b) < BlockCopyLen || le.Uint32(b[20:]) != 0 || le.Uint32(b[16:]) < uint32(CopyGood) || le.Uint32(b[16:]) > uint32(CopyUnknown) {
		return c, false
	}
	return BlockCopy{BlockVersion{Epoch(le.Uint32(b[8:])), le.Uint64(b)}, le.Uint32(b[12:]), CopyState(b[16])}, true
}
