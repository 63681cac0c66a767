package vregion

import (
	"errors"
	"fmt"
	"math/bits"

	"splitkernel/netlayer/wire"
)

// AddressEnd is the end of the address space of a process: user addresses of x86-64 Linux have 47 bits.
const AddressEnd uint64 = 1 << 47

// Options bounds the two roles.
type Options struct {
	// RegionBytes is the size of a vRegion in bytes, a power of two. 1 GiB as in LegoOS (OSDI'18 §4.4): large enough that
	// owners are rarely asked for, small enough that a process spreads over mComponents.
	RegionBytes uint64 `yaml:"region_bytes"`
	// PlaceBase is where mappings with address 0 begin, a multiple of RegionBytes. Everything below belongs to the program:
	// its image, its heap, its fixed mappings; so best fit never puts a mapping into the way of a growing heap.
	PlaceBase uint64 `yaml:"place_base"`
	// MaxVMAsPerProcess bounds the vma tree of a process (65 530 as Linux's vm.max_map_count).
	MaxVMAsPerProcess int `yaml:"max_vmas_per_process"`
	// MaxRegionsPerProcess bounds how many vRegions a process may have active.
	MaxRegionsPerProcess int `yaml:"max_regions_per_process"`
	// MaxOperations bounds the memory-map operations of one process that wait or run; one more is refused as busy.
	MaxOperations int `yaml:"max_operations"`
	// MaxOutstanding bounds how many asks to GMM, and apart from them requests to owners, the home has outstanding; further
	// ones wait in order.
	MaxOutstanding int `yaml:"max_outstanding"`
	// MaxOwnerAttempts bounds how often a request to an owner is tried while its vRegion moves: 150 are about 30 s.
	MaxOwnerAttempts int `yaml:"max_owner_attempts"`
}

// DefaultOptions returns the defaults.
func DefaultOptions() Options {
	return Options{
		RegionBytes:          1 << 30,
		PlaceBase:            1 << 40,
		MaxVMAsPerProcess:    65530,
		MaxRegionsPerProcess: 65536,
		MaxOperations:        1024,
		MaxOutstanding:       64,
		MaxOwnerAttempts:     150,
	}
}

// Validate returns every fault, by key.
func (o Options) Validate() error {
	var errs []error
	if bits.OnesCount64(o.RegionBytes) != 1 || o.RegionBytes < wire.PageSize || o.RegionBytes > AddressEnd/2 {
		errs = append(errs, fmt.Errorf("region_bytes: %d, want a power of two from %d to %d", o.RegionBytes, wire.PageSize, AddressEnd/2))
	} else if o.PlaceBase%o.RegionBytes != 0 || o.PlaceBase >= AddressEnd {
		errs = append(errs, fmt.Errorf("place_base: %d, want a multiple of region_bytes (%d) below %d", o.PlaceBase, o.RegionBytes, AddressEnd))
	}
	for _, b := range []struct {
		key string
		v   int
	}{{"max_vmas_per_process", o.MaxVMAsPerProcess}, {"max_regions_per_process", o.MaxRegionsPerProcess},
		{"max_operations", o.MaxOperations}, {"max_outstanding", o.MaxOutstanding}, {"max_owner_attempts", o.MaxOwnerAttempts}} {
		if b.v < 1 {
			errs = append(errs, fmt.Errorf("%s: %d, want at least 1", b.key, b.v))
		}
	}
	return errors.Join(errs...)
}
