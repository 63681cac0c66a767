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
// A volume may move to another sComponent while it is used. What happens when is decided by package migrate; giving is the
// shell of the side that holds the volume, taking that of the other.
//
// Goroutines: one per fdatasync of a checksum file, which the flush that needs it waits for; one per volume that is given away and
// one per step of it under way, one per volume that comes. Close waits for them.
//
// Lock order: Component.ordersMu, Component.catMu, taking.gate, taking.mu, vol.gate, vol.blocks (one, or by a giver several in ascending
// order), vol.st, giving.mu. Component.mu and Component.movesMu cover what is looked up and are held by nobody who waits for a disk or for a request: so requests of one volume
// do not wait until another is made, or has come or gone. A request holds the gate shared while it
// touches files, so that a new epoch, which takes it alone, begins after every request under an older one has ended.
package scomponent
