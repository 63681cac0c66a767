package migrate

import (
	"encoding/binary"
	"fmt"

	"splitkernel/netlayer/wire"
)

// A note is a small file:
//
//	0          8        12       16
//	+----------+--------+--------+-------------------------------+
//	| SKMOVE01 | length | CRC32C | control message: Out or In    |
//	+----------+--------+--------+-------------------------------+
const noteMagic = "SKMOVE01"

// Out is the note of a giver.
type Out struct {
	Mark   Mark
	Req    wire.MoveReq
	Status wire.MoveStatusRep
}

// In is the note of a taker that holds everything.
type In struct {
	Ref       wire.VolumeMoveRef
	Giver     wire.NodeID
	GiverAddr string
}

// Forgot is the highest number that each manager had forgotten, by manager.
type Forgot struct {
	No []uint64
}

// AppendNote appends a note, an Out, an In or a Forgot.
func AppendNote(b []byte, note any) []byte {
	m := wire.Marshal(note)
	b = append(b, noteMagic...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(m)))
	b = binary.LittleEndian.AppendUint32(b, wire.Checksum(m))
	return append(b, m...)
}

// NoteHeadLen is the length of what stands before the message; MaxNoteLen bounds a note. Both are in bytes.
const (
	NoteHeadLen = 16
	MaxNoteLen  = 16 << 10
)

// ParseNote reads a note. More may follow it.
func ParseNote(b []byte, note any) error {
	if len(b) < NoteHeadLen || string(b[:8]) != noteMagic {
		return fmt.Errorf("no note of a move")
	}
	n := binary.LittleEndian.Uint32(b[8:])
	if uint64(n) > uint64(len(b)-NoteHeadLen) {
		return fmt.Errorf("a note of %d bytes, %d are there", n, len(b)-NoteHeadLen)
	}
	m := b[NoteHeadLen : NoteHeadLen+n]
	if got, want := wire.Checksum(m), binary.LittleEndian.Uint32(b[12:]); got != want {
		return fmt.Errorf("checksum %#08x of a note, want %#08x", got, want)
	}
	return wire.Unmarshal(m, note)
}
