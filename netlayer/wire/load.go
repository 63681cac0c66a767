package wire

// MaxHot bounds the things of one kind that a heartbeat names: it goes to every manager twice a second, and what comes
// after the hottest few hardly matters.
const MaxHot = 32

// ThingLoad is what one thing that can move bears, as rates that its holder has decayed; what its kind does not have is 0.
type ThingLoad struct {
	Kind     MoveKind
	PID      PID      // of a vRegion, a home or a process
	Region   RegionNo // of a vRegion
	Volume   VolumeID // of a volume or a buffer cache
	Ops      uint64   // per second: misses and flushes, memory-map calls, accesses, block requests
	Bytes    uint64   // per second, of block requests
	MilliCPU uint32   // thousandths of a processor that the threads of a process keep busy
}
