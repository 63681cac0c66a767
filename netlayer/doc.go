// Package netlayer carries calls between components: a Peer sends requests to one address, a Server answers them, over
// TCP, Unix sockets or within one process. wire/PROTOCOL.md draws the frames.
//
// It decides nothing about pages, blocks or placement, and it does not know what a body means; the only operations that it
// reads are OpHello, OpPing and OpMissFlush. It retries nothing but Control. Components, managers and the launcher call it.
//
// A peer:
//
//	p := netlayer.NewPeer("unix:/run/m1.sock", o)
//	defer p.Close()
//	c := &netlayer.Call{Op: wire.OpMiss, Into: frame}      // used again for every miss: nothing is allocated
//	c.Body = wire.Miss{PID: 1, Page: no}.Append(c.Body[:0])
//	if err := p.Do(c); errors.Is(err, wire.ErrNotOwner) { … }
//	err := p.Control(ctx, wire.OpMmap, epoch, wire.MmapReq{…}, &rep) // retried, executed at most once
//
// A server:
//
//	l, err := netlayer.Listen("unix:/run/m1.sock")
//	err = netlayer.NewServer(handler, so).Serve(ctx, l)    // until ctx ends; then everything has been closed
//
// Long payloads (wire.Op.MaxPayload) are not copied: a caller writes its own as it starts the call, and a server whose handler is a Placer
// reads them to where the handler wants them.
//
// A handler may also take a request that is served inline and answer it later (Request.Defer), as a flush that waits for its copies.
//
// Locks: Peer.mu covers a peer and is never held while reading, writing or dialing. Server.mu, then Server.onceMu.
// serverConn.wmu is held while writing and taken with no other lock held; laterReplies.mu covers what a connection has deferred, and no
// other is taken while it is held. Goroutines: per peer one housekeeper, one that writes what TryStart could not, and one that reads a long payload for which
// nobody else does, which Close waits for; per server its workers, one per
// connection, and one more per connection that has deferred a reply, which Serve waits for.
//
// Who reads: there is no reader goroutine. A caller that waits reads if nobody does, and delivers what comes to the other
// callers; when its own reply is there it wakes one of them to read on. A reply to a call that nobody waits for is found
// by whoever reads, or by the housekeeper within 10 ms.
//
// Why this cannot stand still with both sides writing: a server reads no requests while it writes replies, so a client
// that only writes would block for ever once the buffers between them are full. The client therefore always has a reader
// while anything is in flight: a waiter, a caller for whom there is no room, or the housekeeper. Request bytes in flight
// are bounded, and a side that takes nothing for write_timeout_ms is cut off.
package netlayer
