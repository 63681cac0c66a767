package blockdev

// Device is an array of bytes that survives the process once it was synced.
type Device interface {
	ReadAt(p []byte, off int64) (int, error)
	WriteAt(p []byte, off int64) (int, error)
	// Truncate sets the size. New bytes are zero.
	Truncate(size int64) error
	// Sync returns after everything that was written before its call is durable (fdatasync).
	Sync() error
	// Allocated is how many bytes of the medium the device takes.
	Allocated() (int64, error)
	Close() error
}

// Store holds devices by name.
type Store interface {
	// Create makes an empty device, replacing one of that name.
	Create(name string) (Device, error)
	// Open opens a device; the error of a missing one satisfies errors.Is(err, fs.ErrNotExist).
	Open(name string) (Device, error)
	Remove(name string) error
	Rename(from, to string) error
	// List gives the names in order.
	List() ([]string, error)
	// Sync makes creations, renames and removals durable.
	Sync() error
	// Place says for people where the store is.
	Place() string
	Close() error
}
