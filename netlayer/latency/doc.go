// Package latency keeps how long operations took, so that a component can name its percentiles without a scrape. The shells
// of mComponents and sComponents use it for block operations, beside the histograms that Prometheus reads; both are given
// the same measured durations.
//
// It reads no clock and forgets nothing: percentiles are over the life of the process. A Recorder has one lock, held for
// some ten nanoseconds and with no other lock taken. No goroutines.
//
//	r := latency.New("block_read", "block_write", "block_flush")
//	r.Record(0, time.Since(began))
//	counters = append(counters, r.Counters()...)
package latency
