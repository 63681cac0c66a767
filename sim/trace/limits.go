package trace

import "splitkernel/sim/unpack"

// Every bound of this package by name. A length in a file is checked against
// one of these before anything is allocated for it.
const (
	// MaxBlockRefs is the most references of one block: 64 k, because 4 k
	// blocks pack 35-40 % worse and larger ones gain nothing.
	MaxBlockRefs = 1 << 16
	// MaxBlockEvents is the most events of one block.
	MaxBlockEvents = 1 << 12
	// MaxNameBytes is the longest name of a map or a volume.
	MaxNameBytes = 255
	// MaxHeaderBytes bounds the header record, unpacked.
	MaxHeaderBytes = 1 << 20
	// MaxIndexBytes bounds the index record, unpacked: some 5 million blocks.
	MaxIndexBytes = 64 << 20
	// MaxVolumes bounds Header.Volumes.
	MaxVolumes = 1 << 16
	// MaxArgs bounds Header.Args and Header.DefaultsStated.
	MaxArgs = 1 << 12
	// MaxLineBytes is the longest line of a text format.
	MaxLineBytes = 64 << 10
	// MaxExpand is the most blocks that one line of an ARC list may stand for.
	MaxExpand = 1 << 20
	// MaxUnpackedSktBytes bounds the temporary copy of a .skt inside a .gz or
	// .zst, which has to be unpacked before it can be sought in.
	MaxUnpackedSktBytes = 16 << 30
	// MaxThin is the widest filter of Thin.
	MaxThin = 1 << 10
	// MaxZstdWindowBytes bounds what a .zst file may make the reader allocate.
	MaxZstdWindowBytes = unpack.MaxZstdWindowBytes
	// MaxXzDictBytes bounds the same of an .xz file.
	MaxXzDictBytes = unpack.MaxXzDictBytes
	// MaxZipFiles bounds the chunks of a trace in a .zip.
	MaxZipFiles = unpack.MaxZipFiles

	// MaxDenseKeys bounds the map that numbers ids that are keys, some 40 to 80
	// bytes each.
	MaxDenseKeys = 1 << 28
	// MaxMerge is the most traces that Merge takes.
	MaxMerge = 1 << 8
	// MaxMergeRegions is the most regions of all traces of a merge: as many as
	// a process has addresses for.
	MaxMergeRegions = 1 << (47 - mergeShift)

	// reorderWindow is how many requests may stand between a request and its
	// place in time, where processors log on their own.
	reorderWindow = 2048
	// maxGapLines is how many instructions between two references are written
	// as lines of lackey.
	maxGapLines = 1 << 16
	// batchRefs is the batch that text readers fill: small enough to stay in
	// the second-level cache between reader and consumer.
	batchRefs = 1 << 14
	// maxRefBytes is the longest encoded reference: tag, thread (3), size,
	// gap (5), address (10).
	maxRefBytes = 20
	// maxEventBytes is the longest encoded event.
	maxEventBytes = 64 + MaxNameBytes
	// maxBlockRaw bounds an unpacked block.
	maxBlockRaw = MaxBlockRefs*maxRefBytes + MaxBlockEvents*maxEventBytes
	// maxBlockPacked bounds a packed one; zstd adds a little to what it
	// cannot pack.
	maxBlockPacked = maxBlockRaw + maxBlockRaw>>7 + 1024
)
