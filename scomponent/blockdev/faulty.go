package blockdev

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Fault is what goes wrong with the operations that it matches.
type Fault struct {
	Op     string // "read", "write", "sync", "create"
	Suffix string // of the device's name; empty matches all
	After  int    // this many matching operations go well first
	Times  int    // then this many fail; 0 is all
	Err    error  // returned; nil means that the operation pretends to succeed

	// TornBytes, of a write: so many bytes are written and the rest is not.
	TornBytes int
	// Corrupt, of a read or write, flips one bit of the first byte. Without it, Torn or Err a write or sync is lost silently.
	Corrupt bool
}

// Ill is what is wrong with a whole disk.
type Ill struct {
	Times float64       // an operation takes so many times its time; 0 and 1 are as ever
	Add   time.Duration // and so much more
	// Full has writes to devices whose names end in FullSuffix fail with ENOSPC, and makes no new ones. What has its place already, such
	// as the checksums of blocks, can be written on a full disk, too.
	Full       bool
	FullSuffix string
}

// Faulty wraps a store and injects faults: those of tests one by one, and Ill on a cluster that runs. While nothing is wrong it costs one
// atomic load an operation.
type Faulty struct {
	Store
	ill             atomic.Pointer[sickness]
	slowed, refused atomic.Uint64

	some   atomic.Bool // there are faults
	mu     sync.Mutex
	faults []*armed
}

// sickness is an Ill that is in force.
type sickness struct {
	Ill
	over chan struct{} // closed when it is not any more: who is held up by it goes on
}

// SetIll says what is wrong with the disk from now on. Operations that are held up go on at once.
func (f *Faulty) SetIll(i Ill) {
	var next *sickness
	if i != (Ill{}) {
		next = &sickness{i, make(chan struct{})}
	}
	if was := f.ill.Swap(next); was != nil {
		close(was.over)
	}
}

// Close heals the disk, so that nobody is held up, and closes the store.
func (f *Faulty) Close() error {
	f.SetIll(Ill{})
	return f.Store.Close()
}

// Suffered is how many operations an ill disk has slowed down, and refused because it was full.
func (f *Faulty) Suffered() (slowed, refused uint64) { return f.slowed.Load(), f.refused.Load() }

// full reports whether nothing more can be written to a device.
func (f *Faulty) full(name string) bool {
	i := f.ill.Load()
	if i == nil || !i.Full || !strings.HasSuffix(name, i.FullSuffix) {
		return false
	}
	f.refused.Add(1)
	return true
}

// slow has an operation last as long as it does on an ill disk.
func (f *Faulty) slow(began time.Time) {
	i := f.ill.Load()
	if i == nil {
		return
	}
	wait := i.Add
	if i.Times > 1 {
		wait += time.Duration(float64(time.Since(began)) * (i.Times - 1))
	}
	if wait > 0 {
		f.slowed.Add(1)
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-t.C:
		case <-i.over:
		}
	}
}

// begin is when an operation began, if that is asked for.
func (f *Faulty) begin() (t time.Time) {
	if f.ill.Load() != nil {
		t = time.Now()
	}
	return t
}

// end is slow for an operation that began at t.
func (f *Faulty) end(t time.Time) {
	if !t.IsZero() {
		f.slow(t)
	}
}

type armed struct {
	Fault
	seen int
}

// NewFaulty wraps a store.
func NewFaulty(s Store) *Faulty { return &Faulty{Store: s} }

// Inject adds a fault.
func (f *Faulty) Inject(ft Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = append(f.faults, &armed{Fault: ft})
	f.some.Store(true)
}

// Heal removes all faults.
func (f *Faulty) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = nil
	f.some.Store(false)
}

func (f *Faulty) hit(op, name string) (Fault, bool) {
	if !f.some.Load() {
		return Fault{}, false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range f.faults {
		if a.Op != op || !strings.HasSuffix(name, a.Suffix) {
			continue
		}
		a.seen++
		if a.seen > a.After && (a.Times == 0 || a.seen <= a.After+a.Times) {
			return a.Fault, true
		}
	}
	return Fault{}, false
}

// Create makes a faulty device.
func (f *Faulty) Create(name string) (Device, error) {
	if ft, ok := f.hit("create", name); ok {
		return nil, ft.Err
	}
	if f.full(name) {
		return nil, unix.ENOSPC
	}
	return f.wrap(f.Store.Create(name))(name)
}

// Open opens a faulty device.
func (f *Faulty) Open(name string) (Device, error) { return f.wrap(f.Store.Open(name))(name) }

func (f *Faulty) wrap(d Device, err error) func(name string) (Device, error) {
	return func(name string) (Device, error) {
		if err != nil {
			return nil, err
		}
		return &faulty{d, f, name}, nil
	}
}

type faulty struct {
	Device
	f    *Faulty
	name string
}

func (d *faulty) ReadAt(p []byte, off int64) (int, error) {
	defer d.f.end(d.f.begin())
	ft, ok := d.f.hit("read", d.name)
	if ok && ft.Err != nil {
		return 0, ft.Err
	}
	n, err := d.Device.ReadAt(p, off)
	if ok && ft.Corrupt && n > 0 {
		p[0] ^= 1
	}
	return n, err
}

func (d *faulty) WriteAt(p []byte, off int64) (int, error) {
	defer d.f.end(d.f.begin())
	if d.f.full(d.name) {
		return 0, unix.ENOSPC
	}
	ft, ok := d.f.hit("write", d.name)
	switch {
	case !ok:
		return d.Device.WriteAt(p, off)
	case ft.TornBytes > 0:
		n, err := d.Device.WriteAt(p[:min(ft.TornBytes, len(p))], off)
		if err == nil {
			err = ft.Err
		}
		if err == nil {
			n = len(p)
		}
		return n, err
	case ft.Err != nil:
		return 0, ft.Err
	case ft.Corrupt:
		q := append([]byte(nil), p...)
		q[0] ^= 1
		return d.Device.WriteAt(q, off)
	}
	return len(p), nil // lost
}

func (d *faulty) Sync() error {
	defer d.f.end(d.f.begin())
	if ft, ok := d.f.hit("sync", d.name); ok {
		return ft.Err
	}
	return d.Device.Sync()
}
