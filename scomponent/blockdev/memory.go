package blockdev

import (
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"
)

// Memory is a Store in memory. Like a disk it has a write cache: PowerCut loses what was not synced.
type Memory struct {
	mu      sync.Mutex
	devices map[string]*memory
	durable map[string]*memory // names as of the last Sync
}

// NewMemory makes an empty store.
func NewMemory() *Memory {
	return &Memory{devices: map[string]*memory{}, durable: map[string]*memory{}}
}

// Place says that it is memory.
func (m *Memory) Place() string { return "memory" }

// Create makes an empty device.
func (m *Memory) Create(name string) (Device, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := &memory{store: m}
	m.devices[name] = d
	return d, nil
}

// Open opens a device.
func (m *Memory) Open(name string) (Device, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, ok := m.devices[name]
	if !ok {
		return nil, fmt.Errorf("device %s: %w", name, fs.ErrNotExist)
	}
	return d, nil
}

// Remove forgets a device.
func (m *Memory) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.devices[name]; !ok {
		return fmt.Errorf("device %s: %w", name, fs.ErrNotExist)
	}
	delete(m.devices, name)
	return nil
}

// Rename gives a device another name.
func (m *Memory) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, ok := m.devices[from]
	if !ok {
		return fmt.Errorf("device %s: %w", from, fs.ErrNotExist)
	}
	delete(m.devices, from)
	m.devices[to] = d
	return nil
}

// List gives the names in order.
func (m *Memory) List() ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for n := range m.devices {
		names = append(names, n)
	}
	slices.Sort(names)
	return names, nil
}

// Sync makes the names durable.
func (m *Memory) Sync() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.durable = map[string]*memory{}
	for n, d := range m.devices {
		m.durable[n] = d
	}
	return nil
}

// Close does nothing: the store is used again by whoever opens it next, as a folder is.
func (m *Memory) Close() error { return nil }

// PowerCut loses every name and byte that was not synced.
func (m *Memory) PowerCut() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.devices = map[string]*memory{}
	for n, d := range m.durable {
		d.bytes = slices.Clone(d.synced)
		m.devices[n] = d
	}
}

type memory struct {
	store  *Memory
	bytes  []byte
	synced []byte
}

func (d *memory) ReadAt(p []byte, off int64) (int, error) {
	d.store.mu.Lock()
	defer d.store.mu.Unlock()
	if off >= int64(len(d.bytes)) {
		return 0, io.EOF
	}
	n := copy(p, d.bytes[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (d *memory) WriteAt(p []byte, off int64) (int, error) {
	d.store.mu.Lock()
	defer d.store.mu.Unlock()
	if end := int(off) + len(p); end > len(d.bytes) {
		d.bytes = append(d.bytes, make([]byte, end-len(d.bytes))...)
	}
	return copy(d.bytes[off:], p), nil
}

func (d *memory) Truncate(size int64) error {
	d.store.mu.Lock()
	defer d.store.mu.Unlock()
	if int(size) <= len(d.bytes) {
		d.bytes = d.bytes[:size]
	} else {
		d.bytes = append(d.bytes, make([]byte, int(size)-len(d.bytes))...)
	}
	return nil
}

func (d *memory) Sync() error {
	d.store.mu.Lock()
	defer d.store.mu.Unlock()
	d.synced = slices.Clone(d.bytes)
	return nil
}

func (d *memory) Allocated() (int64, error) {
	d.store.mu.Lock()
	defer d.store.mu.Unlock()
	return int64(len(d.bytes)), nil
}

func (d *memory) Close() error { return nil }
