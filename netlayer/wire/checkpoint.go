package wire

// Cut names a checkpoint of a process: every page as the flushes up to (Epoch, Version) left it belongs to it, and no later flush does.
// A process flushes nothing between the moment at which its state is saved and that at which every owner knows the cut.
type Cut struct {
	Number  uint64 // 0 is the beginning of the process; each checkpoint has the next one
	Epoch   Epoch  // of the process
	Version uint64 // of its last flush
}

// Covers reports whether a flush of a page belongs to the checkpoint.
func (c Cut) Covers(epoch Epoch, version uint64) bool {
	return epoch < c.Epoch || epoch == c.Epoch && version <= c.Version
}

// ProcessCutReq tells the home of a process that a checkpoint is durable. The same number again changes nothing, one before the
// last is stale.
type ProcessCutReq struct {
	PID   PID
	Epoch Epoch // of the process
	Cut   Cut
}

// RegionCutReq tells the owner of a vRegion: from now on the first change of a page that the checkpoint has keeps what was there.
type RegionCutReq struct {
	PID    PID
	Region RegionNo
	Cut    Cut
	Member Epoch // as RegionUnmapReq has it
}

// ProcessRollbackReq has the home of a process, and the owners of its vRegions, go back to a checkpoint. From then on the process is
// under Epoch, and older ones are refused.
type ProcessRollbackReq struct {
	PID   PID
	Epoch Epoch // under which it goes on
	Addr  string
	Cut   Cut
}

// ProcessRollbackRep says where its memory is.
type ProcessRollbackRep struct {
	HeapEnd uint64
	Owners  []Owner // of its active vRegions, by region
}

// RegionRollbackReq has the owner of a vRegion go back to a checkpoint: pages are as they were, and Mapped is all that is mapped.
type RegionRollbackReq struct {
	PID     PID
	Region  RegionNo
	Process Epoch // of the process: flushes and misses of older ones are refused
	Cut     Cut
	Mapped  []MappedPart
	Member  Epoch // as RegionUnmapReq has it
}

// RestartReq has a pComponent go on with a process whose pComponent was lost. It is an order and a poll in one: the same again changes
// nothing and says how far it is.
type RestartReq struct {
	PID     PID
	Epoch   Epoch // under which it goes on
	Home    Owner
	Volumes []RestartVolume // in the order in which the vNode has them; the last one has the checkpoints
}

// RestartVolume is where a volume of a process is now.
type RestartVolume struct {
	Volume      VolumeID
	Epoch       Epoch
	SizeBytes   uint64
	Storage     NodeID
	StorageAddr string
	Cache       NodeID
	CacheAddr   string
	// Of one with several copies, as VolumeAttachReq has them.
	Replicas    []VolumeReplica
	Config      uint64
	WriteQuorum uint8
	ReadQuorum  uint8
	Through     bool
}

// RestartState is how far a restart is.
type RestartState uint8

// The states. Numbers are wire numbers.
const (
	RestartRunning RestartState = 1 // it goes on here
	RestartUnder   RestartState = 2 // under way: ask again
	RestartEmpty   RestartState = 3 // there is no checkpoint: the process had not begun, and whoever admitted it starts it
	RestartFailed  RestartState = 4 // it cannot go on; Text says why
)

func (s RestartState) String() string {
	return [...]string{"none", "running", "under way", "empty", "failed", "?"}[min(int(s), 5)]
}

// RestartRep is the answer.
type RestartRep struct {
	State RestartState
	Text  string
	Cut   Cut    // of the checkpoint from which it goes on
	Done  uint64 // accesses that it has
}
