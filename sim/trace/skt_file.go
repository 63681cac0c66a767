package trace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// A .skt file, all numbers little-endian (docs/trace-format.md is the full text):
//
//	┌──────────┬────────┬─────────┬───┬─────────┬───────┬─────────┐
//	│ preamble │ header │ block 0 │ … │ block n │ index │ trailer │
//	│ 16 B     │ record │ record  │   │ record  │ record│ 32 B    │
//	└──────────┴────────┴─────────┴───┴─────────┴───────┴─────────┘
//
// A record is a head of 40 bytes and a zstd frame:
//
//	┌───────┬───────┬────────┬──────────┬─────────┬────────────┬────────┬──────────┬──────────┐
//	│ magic │ refs  │ events │ refBytes │ rawLen  │ packedLen  │ crc    │ first    │ head crc │
//	│ u32   │ u32   │ u32    │ u32      │ u32     │ u32        │ u32    │ u64      │ u32      │
//	└───────┴───────┴────────┴──────────┴─────────┴────────────┴────────┴──────────┴──────────┘
//
// crc is CRC32C of the packed bytes, head crc of the 36 bytes before it.
const (
	// Version is the version of the format that this package writes and reads.
	Version = 1

	fileMagic     = "SKTRACE\n"
	trailerMagic  = "SKTREND\n"
	preambleBytes = 16
	headBytes     = 40
	trailerBytes  = 32

	magicHeader = 0x48544b53 // "SKTH"
	magicBlock  = 0x42544b53 // "SKTB"
	magicIndex  = 0x49544b53 // "SKTI"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// recordHead is the head of a header, block or index record. For a block refs,
// events, refBytes and first are as they say; elsewhere they are zero.
type recordHead struct {
	magic     uint32
	refs      uint32
	events    uint32
	refBytes  uint32
	rawLen    uint32
	packedLen uint32
	crc       uint32
	first     uint64
}

func (h recordHead) append(b []byte) []byte {
	start := len(b)
	for _, v := range []uint32{h.magic, h.refs, h.events, h.refBytes, h.rawLen, h.packedLen, h.crc} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	b = binary.LittleEndian.AppendUint64(b, h.first)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// parseHead reads a head and checks every length against its limit.
func parseHead(b []byte, want uint32) (recordHead, error) {
	u := func(i int) uint32 { return binary.LittleEndian.Uint32(b[4*i:]) }
	h := recordHead{magic: u(0), refs: u(1), events: u(2), refBytes: u(3), rawLen: u(4), packedLen: u(5), crc: u(6),
		first: binary.LittleEndian.Uint64(b[28:])}
	if h.magic != want {
		return h, fmt.Errorf("record magic %#08x, expected %#08x", h.magic, want)
	}
	if got, sum := u(9), crc32.Checksum(b[:headBytes-4], castagnoli); got != sum {
		return h, fmt.Errorf("checksum %08x of the record's head, expected %08x: the file is corrupt", sum, got)
	}
	maxRaw := uint32(maxBlockRaw)
	switch want {
	case magicHeader:
		maxRaw = MaxHeaderBytes
	case magicIndex:
		maxRaw = MaxIndexBytes
	}
	maxPacked := maxRaw + maxRaw>>7 + 1024
	switch {
	case h.rawLen > maxRaw:
		return h, fmt.Errorf("%d unpacked bytes, at most %d", h.rawLen, maxRaw)
	case h.packedLen > maxPacked:
		return h, fmt.Errorf("%d packed bytes, at most %d", h.packedLen, maxPacked)
	case h.refs > MaxBlockRefs:
		return h, fmt.Errorf("%d references, at most %d in a block", h.refs, MaxBlockRefs)
	case h.events > MaxBlockEvents:
		return h, fmt.Errorf("%d events, at most %d in a block", h.events, MaxBlockEvents)
	case h.refBytes > h.rawLen:
		return h, fmt.Errorf("%d bytes of references in %d unpacked bytes", h.refBytes, h.rawLen)
	}
	return h, nil
}

// appendPreamble starts a file.
func appendPreamble(b []byte) []byte {
	b = append(b, fileMagic...)
	b = binary.LittleEndian.AppendUint16(b, Version)
	b = binary.LittleEndian.AppendUint16(b, 0)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[len(b)-12:], castagnoli))
}

var errNotSkt = errors.New("not a .skt file")

func parsePreamble(b []byte) error {
	if len(b) < preambleBytes {
		return fmt.Errorf("preamble: %d bytes, expected %d, file truncated", len(b), preambleBytes)
	}
	if string(b[:8]) != fileMagic {
		return fmt.Errorf("%w: magic %q, expected %q", errNotSkt, b[:8], fileMagic)
	}
	v := binary.LittleEndian.Uint16(b[8:])
	switch {
	case v < Version:
		return fmt.Errorf("trace version %d is older than %d, the only one that this program reads: capture or convert it again", v, Version)
	case v > Version:
		return fmt.Errorf("trace version %d is newer than %d, the newest that this program reads: use a newer splitkernel", v, Version)
	}
	if got, sum := binary.LittleEndian.Uint32(b[12:]), crc32.Checksum(b[:12], castagnoli); got != sum || b[10] != 0 || b[11] != 0 {
		return fmt.Errorf("checksum %08x of the preamble, expected %08x: the file is corrupt", sum, got)
	}
	return nil
}

// appendTrailer ends a file whose index record is at off.
func appendTrailer(b []byte, off, size uint64) []byte {
	start := len(b)
	b = binary.LittleEndian.AppendUint64(b, off)
	b = binary.LittleEndian.AppendUint64(b, size)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
	return append(b, trailerMagic...)
}

// parseTrailer returns the offset of the index record.
func parseTrailer(b []byte, size uint64) (uint64, error) {
	if string(b[24:]) != trailerMagic {
		return 0, fmt.Errorf("no trailer, file truncated")
	}
	if got, sum := binary.LittleEndian.Uint32(b[20:]), crc32.Checksum(b[:20], castagnoli); got != sum {
		return 0, fmt.Errorf("checksum %08x of the trailer, expected %08x: the file is corrupt", sum, got)
	}
	off, want := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
	if want != size {
		return 0, fmt.Errorf("%d bytes, expected %d: the file was cut or added to", size, want)
	}
	if off < preambleBytes+headBytes || off > size-trailerBytes-headBytes {
		return 0, fmt.Errorf("index at %d of %d bytes", off, size)
	}
	return off, nil
}
