// Package device models a block device: when a request that is given to it now is done. SSDs, NVMe drives and disks are sets of
// Options of one model.
//
// A request passes four stages:
//
//	admission   at most queue_depth requests are in the device; more wait for the first that leaves
//	transfer    its bytes pass at the rate of its class, one request after the other, reads and writes on one bus
//	channels    it is cut into stripes, each served by one of the channels for the latency of its class; a disk has one channel and
//	            adds seek and rotation
//	done        when the last stripe is
//
// The four classes, random and sequential reads and writes, have each a latency and a rate: read-ahead and write buffers make
// them differ by more than the direction. A request is sequential if it begins where the last one of its direction ended.
//
//	done = admitted + latency + seek(distance) + rotation·u + size/rate        alone; u in 0 to 1
//	seek(d) = seek_track + (seek_full − seek_track)·√(d / capacity)
//
// A flush waits for the writes before it, then costs `flush`, and size/drain_rate for what lies in a volatile write cache, which
// also drains by itself at that rate.
//
// It is pure: no goroutines, no clock; the owner's generator gives chance, and its calls are in the order of time. Limits: first
// come first served, so a disk does not reorder its queue; no garbage collection, thermal throttling or errors; a flush
// delays nothing but itself.
//
//	done := d.Do(now, device.Read, offset, 4096)
package device
