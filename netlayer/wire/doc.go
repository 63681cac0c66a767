// Package wire is the vocabulary that the components share: identities, operations, error kinds, the frame header,
// the fixed layouts of the hot operations and the msgpack bodies of the control operations. PROTOCOL.md beside this
// file draws every frame.
//
// It decides nothing and does no I/O: no goroutines, no locks, no clock. It imports nothing of this module, so every
// other package may import it. It is the only importer of msgpack.
//
//	h := wire.Header{Op: wire.OpMiss, Call: 7, BodyLen: wire.MissLen}
//	b = h.Append(b)                       // 48 bytes
//	b = wire.Miss{PID: 1, Page: 0x4033}.Append(b)
package wire
