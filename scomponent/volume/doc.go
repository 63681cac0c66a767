// Package volume is what an sComponent knows about its volumes: sizes, names, the highest epoch seen, marks of unflushed
// writes, versions of blocks, and the format of the checksum file in which the durable part of that is kept. It is a pure
// core: no goroutines, no locks, no clock, no files; package scomponent does the I/O that it calls for.
//
// Every method that changes durable facts says so, and the header must be written before the request is answered:
//
//	persist, err := v.Attach(req)        // or v.Read(k), v.Write(k), v.Flush(k), v.Fail(text)
//	if persist != volume.Nothing {       // even if err != nil: a refusal may be a new fact
//		b := v.Header()              // 512 bytes for v.HeaderOffset()
//	}                                    // Synced: fdatasync before the answer; Written: the kernel has it, that is enough
//
// docs/storage.md draws the files and tells why a mark needs no sync.
package volume
