package trace

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
	MaxZstdWindowBytes = 128 << 20

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
