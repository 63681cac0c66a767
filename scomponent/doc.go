// Package scomponent is the shell of the storage component: volumes on real files, served to the buffer caches of
// mComponents. What a volume is and which request may touch it is decided by package volume, which flush is covered by
// which fdatasync by package iosched; this package holds the files, the locks and the counters. The server, the
// registration and the heartbeats of the process belong to sim/node.
//
//	c, err := scomponent.New(scomponent.Options{Node: "s1", DataDir: dir, CapacityBytes: 1 << 34, …})
//	go netlayer.NewServer(c.Handler(), so).Serve(ctx, l)
//	…
//	err = c.Close(ctx) // after the server has ended
//
// It starts no goroutines but one per fdatasync of a checksum file, which the flush that needs it waits for.
//
// Lock order: Component.mu, then vol.gate, then one of vol.blocks, then vol.st. A request holds the gate shared while it
// touches files, so that a new epoch, which takes it alone, begins after every request under an older one has ended.
package scomponent
