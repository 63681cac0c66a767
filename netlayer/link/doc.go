// Package link models the network between NICs: when a message of so many bytes, sent now, is in the memory of the receiver. It
// knows latency, bandwidth, the queues of the NICs at both ends, jitter, loss, duplication, reordering and partitions. It knows
// nothing of what messages mean, of retries, or of the processors' work (sim/hardware/endpoint).
//
// A message passes four queues, each first come first served:
//
//	memory ─▶ DMA ─▶ wire of the sender ─ latency ─▶ wire of the receiver ─▶ DMA ─▶ memory
//
// It is cut into packets. A packet is read whole before it is sent, and written whole after it was received; the packets of a
// message overlap. So the first packet pays every stage and the others the slowest one:
//
//	transfer(size) = latency + 2·dma(p) + wire(p) + (size − p)·max(wire, dma)    with p = min(size, packet)
//
// The queues at the receiver see messages in the order in which they arrive, not in which they were sent, so a message takes two
// calls: Send says when it reaches the receiver's NIC, and Receive, called at that moment, says when it is in memory. What is
// behind the NIC (polling thread, workers) may be computed in that same event.
//
//	for _, at := range net.Send(now, from, to, size).Arrivals() { … an event at `at` }
//	done, ok := net.Receive(now, to, size) // at that event
//
// It is pure: no goroutines, no clock; the owner's generator gives chance, and its calls are in the order of time. Limits: one
// switch without queues of its own; full bandwidth in both directions at once; a lost message has used the
// wire; with jitter, the last arrival of every pair of NICs that has exchanged messages is kept.
package link
