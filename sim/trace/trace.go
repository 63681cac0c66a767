package trace

// PageShift and PageBytes give the page that every reference is counted in.
const (
	PageShift = 12
	PageBytes = 1 << PageShift
)

// FlagWrite marks a reference that writes. Other bits of Ref.Flags are zero.
const FlagWrite uint8 = 1

// MaxRefSize is where Ref.Size saturates: one byte holds it.
const MaxRefSize = 255

// Ref is one reference to memory, in program order. It touches exactly one
// 4 KiB page: whoever reads a format in which an access may straddle pages
// splits it. 16 bytes, so that a batch of 64 k references is 1 MiB.
type Ref struct {
	Addr   uint64 // virtual address, bytes
	Gap    uint32 // instructions executed since the last reference of the stream, this one's own included; saturates
	Thread uint16 // number of the thread, 0 is the main thread
	Size   uint8  // bytes, saturating at MaxRefSize; 0 where the source does not know
	Flags  uint8  // FlagWrite
}

// Write reports whether the reference writes.
func (r Ref) Write() bool { return r.Flags&FlagWrite != 0 }

// Page is the number of the 4 KiB page touched.
func (r Ref) Page() uint64 { return r.Addr >> PageShift }

// EventKind says what an Event records. The numbers stand in files: they are
// never changed nor reused.
type EventKind uint8

const (
	Mmap       EventKind = 1 // Addr, Len, Anon, Writable, Name
	Munmap     EventKind = 2 // Addr, Len
	Brk        EventKind = 3 // Addr = new end of the heap; the first one says where the heap begins
	BlockRead  EventKind = 4 // TimeNs, Volume, Offset, Length
	BlockWrite EventKind = 5 // TimeNs, Volume, Offset, Length
	BlockFlush EventKind = 6 // TimeNs, Volume
)

// String names the kind as `trace info` prints it.
func (k EventKind) String() string {
	switch k {
	case Mmap:
		return "mmap"
	case Munmap:
		return "munmap"
	case Brk:
		return "brk"
	case BlockRead:
		return "block-read"
	case BlockWrite:
		return "block-write"
	case BlockFlush:
		return "block-flush"
	}
	return "unknown"
}

// IsMap reports whether the event changes the memory map.
func (k EventKind) IsMap() bool { return k >= Mmap && k <= Brk }

// IsBlock reports whether the event is a block operation.
func (k EventKind) IsBlock() bool { return k >= BlockRead && k <= BlockFlush }

// Event is what happens between references: a change of the memory map or an
// operation on a volume.
//
// In a stream the maps never overlap: before an Mmap covers mapped pages they
// are unmapped by a Munmap of their own, and a Munmap names mapped pages only.
type Event struct {
	At       int // index in Batch.Refs before which it happens; len(Refs) = after the last
	Kind     EventKind
	Thread   uint16
	Addr     uint64 // bytes; see the kind
	Len      uint64 // bytes, a multiple of 4 KiB
	Anon     bool   // anonymous memory, else of a file
	Writable bool
	Name     string // base name of the file, or [heap], [stack], ...
	TimeNs   uint64 // blocks: since the start of the trace
	Volume   uint32 // blocks: index in Header.Volumes
	Offset   uint64 // blocks: bytes from the start of the volume
	Length   uint64 // blocks: bytes
}

// Batch is a run of references in order, with the events among them. Events
// are sorted by At, and those of one At are in order. The source owns both
// slices and overwrites them at the next call of Next.
type Batch struct {
	Refs   []Ref
	Events []Event
	First  uint64 // number, in the stream, of Refs[0]
}

// VolumeInfo describes a volume that block events name.
type VolumeInfo struct {
	Name      string
	SizeBytes uint64 // 0 = unknown: Stat finds the largest end of a request
}

// Header is what is known of a trace beside its records.
type Header struct {
	Program         string   // base name of the program, "" = unknown
	Args            []string // arguments, directories stripped
	Source          string   // name of the format that the trace was first read from, "capture" for our own
	Thinning        string   // how repeats were thinned out, in words; "" = not at all
	SynthesisedMaps bool     // the format has no map records: they were made up
	HasMaps         bool     // the stream carries map records
	Granularity     int      // bytes: 1, or 4096 where only pages are known
	Volumes         []VolumeInfo
	HasGaps         bool     // Gap is meaningful
	HasWrites       bool     // reads can be told from writes
	DefaultsStated  []string // what was assumed for fields that the format lacks
	Unverified      bool     // the reader was never checked against a real file of the format
	BadRecords      uint64   // left out, because the reader was told to

	// Totals, where known before reading (a .skt carries them); 0 = unknown.
	Refs           uint64
	Reads          uint64
	Writes         uint64
	Instructions   uint64 // sum of the gaps
	FootprintPages uint64
	Threads        int
	Maps           uint64 // map events
	BlockOps       uint64 // block events
}

// Source is a trace being read. It is not safe for concurrent use.
type Source interface {
	// Header may gain volumes and defaults while a text format is read; all
	// of it is final when Next has returned io.EOF, and from the start for .skt.
	Header() Header
	// Next returns the next batch, which the source overwrites at the next
	// call, or io.EOF. After another error the source is at its end.
	Next() (*Batch, error)
	// Close frees the file. It may be called at any time, once.
	Close() error
}

// Seeker is what the .skt source offers beside Source.
type Seeker interface {
	// SeekRef makes the next batch begin with reference n (the first is 0).
	// Events before it are skipped, the map records among them. n = Refs ends
	// the stream.
	SeekRef(n uint64) error
}
