package calibrate

import (
	"math"

	"splitkernel/netlayer/link"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/hardware"
	"splitkernel/sim/units"
)

// Sizes on the wire of what was measured, in KiB: both directions together.
const (
	fetchKiB = float64(wire.HeaderLen+wire.MissLen+wire.HeaderLen+wire.PageSize) / 1024
	flushKiB = float64(wire.HeaderLen+wire.FlushLen+wire.PageSize+wire.HeaderLen) / 1024
	pairKiB  = float64(wire.HeaderLen+wire.MissFlushLen+wire.PageSize+wire.HeaderLen+wire.PageSize+wire.HeaderLen) / 1024
	pingKiB  = float64(2*wire.HeaderLen) / 1024
)

// loopback is the bandwidth of a link that has none of its own: what bytes cost is the processors'.
const loopback = units.Rate(1_000_000_000_000)

// Estimate gives the parameters that explain what was measured. With both processes on one processor the model of a fetch is
//
//	fetch = fault + 2·(latency + hand_off) + 2·poll + kib·poll_per_kib + worker + move
//
// fault is what a fault without a message takes that evicts a line, less the clearing of the page; the first fault on each line takes longer,
// because the system gives the frame then, which the model leaves out. A fetch that carries a flush differs
// from one that does not by its bytes, which gives poll_per_kib. Many messages in flight take no time but the processor's, which gives
// poll; worker is what a fetch takes beyond a message without a body. Of latency and hand_off only the sum is told, by that message.
// Fetches that take a longer way show as messages that are late. What else the machine does is in no value: all are medians, or processor time.
//
// What comes out below 0 is 0: the model then says too much, and Explain shows by how much.
func Estimate(m *Measured, h *hardware.Hardware) {
	o, e := &h.Processor, &h.Endpoint
	o.DRAMLatency = picos(m.Memory.Load)
	// Copies all over memory miss every cache and more; a page that a fault clears often does not, and takes no longer than the fault.
	o.CopyRate = units.Rate(max(wire.PageSize/max(min(m.Memory.Copy, m.Evict)-m.Memory.Load, 1)*1e9, 1))
	o.TableLevels = 0
	move := float64(o.Move(wire.PageSize)) / 1000
	o.Fault, o.FaultLocked = picos(m.Evict-move), 0
	o.Shootdown, o.ShootdownEach = 0, 0
	o.Hit = picos(m.Hit)
	o.Reference = picos(m.Replays - m.Hit)

	perKiB := max(m.FetchDirty-m.Fetch, 0) / (pairKiB - fetchKiB)
	e.PollPerKiB = units.PerKiB(math.Round(perKiB * 1000))
	poll := max(m.Pings-perKiB*pingKiB, 0) / 2
	worker := m.Fetch - ns(o.Fault) - m.Ping - perKiB*(fetchKiB-pingKiB) - move
	worker = max(worker, 0)
	// Messages without a body are cheaper in a batch than those with a page, which is what a replay has in flight: the poll that
	// explains write-backs is theirs, as far as a round trip has room for it.
	if p := (m.Flushes - perKiB*flushKiB - worker - move) / 2; p > 0 {
		poll = min(p, m.Ping/2)
	}
	e.Poll, e.Worker = picos(poll), picos(worker)
	way := picos((m.Ping - 2*poll - perKiB*pingKiB) / 2)
	h.Link.Latency = way / 2
	e.HandOff = way - way/2

	// A fetch is two messages; the model has late ones late by anything up to twice the mean.
	h.Link.Reorder = units.Share(math.Round(m.Late / 2 * float64(units.Whole)))
	h.Link.ReorderDelay = min(picos(2*m.LateBy), link.MaxLatency)
	if h.Link.Reorder == 0 || h.Link.ReorderDelay == 0 { // neither is anything without the other
		h.Link.Reorder, h.Link.ReorderDelay = 0, 0
	}
}

// Explain gives what the model says for what was measured, with the parameters of h.
func Explain(h *hardware.Hardware) (m Measured) {
	o, e := &h.Processor, &h.Endpoint
	move := ns(o.Move(wire.PageSize))
	message := func(kib float64) float64 {
		return 2*ns(h.Link.Latency+e.HandOff+e.Poll) + kib*float64(e.PollPerKiB)/1000
	}
	m.Ping = message(pingKiB)
	m.Evict = ns(o.Fault) + move
	m.PLocal = m.Evict
	m.Fetch = ns(o.Fault+e.Worker+o.Lookup()) + message(fetchKiB) + move
	m.FetchDirty = m.Fetch + (pairKiB-fetchKiB)*float64(e.PollPerKiB)/1000
	m.Pings = 2*ns(e.Poll) + pingKiB*float64(e.PollPerKiB)/1000
	m.Flushes = 2*ns(e.Poll) + flushKiB*float64(e.PollPerKiB)/1000 + ns(e.Worker+o.Lookup()) + move
	m.Late, m.LateBy = 2*float64(h.Link.Reorder)/float64(units.Whole), ns(h.Link.ReorderDelay)/2
	m.Hit, m.Replays = ns(o.Hit), ns(o.Hit+o.Reference)
	m.Memory = Memory{Copy: move, Load: ns(o.DRAMLatency)}
	return m
}

func ns(p units.Picos) float64 { return float64(p) / 1000 }

// picos rounds ns to picoseconds, at least 0.
func picos(ns float64) units.Picos { return units.Picos(math.Round(max(ns, 0) * 1000)) }
