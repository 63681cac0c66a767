// Package mcomponent is the shell of the memory component: pages of processes, memory maps, and the buffer cache of
// volumes. What may be served, where a mapping goes, which version wins and which block is evicted is decided by the
// cores below (vregion, pagestore, buffercache, migrate); this package holds the page bytes, the locks, and the calls to other
// components. The server, the registration and the heartbeats of the process belong to sim/node.
//
//	c, err := mcomponent.New(mcomponent.Options{Node: "m1", Managers: client, Net: peerOptions, …})
//	so.Workers = max(so.Workers, mcomponent.MinServerWorkers)
//	go netlayer.NewServer(c.Handler(), so).Serve(ctx, l)
//	…
//	c.Stop()           // asks to managers and owners end, so that the server's requests do
//	<-served
//	err = c.Close(ctx) // dirty blocks are written back and flushed
//
// Served inline, on the connection's goroutine, is what waits for nobody: miss, flush, the owner's side of memory maps, block
// reads that hit, and block writes that find a block and need no mark. Because owners answer inline, homes that wait for
// each other's answers cannot starve each other of workers. Other block operations and the home's side of memory maps go to
// the server's workers, as they wait for an sComponent, GMM or an owner; maxBlockWaits, maxVolumeWaits, maxHomeWaits and maxHomeExits
// bound them, so that workers are left whatever sComponents, managers and owners do. volume_switch is inline, because what
// waits for it may hold all its places.
//
// `workers` bounds how many requests use this component's processors and memory at once, as the worker threads of LegoOS
// do; a request that waits for another component holds none.
//
// Locks: Component.mu covers owners and pagestore and is held for tens of nanoseconds; one of Component.frames, taken
// while mu is held and kept after it is given up, covers the bytes of a page, so a copy excludes an apply to the same
// page and nothing else. homeMu covers the home, cacheMu the buffer cache with its bytes, peersMu the peers. None of
// those three is held together with another lock, but that moves.mu or heatMu may be held when one is taken. heatMu covers
// when the meters of vRegions, homes and volumes were read; the meters themselves are under mu, homeMu and cacheMu.
//
// A vRegion or memory map that moves (package migrate) is driven by one goroutine at its giver, which takes mu or homeMu for
// eight pages or one event at a time. moves.mu is taken before either of the two, never after. It sends pages without a lock where that
// is safe (regionMove.point). Messages of pages are stored inline by the taker; long ones are read into reserved frames, which no other
// goroutine knows until they are installed with mu.
//
// Cores are called through their Taped forms, which record what they are told while the lock is held that orders it (Options.Recorder;
// recording.go begins the tapes).
//
// Goroutines: one per move that is given, until it ends (package cachemove decides for buffer caches, givecache.go performs);
// one while anything is on its way here; two per holder to which something was sent, of which maxReplicaLinks are kept when they have nothing to do; one per request to another component that is outstanding, at most
// max_outstanding of the home and the write-back window plus one per waiting block request of the buffer cache; a block
// request that waits for one storage operation of its own performs it itself. Close waits for them.
package mcomponent
