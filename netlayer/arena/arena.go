// Package arena holds page bytes off the Go heap: the lines of an ExCache, the pages of an mComponent. The garbage
// collector never scans or moves them, and the kernel gives memory only for pages that were touched. Under the race
// detector an arena is an ordinary slice, because the detector cannot see mapped memory.
//
// No goroutines. An Arena is memory: whoever shares it brings the lock. Only Resident may be called at any time.
//
//	a, err := arena.New(frames)
//	page := a.Page(frame) // 4 KiB
//	a.Close()             // afterwards no page may be touched
package arena

import (
	"fmt"
	"sync"

	"splitkernel/netlayer/wire"
)

// MaxFrames bounds an arena: 16 Mi frames are 64 GiB.
const MaxFrames = 1 << 24

// Page is the bytes of one frame.
type Page = [wire.PageSize]byte

// Arena is frames of one page each, all zero at first.
type Arena struct {
	bytes []byte
	end   sync.Mutex // held by Resident and Close, so that nobody asks for memory that is gone
}

// New makes an arena of frames pages, of which few may ever be touched.
func New(frames int) (*Arena, error) { return newArena(frames, false) }

// NewDense makes an arena most of whose frames will be in use and touched at random, such as the lines of an ExCache: it asks
// for huge pages, which saves misses of the processor's TLB (3 to 8 % of a replay of hits).
func NewDense(frames int) (*Arena, error) { return newArena(frames, true) }

func newArena(frames int, dense bool) (*Arena, error) {
	if frames < 1 || frames > MaxFrames {
		return nil, fmt.Errorf("arena of %d frames, want 1 to %d", frames, MaxFrames)
	}
	b, err := allocate(frames*wire.PageSize, dense)
	if err != nil {
		return nil, fmt.Errorf("arena of %d frames of %d bytes: %w", frames, wire.PageSize, err)
	}
	return &Arena{bytes: b}, nil
}

// Page gives frame i.
func (a *Arena) Page(i uint32) *Page {
	off := int(i) << wire.PageShift
	return (*Page)(a.bytes[off : off+wire.PageSize])
}

// Run gives the bytes of the frames [first, first+n).
func (a *Arena) Run(first uint32, n int) []byte {
	off := int(first) << wire.PageShift
	return a.bytes[off : off+n<<wire.PageShift : off+n<<wire.PageShift]
}

// Frames is the number of frames.
func (a *Arena) Frames() int { return len(a.bytes) >> wire.PageShift }

// Resident is how many bytes of memory the kernel has given: the frames that were touched, in whole huge pages where it
// uses those. Where it cannot be asked (another system, or under the race detector), all of them. It takes about a
// millisecond per GiB and is for metrics.
func (a *Arena) Resident() uint64 {
	a.end.Lock()
	defer a.end.Unlock()
	return resident(a.bytes)
}

// Populate has the kernel give memory for the frames [first, end) now, which saves a fault for each of them later. Their bytes do not
// change, so they may be in use. It reports whether the kernel can; the frames serve without it, too. Not during Close.
func (a *Arena) Populate(first, end uint32) bool {
	return populate(a.bytes[int(first)<<wire.PageShift : int(end)<<wire.PageShift])
}

// Close gives the memory back.
func (a *Arena) Close() error {
	a.end.Lock()
	defer a.end.Unlock()
	b := a.bytes
	a.bytes = nil
	return release(b)
}
