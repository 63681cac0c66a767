package record

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
)

// A tape is a row of files, its segments: NAME.tape, NAME.tape.00000001, and so on, of which the oldest may have been deleted.
// Each is a header and blocks; numbers are little-endian.
//
//	header  0 magic "SKTAPE\r\n"   8 version u16   10 length of head u16   12 head, JSON   then CRC32C u32 of all before
//	block   0 magic "SKBK"   4 kind u8   5 zero ×3   8 number u32, from 0   12 raw length u32   16 packed length u32
//	        20 CRC32C u32 of bytes 0 to 19 and the packed ones   24 packed bytes, an S2 block
//
// Unpacked, a block is whole records:
//
//	core, from 1, + 1   length    bytes                       a record of the core
//	0                   length    kind (length, text), head   the next core begins; it has the next number
//	1                   length    core, events of the core,   the core's state behind its last record
//	                              kind, head (length), state
//
// with numbers of 7 bits a byte. The last block of a segment says that the next one follows, or how the tape ended: its raw bytes
// are JSON. In each segment but the one in which it began, a core writes its state behind its first record.
const (
	magic      = "SKTAPE\r\n"
	blockMagic = 0x4b424b53 // "SKBK"
	// Version is that of the format of tapes and of the records of all cores.
	Version = 3

	headerLen = 12
	blockLen  = 24
)

// Kinds of blocks.
const (
	blockRecords = 1
	blockEnd     = 2
	blockNext    = 3 // the tape goes on in the next segment
)

// What the number before a record says; from tagCore on it is a record of core 1.
const (
	tagBegin = 0
	tagState = 1
	tagCore  = 2
)

// Suffix is how the names of tapes end; those of further segments go on with a dot and a number.
const Suffix = ".tape"

// Names of limits.
const (
	// BlockBytes is how much is gathered before it is compressed and written, unless FlushInterval is over first.
	BlockBytes = 256 << 10
	// MaxBuffered is how much may wait to be written; more makes the cores wait.
	MaxBuffered = 4 << 20
	// MaxRecordBytes bounds one record; a larger one ends the tape.
	MaxRecordBytes = 16 << 20
	// MaxStateBytes bounds the state of a core, which is encoded while the core stands still; a larger one is not written.
	MaxStateBytes = MaxRecordBytes
	// Segments is how many segments a tape of its full size has, about.
	Segments = 8
	// stateShare is the share of a tape's size that the states of one segment may have, before they are packed; more are not written.
	stateShare = 4
	// recordsPerState is how much more there must be of records than of states before a segment ends, unless it has half of
	// the tape's size.
	recordsPerState = 4
	// maxRaw bounds a block: MaxBuffered and the record that went over it.
	maxRaw = MaxBuffered + MaxRecordBytes + 64
	// maxPacked bounds a packed block; S2 adds a little to what it cannot pack.
	maxPacked = maxRaw + maxRaw/128 + 1024
	// maxHead bounds the head of a tape.
	maxHead = 1<<16 - 1
	// MaxCores bounds the cores of one tape.
	MaxCores = 1 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Head says whose a tape is.
type Head struct {
	Node         string `json:"node"`
	Role         string `json:"role"`
	Cluster      string `json:"cluster"` // its id, unique per start
	Commit       string `json:"commit"`
	ConfigDigest string `json:"config_digest"`

	Segment uint64 `json:"segment"` // of the tape, from 0
	Records uint64 `json:"records"` // in the segments before
	Cores   uint64 `json:"cores"`   // that began before
}

// End is how a tape ended.
type End struct {
	Records uint64 `json:"records"`  // that were written on it, in segments that have been deleted, too
	Dropped uint64 `json:"dropped"`  // that came after Full
	Full    string `json:"full"`     // why no more were written; empty if all were
	Waits   uint64 `json:"waits"`    // records that waited for MaxBuffered
	Deleted uint64 `json:"deleted"`  // segments
	Held    uint64 `json:"held"`     // the event after which Hold was called; 0: it was not
	NoState uint64 `json:"no_state"` // states that were not written, because they were too large
}

func appendHeader(b []byte, h *Head) ([]byte, error) {
	text, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("encode the head of a tape: %w", err)
	}
	if len(text) > maxHead {
		return nil, fmt.Errorf("the head of a tape has %d bytes, want at most %d", len(text), maxHead)
	}
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint16(b, Version)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(text)))
	b = append(b, text...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli)), nil
}

// blockHead writes the head of a block into b, whose packed bytes follow it.
func blockHead(b []byte, kind byte, number uint32, raw int) {
	le := binary.LittleEndian
	le.PutUint32(b, blockMagic)
	le.PutUint32(b[4:], uint32(kind))
	le.PutUint32(b[8:], number)
	le.PutUint32(b[12:], uint32(raw))
	le.PutUint32(b[16:], uint32(len(b)-blockLen))
	le.PutUint32(b[20:], blockSum(b))
}

func blockSum(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:20], castagnoli), castagnoli, b[blockLen:])
}
