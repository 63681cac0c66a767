// Package units holds the quantities of hardware models: costs of time, rates, sizes, shares and counts, how they are written
// with their unit ("1.2 us", "40 Gbit/s", "0.1 %"), and how costs below a nanosecond are carried.
//
// Moments are time.Duration since the start of a run, in whole nanoseconds, because a run may last years of modelled time
// (picoseconds in an int64 end after 106 days) and because the cores take their now so. Costs are Picos: a reference that hits
// takes 0.4 ns and a byte on a 40 Gbit/s wire 0.2 ns. Whoever adds costs to a moment keeps a Carry, which gives whole
// nanoseconds and keeps the rest for the next cost; so a sum of costs is never off by a nanosecond or more, however many there are.
//
// All arithmetic is on integers, so that a run gives the same bytes on every processor.
//
// It is pure vocabulary and imports nothing of this module; models, profiles and the event clock use it. No goroutines.
//
//	var c units.Carry
//	now += c.Take(400 * units.Picosecond)                // 0 ns, 0 ns, 1 ns, 0 ns, 1 ns: five hits in 2 ns
//	now += c.Take(units.Rate(5_000_000_000).Cost(4096))  // 819 ns, 0.2 carried
package units
