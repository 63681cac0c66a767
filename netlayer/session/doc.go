// Package session holds the deciding parts of a call between components: how call ids are made, when a failed call is
// tried again, and which requests were executed before. netlayer's Peer and Server use it live, and virtual time uses the
// same code.
//
// It is pure: no goroutines, locks, clock, sockets or log; chance is an argument.
//
//	id := session.NewID(seq, slot)                      // client: one per call, monotone in seq
//	switch v, reply := d.Begin(sess, id, retry); v {    // server: before a request of an op with Op.Once()
//	case session.Execute:    frame := run(); d.End(sess, id, frame)
//	case session.Replay:     send(reply)
//	case session.InProgress: // the running execution will answer
//	case session.TooOld, session.Full: refuse
//	}
package session
