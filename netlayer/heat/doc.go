// Package heat measures how much each of many things bears, so that a component can tell its managers which to move: how
// many misses and flushes a vRegion gets, requests a volume, accesses a process.
//
// A Meter is a few bytes in the entry of the thing. Add is an increment under whatever lock the path of the request holds
// already. Now and then a Reader goes over all entries: Read makes a rate of what was counted, in which old readings decay,
// and Top keeps the hottest. What was read once has no rate yet: it may have come in the middle of the interval.
//
// It measures and forgets; it decides nothing. The vRegions, homes, buffer caches, volumes and processes of the components
// use it, and the managers read its rates from heartbeats.
//
// Pure: no goroutines, no locks, no clock; who calls has the lock of the entries.
//
//	entry.meter.Add(1)                       // on each request
//	dt, _ := reader.Next(now)                // at each heartbeat
//	top := heat.NewTop(wire.MaxHot)
//	for … { top.Offer(wire.ThingLoad{…, Ops: entry.meter.Read(dt)}, entry.meter.Known()) }
//	top.Into(kind, &load)
package heat
