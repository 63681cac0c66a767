// Package inproc is the transport of netlayer within one process: listeners have names, connections are two bounded byte
// buffers. Unlike net.Pipe a write does not wait for its read, so batches stay batches.
//
// No goroutines. Locks: the registry's mutex, then a listener's, then a buffer's; none is held while another package is
// called.
package inproc
