package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var rewrite = flag.Bool("rewrite", false, "write testdata anew")

// sample is a request and its reply. A nil message is an empty body, bytes are a fixed layout.
type sample struct {
	op             Op
	req, rep       any
	reqPay, repPay int
}

var owner = Owner{Region: 3, Node: "m2", Addr: "tcp:127.0.0.1:7002", Epoch: 5, Member: 2}

var member = Member{ID: "m2", Role: RoleMemory, Addr: "tcp:127.0.0.1:7002", Rack: "r1", Capacity: Capacity{MemoryBytes: 1 << 30, RegionBytes: 1 << 20, BufferCacheBytes: 1 << 24}, Epoch: 4}

var load = Load{Processes: 1, Threads: 2, BusyCores: 0.5, ReservedBytes: 1 << 20, ResidentBytes: 1 << 19, Misses: 10, Flushes: 11, BlockOps: 12, QueueDelayUS: 13, Regions: 14, Homes: 15, Volumes: 16, BlockBytes: 17, MapOps: 18, Accesses: 19,
	Hot: []ThingLoad{{Kind: MoveRegion, PID: 1, Region: 2, Ops: 3}, {Kind: MoveCache, Volume: 4, Ops: 5, Bytes: 6}, {Kind: MoveProcess, PID: 7, Ops: 8, MilliCPU: 9}}, HotAll: []MoveKind{MoveCache}}

var (
	miss  = Miss{PID: 7, Page: 0x4033, OwnerEpoch: 5}
	flush = Flush{PID: 7, Page: 0x4034, OwnerEpoch: 5, ProcessEpoch: 2, Version: 9}
	block = Block{Volume: 6, VolumeEpoch: 1, Version: 8, Offset: 4096 + 512, Length: 1024, PID: 7}
	sync_ = Block{Volume: 6, VolumeEpoch: 1, PID: 7}
)

// regionCopy is three pages: one absent, one of zeros, one of bytes.
var regionCopy = PageEntry{Page: 0x4035, State: PageFull, Epoch: 2, Version: 9, Sum: 0x01020304, Pre: 4}.Append(PageEntry{Page: 0x4034, State: PageZero}.Append(
	PageEntry{Page: 0x4033, State: PageAbsent}.Append(RegionCopy{Move: MoveID{GMM, 9}, Round: 2, Count: 3}.Append(nil))))

var (
	regionConfig     = RegionConfig{PID: 7, Region: 3, Epoch: 5, Config: 2, Policy: MemoryPolicy{Kind: MemoryLog, Copies: 1, LogBlock: true}, Holders: []Holder{{Node: "m3", Addr: "unix:/run/m3", Member: 4, Filling: true}}}
	homeConfig       = HomeConfig{PID: 7, Epoch: 5, Config: 3, Backup: Holder{Node: "m4", Addr: "unix:/run/m4", Member: 1}}
	replicaWrite     = ReplicaWrite{PID: 7, Page: 0x4034, OwnerEpoch: 5, ProcessEpoch: 2, Version: 9, Config: 2, Barrier: 4, Flags: ReplicaFill, Sum: 0x01020304, Pre: 4}
	replicaRead      = ReplicaRead{PID: 7, Region: 3, Page: 0x4033, OwnerEpoch: 5, Count: 64, Config: 2}
	replicaWriteHead = ReplicaWrites{PID: 7, Config: 2, OwnerEpoch: 5, Barrier: 4, Count: 2, Fill: true}
	// replicaWrites is one page and one that is lost.
	replicaWrites = PageEntry{Page: 0x4035, State: PageLost, Epoch: 2, Version: 9}.Append(PageEntry{Page: 0x4033, State: PageFull, Epoch: 2, Version: 8, Sum: 0x01020304, Pre: 4}.Append(replicaWriteHead.Append(nil)))
	// replicaPages is two pages: a share of eight bytes, and one that is lost.
	replicaPages = append(PageEntry{Page: 0x4035, State: PageLost, Epoch: 2, Version: 9}.Append(PageEntry{Page: 0x4033, State: PageFull, Epoch: 2, Version: 8, Sum: 0x01020304}.Append(
		ReplicaPages{Next: 0x4036, Count: 2, Bytes: 8, More: true}.Append(nil))), 1, 2, 3, 4, 5, 6, 7, 8)
)

var mmapRep = MmapRep{Addr: 0x7000_0000, Owners: []Owner{owner}}

var samples = []sample{
	{op: OpHello, req: Hello{Protocol: Version, Cluster: "laptop", Role: RoleCompute, Node: "p1", Session: 0x1122334455667788, Token: "t"},
		rep: Hello{Protocol: Version, Cluster: "laptop", Role: RoleMemory, Node: "m2", Token: "t"}},
	{op: OpPing, req: []byte("ping"), rep: []byte("ping")},
	{op: OpMiss, req: miss.Append(nil), repPay: PageSize},
	{op: OpFlush, req: flush.Append(nil), reqPay: PageSize},
	{op: OpMissFlush, req: AppendMissFlush(nil, miss.Append(nil), 0x0000_0000_0003_0001, flush.Append(nil)), reqPay: PageSize, repPay: PageSize},
	{op: OpBlockRead, req: block.Append(nil), repPay: 1024},
	{op: OpBlockWrite, req: block.Append(nil), reqPay: 1024},
	{op: OpBlockFlush, req: sync_.Append(nil)},
	{op: OpMmap, req: MmapReq{PID: 7, Epoch: 2, Length: 8192, Anon: true, Writable: true, Name: "heap"}, rep: mmapRep},
	{op: OpMunmap, req: MunmapReq{PID: 7, Epoch: 2, Addr: 0x7000_0000, Length: 8192}, rep: MunmapRep{Freed: 2}},
	{op: OpBrk, req: BrkReq{PID: 7, Epoch: 2, End: 0x5000, Heap: 0x4000}, rep: mmapRep},
	{op: OpOwners, req: OwnersReq{PID: 7, Addr: 0x7000_0000, Length: 8192}, rep: mmapRep},
	{op: OpProcessOpen, req: ProcessOpenReq{PID: 7, Epoch: 2, Addr: "unix:/run/p1", Home: 3, Member: 4}},
	{op: OpProcessExit, req: ProcessExitReq{PID: 7, Epoch: 2, Owner: true}},
	{op: OpRegionMap, req: RegionMapReq{PID: 7, Region: 3, RegionEpoch: 5, Start: 0x7000_0000, Length: 8192, Anon: true, Writable: true, Member: 2}},
	{op: OpRegionUnmap, req: RegionUnmapReq{PID: 7, Region: 3, Start: 0x7000_0000, Length: 8192, Member: 2}},
	{op: OpRegionCopyOpen, req: RegionCopyOpenReq{Move: MoveID{GMM, 9}, Round: 1, PID: 7, Region: 3, Epoch: 6, Pages: 2, From: "m1", FromAddr: "unix:/run/m1", Member: 4}},
	{op: OpRegionCopy, req: regionCopy, reqPay: PageSize},
	{op: OpRegionCopyEnd, req: RegionCopyEndReq{Move: MoveID{GMM, 9}, Round: 3, Parts: 1, Mapped: []MappedPart{{Start: 0x7000_0000, End: 0x7000_2000, Anon: true}}, Pages: 2, Kept: CutState{true, Cut{3, 2, 99}, 5}, Keeps: 1}},
	{op: OpRegionServe, req: MoveServeReq{Move: MoveID{GMM, 9}, Epoch: 6}},
	{op: OpRegionDrop, req: MoveRef{MoveID{GMM, 9}}},
	{op: OpRegionSwitch, req: RegionSwitchReq{PID: 7, Owner: owner}},
	{op: OpHomeCopy, req: HomeCopyReq{Member: 4, Move: MoveID{GMM, 9}, Parts: 1, PID: 7, Epoch: 2, Addr: "unix:/run/p1", HeapStart: 0x1000, HeapEnd: 0x5000, From: "m1", FromAddr: "unix:/run/m1",
		Mapped: []MappedPart{{Start: 0x7000_0000, End: 0x7000_2000, Writable: true, Name: "heap"}}, Owners: []Owner{owner}}},
	{op: OpHomeSwitch, req: HomeSwitchReq{PID: 7, Home: owner}},
	{op: OpHomeServe, req: MoveServeReq{Move: MoveID{GMM, 9}, Epoch: 6}},
	{op: OpHomeDrop, req: MoveRef{MoveID{GMM, 9}}},
	{op: OpVolumeAttach, req: VolumeAttachReq{Volume: 6, Epoch: 1, SizeBytes: 1 << 30, Storage: "s1", StorageAddr: "unix:/run/s1", ClientAddr: "unix:/run/p1"}},
	{op: OpVolumeDetach, req: VolumeRef{Volume: 6, Epoch: 1}},
	{op: OpVolumeCreate, req: VolumeCreateReq{Volume: 6, Epoch: 1, Name: "v", SizeBytes: 1 << 30, Config: 3}},
	{op: OpVolumeDelete, req: VolumeRef{Volume: 6, Epoch: 1}},
	{op: OpVolumeCopyOpen, req: VolumeCopyOpenReq{Move: MoveID{GSM, 4}, Volume: 6, Name: "v", SizeBytes: 1 << 30, Epoch: 3, Giver: "s1", GiverAddr: "unix:/run/s1"}},
	{op: OpVolumeCopy, req: volumeCopy()},
	{op: OpVolumeCopyEnd, req: VolumeCopyEndReq{Move: MoveID{GSM, 4}, Volume: 6, Round: 2, Last: true, Open: 5, Synced: 4}},
	{op: OpVolumeServe, req: VolumeMoveRef{Move: MoveID{GSM, 4}, Volume: 6, Epoch: 3}},
	{op: OpVolumeDrop, req: VolumeMoveRef{Move: MoveID{GSM, 4}, Volume: 6, Epoch: 3}},
	{op: OpVolumeSwitch, req: SwitchReq{Move: MoveID{GSM, 4}, Volume: 6, Epoch: 3, To: "s2", ToAddr: "unix:/run/s2"}},
	{op: OpCacheSwitch, req: SwitchReq{Move: MoveID{GSM, 5}, Volume: 6, Epoch: 4, To: "m2", ToAddr: "unix:/run/m2"}},
	{op: OpProcessStart, req: ProcessStartReq{PID: 7, Spec: []byte{1, 2, 3}}},
	{op: OpProcessStatus, req: ProcessRef{PID: 7}, rep: ProcessStatusRep{Status: []byte{4, 5}}},
	{op: OpProcessStop, req: ProcessStopReq{PID: 7, Text: "preempted", WaitMS: 2000}},
	{op: OpProcessCopy, req: ProcessCopyReq{Move: MoveID{GPM, 9}, PID: 7, Epoch: 6, From: "p1", FromAddr: "unix:/run/p1", Total: 3, StateSum: 17, Sum: 18, Bytes: []byte{1, 2, 3}}, rep: ProcessCopyRep{Have: 3, Ready: true}},
	{op: OpProcessResume, req: ProcessResumeReq{Move: MoveID{GPM, 9}, PID: 7, Epoch: 6, Home: Owner{Node: "m2", Addr: "unix:/m2", Epoch: 3}}, rep: ProcessResumeRep{State: ResumeServing}},
	{op: OpProcessDrop, req: MoveRef{MoveID{GPM, 9}}},
	{op: OpPropose, req: ProposeReq{Manager: GMM, Client: 77, Seq: 3, Command: []byte{9}}, rep: ProposeRep{Result: []byte{8}}},
	{op: OpQuery, req: QueryReq{Manager: GPM, Stale: true, Query: []byte{9}}, rep: QueryRep{Leader: "g3", Term: 2, Result: []byte{8}}},
	{op: OpHeartbeat, req: Heartbeat{Member: member, Load: load}, rep: HeartbeatRep{Standing: StandingFenced}},
	{op: OpRaft, req: []byte("raft batch")},
	{op: OpRaftChunk, req: []byte("raft chunk")},
	{op: OpNodeStats, req: NodeStatsReq{}, rep: NodeStatsRep{Node: "m2", Role: RoleMemory, Epoch: 4, Counters: []Counter{{"misses", 10}}}},
	{op: OpHoldings, req: HoldingsReq{From: HeldAt{List: HeldRegions, ID: 7, Region: 3}, Limit: 3}, rep: HoldingsRep{Node: "m2", Role: RoleMemory, Epoch: 4, Holds: Holdings{Homes: []HeldHome{{PID: 7, Epoch: 2}}, Regions: []HeldRegion{{PID: 7, Region: 3, Epoch: 5}}, Caches: []HeldVolume{{Volume: 9, Epoch: 6, SizeBytes: 4096}}}, Next: HeldAt{List: HeldCaches, ID: 10}}},
	{op: OpProbe, req: ProbeReq{Node: "m2", Addr: "unix:/run/m2", TimeoutMS: 500}, rep: ProbeRep{Text: "connection refused", Refused: true}},
	{op: OpReadmit, req: ReadmitReq{Manager: GMM, Node: "g2", ReplicaID: 4}, rep: ReadmitRep{Replicas: []Replica{{1, "g1"}, {3, "g3"}, {4, "g2"}}}},
	{op: OpFault, req: FaultReq{Seq: 3, Seed: 7, Links: []LinkFault{{To: "m1", Lose: 10_000, Duplicate: 1, Reorder: 2, DelayNS: 20_000_000, JitterNS: 3, LateNS: 5_000_000}}, Disk: DiskFault{Times: 10_000, AddNS: 4, Full: true}},
		rep: FaultRep{Lost: 1, Delayed: 2, Duplicated: 3, Reordered: 4, Dropped: 5, Slowed: 6, Refused: 7}},
	{op: OpCorruptBlock, req: CorruptReq{Volume: 3, Block: 17, Seed: 7}, rep: CorruptRep{Volume: 3, Block: 17}},
	{op: OpDrop, req: DropReq{Kind: MoveRegion, PID: 7, Region: 3, UpTo: 5, Member: 2, Text: "its vNode is gone", Lost: true}},
	{op: OpProcessCut, req: ProcessCutReq{PID: 7, Epoch: 2, Cut: Cut{3, 2, 99}}},
	{op: OpRegionCut, req: RegionCutReq{PID: 7, Region: 3, Cut: Cut{3, 2, 99}}},
	{op: OpProcessRollback, req: ProcessRollbackReq{PID: 7, Epoch: 5, Addr: "unix:/run/p2", Cut: Cut{3, 2, 99}}, rep: ProcessRollbackRep{HeapEnd: 0x5000, Owners: []Owner{owner}}},
	{op: OpRegionRollback, req: RegionRollbackReq{PID: 7, Region: 3, Process: 5, Cut: Cut{3, 2, 99}, Mapped: []MappedPart{{Start: 0x7000_0000, End: 0x7000_2000, Anon: true}}}},
	{op: OpProcessRestart, req: RestartReq{PID: 7, Epoch: 5, Home: owner, Volumes: []RestartVolume{{Volume: 6, Epoch: 1, SizeBytes: 1 << 20, Storage: "s1", StorageAddr: "unix:/run/s1", Cache: "m1", CacheAddr: "unix:/run/m1"}}},
		rep: RestartRep{State: RestartRunning, Cut: Cut{3, 2, 99}, Done: 1000}},
	{op: OpSlow, req: SlowFaultsReq{Limit: 3}, rep: SlowFaultsRep{Node: "p1", Every: 8, Faults: []SlowFault{{PID: 7, Process: "sort", Node: "p1", Thread: 1, Page: 0x70000, Write: true, How: 2, Fetches: 1, Flush: true, Owner: "m1", Timed: true, BeganNS: 1_700_000_000_000_000_000, TookNS: 90_000, Stages: [NumStages]uint64{StageProcessor: 10_000, StageWay: 80_000}}}}},
	{op: OpMoveAdopt, req: MoveReq{Move: MoveID{GMM, 9}, Kind: MoveRegion, PID: 7, Region: 3, OldEpoch: 5, Epoch: 6, UndoEpoch: 7, To: "m2"}, rep: MoveStatusRep{Move: MoveID{GMM, 9}, State: MoveDone, Epoch: 8}},
	{op: OpMoveStart, req: MoveReq{Move: MoveID{GMM, 9}, Kind: MoveRegion, PID: 7, Region: 3, OldEpoch: 5, Epoch: 6, UndoEpoch: 7, To: "m2", ToAddr: "unix:/run/m2", Via: "m3", ViaAddr: "unix:/run/m3", TimeoutMS: 60000, FromMember: 2, ToMember: 4, ViaEpoch: 3}},
	{op: OpStorageAttach, req: StorageAttachReq{Volume: 6, Epoch: 3, Config: 2, Instance: 99, SizeBytes: 1 << 30}, rep: StorageAttachRep{OpenEpoch: 2, Open: 17, SyncedEpoch: 2, Synced: 16, Rebooted: true}},
	{op: OpReplicaBlockRead, req: ReplicaBlock{Volume: 6, Epoch: 3, Block: 7}.Append(nil), rep: BlockCopy{Version: BlockVersion{2, 9}, Sum: 0x01020304, State: CopyGood}.Append(nil), repPay: PageSize},
	{op: OpReplicaBlockWrite, req: ReplicaBlock{Volume: 6, Epoch: 3, Block: 7, Version: BlockVersion{3, 10}, Flags: ReplicaRepair}.Append(nil), reqPay: PageSize},
	{op: OpReplicaVersions, req: ReplicaBlock{Volume: 6, Epoch: 3, Block: 7, Flags: ReplicaVerify, Count: 2}.Append(nil), rep: BlockCopy{State: CopyUnknown}.Append(BlockCopy{Version: BlockVersion{2, 9}, Sum: 5, State: CopyCorrupt}.Append(nil))},
	{op: OpVolumeConfig, req: VolumeConfigReq{Volume: VolumeAttachReq{Volume: 6, Epoch: 3, SizeBytes: 1 << 30, Config: 2, WriteQuorum: 2, ReadQuorum: 2, Through: true, Replicas: []VolumeReplica{{"s1", "unix:/run/s1", 2, ReplicaInSync}, {"s2", "unix:/run/s2", 2, ReplicaLeaving}, {"s3", "unix:/run/s3", 4, ReplicaFilling}}}, Attach: true},
		rep: VolumeConfigRep{Config: 2, InSync: true, Done: 100, Blocks: 200, Lost: []NodeID{"s2"}, Behind: []NodeID{"s1"}}},
	{op: OpMoveStatus, req: MoveRef{MoveID{GMM, 9}}, rep: MoveStatusRep{Move: MoveID{GMM, 9}, State: MoveDone, Epoch: 6, Bytes: 8192, TotalBytes: 8192, Rounds: 2, DurationUS: 900, PauseUS: 80}},
	{op: OpMoveForget, req: MoveRef{MoveID{GMM, 9}}},
	{op: OpReplicaOpen, req: ReplicaOpenReq{PID: 7, Region: 3, Epoch: 5, Config: 2, Policy: MemoryPolicy{Kind: MemoryErasure, Data: 2, Parity: 1}, Index: 2, Fresh: true, Member: 4, Kept: CutState{true, Cut{3, 2, 99}, 5}, Owner: "m1", Addr: "unix:/run/m1"}, rep: ReplicaOpenRep{Pages: 9, Lost: 1, Kept: CutState{true, Cut{3, 2, 99}, 5}}},
	{op: OpReplicaCut, req: ReplicaCutReq{PID: 7, Region: 3, Epoch: 5, Config: 2, Barrier: 4, Back: true, Cut: Cut{3, 2, 99}, Process: 5}},
	{op: OpReplicaAgain, req: ReplicaAgainReq{PID: 7, Region: 3, Epoch: 5, Config: 2, Holder: "m3"}},
	{op: OpReplicaWrite, req: replicaWrite.Append(nil), reqPay: PageSize},
	{op: OpReplicaWrites, req: replicaWrites, reqPay: PageSize, rep: []byte{0, 1}},
	{op: OpReplicaRead, req: replicaRead.Append(nil), rep: replicaPages},
	{op: OpReplicaDrop, req: ReplicaRef{PID: 7, Region: 3, Epoch: 5, Config: 2}},
	{op: OpReplicaUnmap, req: ReplicaUnmapReq{PID: 7, Region: 3, Epoch: 5, Config: 2, Barrier: 4, Start: 0x7000_0000, Length: 8192}},
	{op: OpRegionConfig, req: regionConfig, rep: RegionConfigRep{Config: 2, InSync: []NodeID{"m3"}, Copied: 10, Known: 11, Unprotected: 1, Text: "m4 does not answer"}},
	{op: OpRegionRecover, req: RegionRecoverReq{Config: regionConfig, OldEpoch: 2, Sources: []Holder{{Node: "m3", Addr: "unix:/run/m3", Member: 4}}, Self: "m2", Member: 2, Via: "m5", ViaAddr: "unix:/run/m5", TimeoutMS: 60000},
		rep: RegionRecoverRep{State: RecoverServing, Done: 3, Known: 10, Lost: 1, LostPages: []PageNo{0x4033}, Text: "a full log had skipped it"}},
	{op: OpRegionParts, req: RegionPartsReq{PID: 7, Region: 3, Epoch: 5, From: 0x7000_0000}, rep: RegionPartsRep{Mapped: []MappedPart{{Start: 0x7000_0000, End: 0x7000_2000, Anon: true}}, More: true}},
	{op: OpHomeBackup, req: HomeBackupReq{HomeEpoch: 5, Config: 1, Seq: 8, Member: 4, Copy: HomeCopyReq{Parts: 1, PID: 7, Epoch: 2, Addr: "unix:/run/p1", HeapStart: 0x1000, HeapEnd: 0x5000, From: "m1", FromAddr: "unix:/run/m1",
		Mapped: []MappedPart{{Start: 0x7000_0000, End: 0x7000_2000, Writable: true, Name: "heap"}}, Owners: []Owner{owner}, Configs: []RegionConfig{regionConfig}, Backup: homeConfig}}},
	{op: OpHomeConfig, req: homeConfig, rep: HomeConfigRep{Config: 3, InSync: true}},
	{op: OpHomeRecover, req: HomeRecoverReq{Config: homeConfig, OldEpoch: 2, Self: "m2", Member: 2, Process: 2, ClientAddr: "unix:/run/p1"}, rep: HomeRecoverRep{State: RecoverTelling, Text: "p1 does not answer"}},
}

func body(v any) []byte {
	switch v := v.(type) {
	case nil:
		return nil
	case []byte:
		return v
	}
	return Marshal(v)
}

func payload(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7)
	}
	return b
}

func encode(h Header, body, payload []byte) []byte {
	h.BodyLen, h.BodyCRC, h.PayloadLen, h.PayloadCRC = uint32(len(body)), Checksum(body), uint32(len(payload)), Checksum(payload)
	return append(append(h.Append(nil), body...), payload...)
}

func oneWay(op Op) bool { return op == OpRaft || op == OpRaftChunk }

// golden prints the frames of every op as hex: header, then body; of a payload its length and checksum.
func golden() string {
	var b strings.Builder
	b.WriteString("# One request and one reply of every operation: header, body, payload length (bytes 0, 7, 14, … mod 256).\n# Written by: go test ./netlayer/wire -run Golden -rewrite\n")
	put := func(what string, h Header, body []byte, n int) {
		f := encode(h, body, payload(n))
		fmt.Fprintf(&b, "%v %s\n  %x\n  %x\n  %d\n", h.Op, what, f[:HeaderLen], body, n)
	}
	for _, s := range samples {
		h := Header{Op: s.op, Call: 0x0000_0000_0002_0003, Epoch: 4, TimeoutUS: 2_000_000}
		switch {
		case s.op == OpHello:
			h = Header{Op: s.op}
		case oneWay(s.op):
			h = Header{Op: s.op, Flags: FlagOneWay}
		case s.op.Once():
			h.Flags = FlagRetry
		}
		put("request", h, body(s.req), s.reqPay)
		if !oneWay(s.op) {
			put("reply", Header{Op: s.op, Flags: FlagReply, Call: h.Call}, body(s.rep), s.repPay)
		}
	}
	put("knows", Header{Op: OpHello, Epoch: KnowsTrace}, body(samples[0].req), 0)
	put("traced", Header{Op: OpMiss, Call: 0x0000_0000_0002_0003, Epoch: 4, TimeoutUS: 2_000_000, Trace: 0x0102_0304}, body(samples[2].req), 0)
	put("timed", Header{Op: OpMiss, Flags: FlagReply, Call: 0x0000_0000_0002_0003, Trace: ServedTimes(700*time.Nanosecond, 3*time.Microsecond)}, nil, PageSize)
	put("error", Header{Op: OpMiss, Flags: FlagReply | FlagError, Status: KindNotOwner, Call: 0x0000_0000_0002_0003}, []byte("region 3 is served by m2"), 0)
	return b.String()
}

func TestGoldenFrames(t *testing.T) {
	path := filepath.Join("testdata", "golden.txt")
	got := golden()
	if *rewrite {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	gl, wl := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := range max(len(gl), len(wl)) {
		if i >= len(gl) || i >= len(wl) || gl[i] != wl[i] {
			t.Fatalf("the wire has changed at line %d of %s; old peers would not understand. If that is meant, raise Version and run with -rewrite", i+1, path)
		}
	}
	seen := map[Op]bool{}
	for _, s := range samples {
		seen[s.op] = true
	}
	for i := range 256 {
		if op := Op(i); op.Known() != seen[op] {
			t.Errorf("%v: known %v, in the golden file %v", op, op.Known(), seen[op])
		}
	}
}

// TestGoldenDecodes decodes the golden file by hand, so that the file is checked against the code and not against itself.
func TestGoldenDecodes(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("testdata", "golden.txt"))
	if err != nil {
		t.Fatal(err)
	}
	bodies := map[string][]byte{}
	lines := strings.Split(string(b), "\n")[2:]
	for i := 0; i+3 < len(lines); i += 4 {
		head, err1 := hex.DecodeString(strings.TrimSpace(lines[i+1]))
		body, err2 := hex.DecodeString(strings.TrimSpace(lines[i+2]))
		h, err3 := ParseHeader(head)
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Fatalf("%s: %v", lines[i], err)
		}
		if name, _, _ := strings.Cut(lines[i], " "); h.Op.String() != name || int(h.BodyLen) != len(body) || h.BodyCRC != Checksum(body) || fmt.Sprint(h.PayloadLen) != strings.TrimSpace(lines[i+3]) {
			t.Errorf("%s: header %+v does not fit", lines[i], h)
		}
		bodies[lines[i]] = body
	}
	for _, s := range samples {
		for what, v := range map[string]any{"request": s.req, "reply": s.rep} {
			name := s.op.String() + " " + what
			if _, raw := v.([]byte); raw || v == nil {
				continue
			}
			got := reflect.New(reflect.TypeOf(v))
			if err := Unmarshal(bodies[name], got.Interface()); err != nil {
				t.Errorf("%s: %v", name, err)
			} else if !reflect.DeepEqual(got.Elem().Interface(), v) {
				t.Errorf("%s: %+v, want %+v", name, got.Elem(), v)
			}
		}
	}
	if m, ok := ParseMiss(bodies["miss request"]); !ok || m != miss {
		t.Errorf("miss: %+v", m)
	}
	if f, ok := ParseFlush(bodies["flush request"]); !ok || f != flush {
		t.Errorf("flush: %+v", f)
	}
	if k, ok := ParseBlock(bodies["block_write request"]); !ok || k != block {
		t.Errorf("block: %+v", k)
	}
	if w, ok := ParseReplicaWrite(bodies["replica_write request"]); !ok || w != replicaWrite {
		t.Errorf("replica_write: %+v", w)
	}
	if w, full, ok := ParseReplicaWrites(bodies["replica_writes request"]); !ok || w != replicaWriteHead || full != 1 || CopyEntry(replicaWrites, 1).Page != 0x4035 {
		t.Errorf("replica_writes: %+v, %d pages", w, full)
	}
	if r, ok := ParseReplicaRead(bodies["replica_read request"]); !ok || r != replicaRead {
		t.Errorf("replica_read: %+v", r)
	}
	if p, pages, ok := ParseReplicaPages(bodies["replica_read reply"]); !ok || p != (ReplicaPages{Next: 0x4036, Count: 2, Bytes: 8, More: true}) || len(pages) != 8 {
		t.Errorf("replica_read reply: %+v", p)
	}
	m, id, f, ok := SplitMissFlush(bodies["miss_flush request"])
	if gm, ok1 := ParseMiss(m); !ok || !ok1 || gm != miss || id != 0x30001 {
		t.Errorf("pair: miss %+v, call %#x", gm, id)
	}
	if gf, ok := ParseFlush(f); !ok || gf != flush {
		t.Errorf("pair: flush %+v", gf)
	}
}

// TestProtocolNamesEveryOp holds PROTOCOL.md to the code.
func TestProtocolNamesEveryOp(t *testing.T) {
	b, err := os.ReadFile("PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range samples {
		if row := fmt.Sprintf("| %d | %v |", uint8(s.op), s.op); !strings.Contains(string(b), row) {
			t.Errorf("PROTOCOL.md has no row %q", row)
		}
	}
	for k := KindNone; int(k) < len(kindNames); k++ {
		if row := fmt.Sprintf("| %d | %v |", uint16(k), k); !strings.Contains(string(b), row) {
			t.Errorf("PROTOCOL.md has no row %q", row)
		}
	}
}

func TestHeaderFaults(t *testing.T) {
	good := (&Header{Op: OpPing, Call: 1}).Append(nil)
	for _, tc := range []struct {
		reason string
		at     int
		to     byte
		resum  bool
	}{
		{"magic", 0, 0, true}, {"version", 2, 9, true}, {"checksum", 8, 9, false}, {"op", 3, 0, true}, {"flags", 4, 0x10, true},
		{"length", 27, 1, true}, {"length", 29, 0x11, true},
	} {
		b := bytes.Clone(good)
		b[tc.at] = tc.to
		if tc.resum {
			c := Checksum(b[:44])
			b[44], b[45], b[46], b[47] = byte(c), byte(c>>8), byte(c>>16), byte(c>>24)
		}
		_, err := ParseHeader(b)
		var fe *FrameError
		if !errors.As(err, &fe) || fe.Reason != tc.reason {
			t.Errorf("byte %d = %d: %v, want reason %s", tc.at, tc.to, err, tc.reason)
		}
	}
	if _, err := ParseHeader(good[:47]); err == nil {
		t.Error("a header of 47 bytes is accepted")
	}
	for i := range 44 * 8 { // CRC32C finds every damage of one bit
		b := bytes.Clone(good)
		b[i/8] ^= 1 << (i % 8)
		if _, err := ParseHeader(b); err == nil {
			t.Errorf("bit %d flipped: accepted", i)
		}
	}
}

// FuzzHeader: whatever parses prints back to the same bytes.
func FuzzHeader(f *testing.F) {
	for _, s := range samples {
		f.Add((&Header{Op: s.op, Flags: FlagReply, Call: 1 << 40, Epoch: 3, TimeoutUS: 9, BodyLen: 4, PayloadLen: 4096}).Append(nil))
	}
	f.Add([]byte("GET / HTTP/1.1\r\nHost: somewhere.example\r\n\r\n......"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= HeaderLen { // else the fuzzer would have to guess a checksum
			c := Checksum(b[:44])
			b[44], b[45], b[46], b[47] = byte(c), byte(c>>8), byte(c>>16), byte(c>>24)
		}
		h, err := ParseHeader(b)
		if err != nil {
			return
		}
		if got := h.Append(nil); !bytes.Equal(got, b[:HeaderLen]) {
			t.Fatalf("%x prints back as %x", b[:HeaderLen], got)
		}
		if FrameLen(b) != HeaderLen+int(h.BodyLen)+int(h.PayloadLen) {
			t.Fatalf("frame length %d", FrameLen(b))
		}
	})
}

// FuzzHot: whatever parses as a fixed layout prints back to the same bytes.
func FuzzHot(f *testing.F) {
	f.Add(miss.Append(nil))
	f.Add(flush.Append(nil))
	f.Add(block.Append(nil))
	f.Add(AppendMissFlush(nil, miss.Append(nil), 3, flush.Append(nil)))
	f.Add(regionCopy)
	f.Add(replicaWrite.Append(nil))
	f.Add(replicaRead.Append(nil))
	f.Add(replicaPages)
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, ok := ParseMiss(b); ok && !bytes.Equal(m.Append(nil), b) {
			t.Fatalf("miss %x prints back as %x", b, m.Append(nil))
		}
		if m, ok := ParseFlush(b); ok && !bytes.Equal(m.Append(nil), b) {
			t.Fatalf("flush %x prints back as %x", b, m.Append(nil))
		}
		if k, ok := ParseBlock(b); ok {
			if !bytes.Equal(k.Append(nil), b) {
				t.Fatalf("block %x prints back as %x", b, k.Append(nil))
			}
			if k.Length > 0 && k.Offset>>PageShift != (k.Offset+uint64(k.Length)-1)>>PageShift {
				t.Fatalf("block %+v crosses a page", k)
			}
		}
		if m, id, fl, ok := SplitMissFlush(b); ok && !bytes.Equal(AppendMissFlush(nil, m, id, fl), b) {
			t.Fatalf("pair %x does not print back", b)
		}
		if w, ok := ParseReplicaWrite(b); ok && !bytes.Equal(w.Append(nil), b) {
			t.Fatalf("write %x prints back as %x", b, w.Append(nil))
		}
		if w, _, ok := ParseReplicaWrites(b); ok {
			again := w.Append(nil)
			for i := range int(w.Count) {
				again = CopyEntry(b, i).Append(again)
			}
			if !bytes.Equal(again, b) {
				t.Errorf("replica_writes: %x came back as %x", b, again)
			}
		}
		if r, ok := ParseReplicaRead(b); ok && !bytes.Equal(r.Append(nil), b) {
			t.Fatalf("read %x prints back as %x", b, r.Append(nil))
		}
		if p, pages, ok := ParseReplicaPages(b); ok {
			again := p.Append(nil)
			for i := range int(p.Count) {
				again = CopyEntry(b, i).Append(again)
			}
			if !bytes.Equal(append(again, pages...), b) {
				t.Fatalf("pages %x do not print back", b)
			}
		}
		if c, full, ok := ParseRegionCopy(b); ok {
			again := c.Append(nil)
			for i := range int(c.Count) {
				e := CopyEntry(b, i)
				if again = e.Append(again); e.State == PageFull {
					full--
				}
			}
			if !bytes.Equal(again, b) || full != 0 {
				t.Fatalf("pages %x do not print back", b)
			}
		}
	})
}

// FuzzControl: no bytes make a decoder panic, and whatever parses prints back to the same bytes.
func FuzzControl(f *testing.F) {
	for i, s := range samples {
		for j, v := range []any{s.req, s.rep} {
			if _, raw := v.([]byte); !raw && v != nil {
				f.Add(uint8(i), j == 1, Marshal(v))
			}
		}
	}
	f.Fuzz(func(t *testing.T, i uint8, reply bool, b []byte) {
		s := samples[int(i)%len(samples)]
		v := s.req
		if reply {
			v = s.rep
		}
		if _, raw := v.([]byte); raw || v == nil {
			return
		}
		got := reflect.New(reflect.TypeOf(v))
		if err := Unmarshal(b, got.Interface()); err != nil {
			if !errors.Is(err, ErrBadRequest) {
				t.Fatalf("%v, want a bad request", err)
			}
			return
		}
		if again := Marshal(got.Elem().Interface()); !bytes.Equal(again, b) {
			t.Fatalf("%x prints back as %x", b, again)
		}
	})
}

func TestControlFaults(t *testing.T) {
	good := Marshal(ProcessRef{PID: 7})
	var r ProcessRef
	for name, b := range map[string][]byte{
		"empty": nil, "version": append([]byte{9}, good[1:]...), "short": good[:len(good)-1], "long": append(bytes.Clone(good), 0),
		"another shape": Marshal(NodeStatsReq{}), "no array": {ControlVersion, 0xc3},
	} {
		if err := Unmarshal(b, &r); !errors.Is(err, ErrBadRequest) {
			t.Errorf("%s: %v, want a bad request", name, err)
		}
	}
}

func TestErrors(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := Kind(rapid.IntRange(1, 18).Draw(t, "a")), Kind(rapid.IntRange(1, 18).Draw(t, "b"))
		err := fmt.Errorf("wrapped: %w", Errorf(a, "text"))
		if errors.Is(err, &Error{Kind: b}) != (a == b) || KindOf(err) != a {
			t.Fatalf("%v against %v", a, b)
		}
	})
	if KindOf(nil) != KindNone || KindOf(errors.New("x")) != KindInternal {
		t.Error("kind of nil or of a plain error")
	}
}
