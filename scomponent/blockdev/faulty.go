package blockdev

import (
	"strings"
	"sync"
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

// Faulty wraps a store and injects faults. It is for tests.
type Faulty struct {
	Store
	mu     sync.Mutex
	faults []*armed
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
}

// Heal removes all faults.
func (f *Faulty) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = nil
}

func (f *Faulty) hit(op, name string) (Fault, bool) {
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
	if ft, ok := d.f.hit("sync", d.name); ok {
		return ft.Err
	}
	return d.Device.Sync()
}
