package trace

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Header and index are lists of fields: tag u8, length uvarint, bytes. Tags
// are never reused; an unknown one is an error, because the version says all.
const (
	fieldProgram     = 1  // string
	fieldArg         = 2  // string, repeated
	fieldSource      = 3  // string
	fieldThinning    = 4  // string
	fieldGranularity = 5  // uvarint: 1 or 4096
	fieldFlags       = 6  // uvarint, headerFlags
	fieldDefault     = 7  // string, repeated
	fieldVolume      = 8  // size uvarint, then the name; repeated, index only
	fieldTotals      = 9  // 8 uvarints, index only
	fieldBlocks      = 10 // (record bytes, refs, events) uvarints per block, index only
)

const (
	headerSynthesised = 1 << iota
	headerHasMaps
	headerHasGaps
	headerHasWrites
	headerKnown = 1<<iota - 1
)

func appendField(b []byte, tag byte, v []byte) []byte {
	b = append(b, tag)
	b = binary.AppendUvarint(b, uint64(len(v)))
	return append(b, v...)
}

func appendNumbers(b []byte, tag byte, vs ...uint64) []byte {
	var body []byte
	for _, v := range vs {
		body = binary.AppendUvarint(body, v)
	}
	return appendField(b, tag, body)
}

// appendHeader encodes what is known when the file is begun.
func appendHeader(b []byte, h *Header) []byte {
	b = appendField(b, fieldProgram, []byte(h.Program))
	for _, a := range h.Args {
		b = appendField(b, fieldArg, []byte(a))
	}
	b = appendField(b, fieldSource, []byte(h.Source))
	b = appendField(b, fieldThinning, []byte(h.Thinning))
	b = appendNumbers(b, fieldGranularity, uint64(h.Granularity))
	var flags uint64
	for i, set := range []bool{h.SynthesisedMaps, h.HasMaps, h.HasGaps, h.HasWrites} {
		if set {
			flags |= 1 << i
		}
	}
	b = appendNumbers(b, fieldFlags, flags)
	for _, d := range h.DefaultsStated {
		b = appendField(b, fieldDefault, []byte(d))
	}
	return b
}

// appendIndex encodes what is known only at the end. It repeats the header,
// because maps and defaults may have turned up while the trace was written.
func appendIndex(b []byte, h *Header, blocks []blockEntry) []byte {
	b = appendHeader(b, h)
	for _, v := range h.Volumes {
		b = appendField(b, fieldVolume, append(binary.AppendUvarint(nil, v.SizeBytes), v.Name...))
	}
	b = appendNumbers(b, fieldTotals, h.Refs, h.Reads, h.Writes, h.Instructions, h.FootprintPages, uint64(h.Threads), h.Maps, h.BlockOps)
	var body []byte
	for _, e := range blocks {
		body = binary.AppendUvarint(body, uint64(e.bytes))
		body = binary.AppendUvarint(body, uint64(e.refs))
		body = binary.AppendUvarint(body, uint64(e.events))
	}
	return appendField(b, fieldBlocks, body)
}

// blockEntry is a block in the index.
type blockEntry struct {
	off    uint64 // of its head, in the file
	first  uint64 // number of its first reference
	bytes  uint32 // head and packed bytes
	refs   uint32
	events uint32
}

// parseFields decodes a header or an index record. blocks start at off.
func parseFields(raw []byte, index bool, off uint64) (h Header, blocks []blockEntry, err error) {
	d := cursor{b: raw}
	for d.i < len(raw) && d.err == nil {
		tag := d.byte()
		v := d.bytes(int(d.uvarint(math.MaxInt32)))
		f := cursor{b: v}
		if d.err != nil {
			break
		}
		switch {
		case tag == fieldProgram:
			h.Program = string(v)
		case tag == fieldArg && len(h.Args) < MaxArgs:
			h.Args = append(h.Args, string(v))
		case tag == fieldSource:
			h.Source = string(v)
		case tag == fieldThinning:
			h.Thinning = string(v)
		case tag == fieldGranularity:
			h.Granularity = int(f.uvarint(PageBytes))
			f.end(h.Granularity == 1 || h.Granularity == PageBytes)
		case tag == fieldFlags:
			fl := f.uvarint(headerKnown)
			f.end(true)
			h.SynthesisedMaps, h.HasMaps = fl&headerSynthesised != 0, fl&headerHasMaps != 0
			h.HasGaps, h.HasWrites = fl&headerHasGaps != 0, fl&headerHasWrites != 0
		case tag == fieldDefault && len(h.DefaultsStated) < MaxArgs:
			h.DefaultsStated = append(h.DefaultsStated, string(v))
		case tag == fieldVolume && index && len(h.Volumes) < MaxVolumes:
			size := f.uvarint(math.MaxUint64)
			h.Volumes = append(h.Volumes, VolumeInfo{Name: string(v[f.i:]), SizeBytes: size})
		case tag == fieldTotals && index:
			for _, p := range []*uint64{&h.Refs, &h.Reads, &h.Writes, &h.Instructions, &h.FootprintPages} {
				*p = f.uvarint(math.MaxUint64)
			}
			h.Threads = int(f.uvarint(1 << 16))
			h.Maps, h.BlockOps = f.uvarint(math.MaxUint64), f.uvarint(math.MaxUint64)
			f.end(h.Reads+h.Writes == h.Refs)
		case tag == fieldBlocks && index:
			blocks = parseBlocks(&f, off)
		default:
			f.err = fmt.Errorf("not known here or too many of it")
		}
		if f.err != nil {
			return h, nil, fmt.Errorf("field %d: %w", tag, f.err)
		}
	}
	if d.err != nil {
		return h, nil, d.err
	}
	return h, blocks, nil
}

// end demands that all bytes of the field were used and ok holds.
func (d *cursor) end(ok bool) {
	if d.err == nil && (d.i != len(d.b) || !ok) {
		d.err = fmt.Errorf("a value out of range or of the wrong length")
	}
}

// parseBlocks reads the block table; an error is in f.
func parseBlocks(f *cursor, off uint64) []blockEntry {
	var out []blockEntry
	var first uint64
	for f.i < len(f.b) && f.err == nil {
		e := blockEntry{off: off, first: first}
		e.bytes = uint32(f.uvarint(headBytes + maxBlockPacked))
		e.refs = uint32(f.uvarint(MaxBlockRefs))
		e.events = uint32(f.uvarint(MaxBlockEvents))
		if f.err == nil && e.bytes < headBytes {
			f.err = fmt.Errorf("block %d of %d bytes", len(out), e.bytes)
		}
		off += uint64(e.bytes)
		first += uint64(e.refs)
		out = append(out, e)
	}
	return out
}
