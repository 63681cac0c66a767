package generate

import "math/rand/v2"

// recordPage is the room for records in a page.
const recordPage = 4096

// ycsb makes the operations of a core workload. Records are numbered in the order of their keys, which is that of their insertion, and
// lie in that order in a ring of slots. Workload d chooses the latest most often; the others by scrambled popularity among the records of the start.
type ycsb struct {
	workload    string
	each, slots uint64 // records of a page, of all pages
	count       uint64 // records ever inserted
	loaded      uint64
	scan        uint64
	skew        float64
	zipf        zipf
	step        uint64

	record uint64 // record of the operation under way
	left   uint64 // records that a scan has still to read
	back   bool   // the write of a read-modify-write is due
}

func newYCSB(s Spec) shape {
	each := recordPage / s.RecordBytes
	y := &ycsb{workload: s.Workload, each: each, slots: each * s.Pages, scan: s.Scan, skew: s.Skew}
	y.loaded = max(part(y.slots, s.LoadPercent), 1)
	y.count = y.loaded
	y.zipf, y.step = newZipf(y.loaded, s.Skew), scatter(y.loaded)
	return y
}

// page of a record.
func (y *ycsb) page(record uint64) uint64 { return record % y.slots / y.each }

func (y *ycsb) next(_ uint64, rng *rand.Rand) (page uint64, write bool) {
	switch {
	case y.back:
		y.back = false
		return y.page(y.record), true
	case y.left > 0:
		y.left--
		y.record++
		return y.page(y.record), false
	}
	dice := rng.Uint64N(100)
	if dice >= 95 && (y.workload == "d" || y.workload == "e") {
		return y.insert(), true
	}
	y.record = y.choose(rng)
	switch y.workload {
	case "a":
		write = dice >= 50
	case "b":
		write = dice >= 95
	case "e":
		y.left = min(rng.Uint64N(y.scan), y.count-1-y.record)
	case "f":
		y.back = dice >= 50
	}
	return y.page(y.record), write
}

// insert adds a record and gives its page.
func (y *ycsb) insert() uint64 {
	y.count++
	if y.workload == "d" {
		y.zipf = newZipf(min(y.count, y.slots), y.skew)
	}
	return y.page(y.count - 1)
}

// choose draws a record that is there.
func (y *ycsb) choose(rng *rand.Rand) uint64 {
	k := y.zipf.draw(rng) - 1
	if y.workload == "d" {
		return y.count - 1 - k
	}
	first := y.count - min(y.count, y.slots) // what an insert has overwritten counts as its successor in the ring
	record := scattered(k, y.step, y.loaded)
	for record < first {
		record += y.slots
	}
	return record
}
