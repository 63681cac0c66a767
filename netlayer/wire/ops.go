package wire

import "fmt"

// Op names an operation. Replies carry the op of their request and FlagReply.
type Op uint8

// The operations. Numbers are explicit and never reused; the comment gives the direction.
const (
	OpHello Op = 1 // both: first frame of a connection
	OpPing  Op = 2 // any→any: liveness, and the floor of the benchmarks

	// Hot operations: fixed layouts, idempotent by version.
	OpMiss       Op = 16 // P→M: Miss → page
	OpFlush      Op = 17 // P→M: Flush + page → (empty)
	OpMissFlush  Op = 18 // P→M: Miss, Paired and Flush + page → reply to the miss, then a reply to the flush under its own call id
	OpBlockRead  Op = 19 // P→M, M→S: Block → data
	OpBlockWrite Op = 20 // P→M, M→S: Block + data → (empty)
	OpBlockFlush Op = 21 // P→M, M→S: Block → (empty) after fdatasync

	// Memory maps.
	OpMmap        Op = 32 // P→M (home): MmapReq → MmapRep
	OpMunmap      Op = 33 // P→M (home): MunmapReq → MunmapRep
	OpBrk         Op = 34 // P→M (home): BrkReq → MmapRep
	OpOwners      Op = 35 // P→M (home): OwnersReq → MmapRep
	OpProcessOpen Op = 36 // P→M (home): ProcessOpenReq → (empty)
	OpProcessExit Op = 37 // P→M (home), M→M (owner), client→M, G→M: ProcessExitReq → (empty)
	OpRegionMap   Op = 38 // M→M (home → owner): RegionMapReq → (empty)
	OpRegionUnmap Op = 39 // M→M (home → owner): RegionUnmapReq → MunmapRep

	// A vRegion or a memory map on its way to another mComponent.
	OpRegionCopyOpen Op = 40 // M→M (giver → taker): RegionCopyOpenReq → (empty)
	OpRegionCopy     Op = 41 // M→M (giver → taker): RegionCopy, entries and pages → (empty)
	OpRegionCopyEnd  Op = 42 // M→M (giver → taker): RegionCopyEndReq → (empty)
	OpRegionServe    Op = 43 // M→M (giver → taker): MoveServeReq → (empty)
	OpRegionDrop     Op = 44 // M→M (giver → taker): MoveRef → (empty)
	OpRegionSwitch   Op = 45 // M→M (giver → home), M→P (home → pComponent): RegionSwitchReq → (empty), once nothing older reaches the process
	OpHomeCopy       Op = 46 // M→M (giver → taker): HomeCopyReq → (empty)
	OpHomeSwitch     Op = 47 // M→P (giver → pComponent): HomeSwitchReq → (empty), once it uses the new home
	OpHomeServe      Op = 60 // M→M (giver → taker): MoveServeReq → (empty)
	OpHomeDrop       Op = 61 // M→M (giver → taker): MoveRef → (empty)

	// Volumes.
	OpVolumeAttach Op = 48 // P→M (buffer cache), M→S: VolumeAttachReq → (empty)
	OpVolumeDetach Op = 49 // P→M (buffer cache): VolumeRef → (empty); dirty blocks are written back first
	OpVolumeCreate Op = 50 // client→S: VolumeCreateReq → (empty)
	OpVolumeDelete Op = 51 // client→S: VolumeRef → (empty)

	// Volumes and buffer caches that move.
	OpVolumeCopyOpen Op = 52 // S→S: VolumeCopyOpenReq → (empty)
	OpVolumeCopy     Op = 53 // S→S: VolumeCopy → (empty)
	OpVolumeCopyEnd  Op = 54 // S→S: VolumeCopyEndReq → (empty) after fdatasync
	OpVolumeServe    Op = 55 // S→S: VolumeMoveRef → (empty)
	OpVolumeDrop     Op = 56 // S→S: VolumeMoveRef → (empty)
	OpVolumeSwitch   Op = 57 // S→M (buffer cache): SwitchReq → (empty)
	OpCacheSwitch    Op = 58 // M→P: SwitchReq → (empty)

	// Processes.
	OpProcessStart  Op = 64 // client→P: ProcessStartReq → (empty)
	OpProcessStatus Op = 65 // client→P: ProcessRef → ProcessStatusRep
	OpProcessStop   Op = 66 // client→P, G→P: ProcessStopReq → (empty)
	OpProcessCopy   Op = 67 // P→P (giver → taker): ProcessCopyReq → ProcessCopyRep
	OpProcessResume Op = 68 // P→P (giver → taker): ProcessResumeReq → ProcessResumeRep
	OpProcessDrop   Op = 69 // P→P (giver → taker), G→P: MoveRef → (empty): the taker forgets what it does not serve

	// Managers.
	OpPropose   Op = 80 // any→G: ProposeReq → ProposeRep
	OpQuery     Op = 81 // any→G: QueryReq → QueryRep
	OpHeartbeat Op = 82 // any→G: Heartbeat → HeartbeatRep
	OpRaft      Op = 83 // G→G: a batch of Raft messages → none
	OpRaftChunk Op = 84 // G→G: a chunk of a Raft snapshot → none

	// Every node.
	OpNodeStats Op = 96 // client→any: NodeStatsReq → NodeStatsRep
	OpHoldings  Op = 97 // client→P, M, S: HoldingsReq → HoldingsRep
	OpProbe     Op = 98 // G→P, M, S: ProbeReq → ProbeRep
	OpSlow      Op = 99 // C→P: SlowFaultsReq → SlowFaultsRep

	OpReadmit Op = 160 // C→G (leader of a group): ReadmitReq → ReadmitRep

	// Moves, of whatever the component holds (MoveKind).
	OpMoveStart  Op = 100 // G→P, M, S (giver): MoveReq → (empty), at once
	OpMoveStatus Op = 101 // any→giver: MoveRef → MoveStatusRep
	OpMoveForget Op = 102 // G→giver: MoveRef → (empty): the manager has taken down how it ended

	// What goes wrong on purpose.
	OpFault        Op = 112 // C→any: FaultReq → FaultRep
	OpCorruptBlock Op = 113 // C→S: CorruptReq → CorruptRep

	// What nobody owns.
	OpDrop Op = 119 // G→P, M, S: DropReq → (empty)

	// Checkpoints of processes, and processes that go on from one.
	OpProcessCut      Op = 152 // P→M (home): ProcessCutReq → (empty), once every owner knows it
	OpRegionCut       Op = 153 // M→M (home → owner): RegionCutReq → (empty)
	OpProcessRollback Op = 154 // P→M (home): ProcessRollbackReq → ProcessRollbackRep, once every owner has gone back
	OpRegionRollback  Op = 155 // M→M (home → owner): RegionRollbackReq → (empty)
	OpProcessRestart  Op = 156 // G→P: RestartReq → RestartRep, at once: order and poll in one

	// Replicas of volumes.
	OpStorageAttach     Op = 144 // M→S: StorageAttachReq → StorageAttachRep
	OpReplicaBlockRead  Op = 145 // M→S: ReplicaBlock → BlockCopy and block
	OpReplicaBlockWrite Op = 146 // M→S: ReplicaBlock + block → (empty)
	OpReplicaVersions   Op = 147 // M→S: ReplicaBlock → a BlockCopy for each
	OpVolumeConfig      Op = 148 // G→M: VolumeConfigReq → VolumeConfigRep

	// What a giver left.
	OpMoveAdopt Op = 120 // G→M (taker): MoveReq → MoveStatusRep: the giver is gone, and the taker serves what it has, or drops it

	// What makes memory redundant.
	OpReplicaOpen   Op = 128 // M→M (owner or new owner → holder): ReplicaOpenReq → ReplicaOpenRep
	OpReplicaWrite  Op = 129 // M→M (owner → holder): ReplicaWrite + page or share → (empty), or ReplicaSkipped
	OpReplicaRead   Op = 130 // M→M (owner or new owner → holder): ReplicaRead → ReplicaPages
	OpReplicaDrop   Op = 131 // M→M (owner → holder), G→M: ReplicaRef → (empty)
	OpReplicaUnmap  Op = 132 // M→M (owner → holder): ReplicaUnmapReq → (empty)
	OpRegionConfig  Op = 133 // G→M (owner): RegionConfig → RegionConfigRep: order and question in one
	OpRegionRecover Op = 134 // G→M (new owner): RegionRecoverReq → RegionRecoverRep: order and question in one
	OpRegionParts   Op = 135 // M→M (new owner → home): RegionPartsReq → RegionPartsRep
	OpHomeBackup    Op = 136 // M→M (home → backup): HomeBackupReq → (empty)
	OpHomeConfig    Op = 137 // G→M (home): HomeConfig → HomeConfigRep: order and question in one
	OpHomeRecover   Op = 138 // G→M (backup): HomeRecoverReq → HomeRecoverRep: order and question in one
	OpReplicaCut    Op = 170 // M→M (owner → holder): ReplicaCutReq → (empty)
	OpReplicaAgain  Op = 183 // M→M (holder → owner): ReplicaAgainReq → (empty)
	OpReplicaWrites Op = 139 // M→M (owner → holder): ReplicaWrites, entries and pages → (empty), or which were skipped
)

// opNames is an array because every frame asks it whether its op is known.
var opNames = [256]string{
	OpHello: "hello", OpPing: "ping", OpMiss: "miss", OpFlush: "flush", OpMissFlush: "miss_flush", OpBlockRead: "block_read",
	OpBlockWrite: "block_write", OpBlockFlush: "block_flush", OpMmap: "mmap", OpMunmap: "munmap", OpBrk: "brk", OpOwners: "owners",
	OpProcessOpen: "process_open", OpProcessExit: "process_exit", OpRegionMap: "region_map", OpRegionUnmap: "region_unmap",
	OpRegionCopyOpen: "region_copy_open", OpRegionCopy: "region_copy", OpRegionCopyEnd: "region_copy_end", OpRegionServe: "region_serve",
	OpRegionDrop: "region_drop", OpRegionSwitch: "region_switch", OpHomeCopy: "home_copy", OpHomeSwitch: "home_switch", OpHomeServe: "home_serve", OpHomeDrop: "home_drop",
	OpVolumeAttach: "volume_attach", OpVolumeDetach: "volume_detach", OpVolumeCreate: "volume_create", OpVolumeDelete: "volume_delete",
	OpVolumeCopyOpen: "volume_copy_open", OpVolumeCopy: "volume_copy", OpVolumeCopyEnd: "volume_copy_end", OpVolumeServe: "volume_serve",
	OpVolumeDrop: "volume_drop", OpVolumeSwitch: "volume_switch", OpCacheSwitch: "cache_switch",
	OpProcessStart: "process_start", OpProcessStatus: "process_status", OpProcessStop: "process_stop",
	OpPropose: "propose", OpQuery: "query", OpHeartbeat: "heartbeat", OpRaft: "raft", OpRaftChunk: "raft_chunk", OpNodeStats: "node_stats", OpHoldings: "holdings", OpProbe: "probe", OpSlow: "slow_faults",
	OpReadmit:     "readmit",
	OpProcessCopy: "process_copy", OpProcessResume: "process_resume", OpProcessDrop: "process_drop",
	OpMoveStart: "move_start", OpMoveStatus: "move_status", OpMoveForget: "move_forget", OpDrop: "drop", OpMoveAdopt: "move_adopt",
	OpFault: "fault", OpCorruptBlock: "corrupt_block",
	OpProcessCut: "process_cut", OpRegionCut: "region_cut", OpProcessRollback: "process_rollback", OpRegionRollback: "region_rollback", OpProcessRestart: "process_restart",
	OpReplicaOpen: "replica_open", OpReplicaWrite: "replica_write", OpReplicaRead: "replica_read", OpReplicaDrop: "replica_drop", OpReplicaUnmap: "replica_unmap",
	OpRegionConfig: "region_config", OpRegionRecover: "region_recover", OpRegionParts: "region_parts",
	OpHomeBackup: "home_backup", OpHomeConfig: "home_config", OpHomeRecover: "home_recover", OpReplicaWrites: "replica_writes", OpReplicaCut: "replica_cut", OpReplicaAgain: "replica_again",
	OpStorageAttach: "storage_attach", OpReplicaBlockRead: "replica_block_read", OpReplicaBlockWrite: "replica_block_write", OpReplicaVersions: "replica_versions", OpVolumeConfig: "volume_config",
}

func (o Op) String() string {
	if s := opNames[o]; s != "" {
		return s
	}
	return fmt.Sprintf("op(%d)", uint8(o))
}

// Known reports whether o is an operation of this version of the protocol.
func (o Op) Known() bool { return opNames[o] != "" }

// Once reports whether a request of o must be executed at most once however often it is sent: its effect is not
// idempotent, so the server deduplicates retries by (session, call).
func (o Op) Once() bool {
	switch o {
	case OpMmap, OpMunmap, OpBrk, OpProcessStart, OpProcessOpen, OpVolumeAttach, OpVolumeDetach, OpVolumeCreate, OpVolumeDelete, OpCorruptBlock:
		return true
	}
	return false
}

// Flags are bits of a frame.
type Flags uint16

// The flags.
const (
	FlagReply  Flags = 1 << 0 // the frame answers a call
	FlagError  Flags = 1 << 1 // the reply's body is an error: kind in Header.Status, text in the body
	FlagRetry  Flags = 1 << 2 // the request was sent before under the same session and call id
	FlagOneWay Flags = 1 << 3 // no reply is expected
)

// flagsKnown are the flags of this version of the protocol; a frame with another flag is refused.
const flagsKnown = FlagReply | FlagError | FlagRetry | FlagOneWay
