package trace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// lcs is libCacheSim's own format: a head, then records of a version, little-endian.
//
//	u64 magic │ u64 version │ statistics … │ u64 magic      8192 B, or 1024 B as in 2025's first
//
// Version 1 is oracleGeneral. Version 2, 28 B, has u8 operation and u24 tenant before the last field; version 3, 36 B, has an i64 size and
// u32 seconds to live as well; versions 4 to 8 have 1, 2, 4, 8 or 16 features of u32 behind that, which are passed over.
const (
	lcsMagic     = 0x123456789abcdef0
	lcsHeadBytes = 8192
	lcsHeadSmall = 1024
	// lcsRequests is where the statistics have the number of requests: behind magic, version and their own version.
	lcsRequests = 24
)

// lcsLayout is the layout of a version.
func lcsLayout(version uint64) (objectLayout, bool) {
	switch {
	case version == 1:
		return oracleGeneral, true
	case version == 2:
		return objectLayout{bytes: 28, size: 12, op: 16, tenant: 17, next: 20}, true
	case version == 3:
		return objectLayout{bytes: 36, size: 12, long: true, op: 20, tenant: 21, next: 28}, true
	case version >= 4 && version <= 8:
		return objectLayout{bytes: 36 + 4<<(version-4), size: 12, long: true, op: 20, tenant: 21, next: 28}, true
	}
	return objectLayout{}, false
}

func sniffLcs(h *head) bool {
	return len(h.start) >= 16 && binary.LittleEndian.Uint64(h.start) == lcsMagic
}

// lcs counts the records, because the head says how many there are.
type lcs struct {
	*objects
	path     string
	requests uint64
}

func newLcs(in *input) (parser, error) {
	fail := func(f string, args ...any) (parser, error) {
		return nil, fmt.Errorf("%s: head: "+f, append([]any{in.path}, args...)...)
	}
	head, err := in.Peek(lcsHeadBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return fail("%w", short(err))
	}
	if len(head) < 16 || binary.LittleEndian.Uint64(head) != lcsMagic {
		return fail("expected the magic %#x", uint64(lcsMagic))
	}
	size := 0
	for _, n := range []int{lcsHeadBytes, lcsHeadSmall} {
		if len(head) >= n && binary.LittleEndian.Uint64(head[n-8:]) == lcsMagic {
			size = n
			break
		}
	}
	if head[8] == '<' {
		return fail("of the kind of 2024 that has a format string, expected a version of 1 to 8")
	}
	if size == 0 {
		return fail("no second magic behind %d or %d bytes: cut off, or not of this format", lcsHeadSmall, lcsHeadBytes)
	}
	version := binary.LittleEndian.Uint64(head[8:])
	layout, ok := lcsLayout(version)
	if !ok {
		return fail("version %d, expected 1 to 8", version)
	}
	requests := binary.LittleEndian.Uint64(head[lcsRequests:])
	if _, err := in.Discard(size); err != nil {
		return fail("%w", err)
	}
	p, err := layout.reader(in)
	return &lcs{p, in.path, requests}, err
}

func (p *lcs) fill(b *Batch) error {
	err := p.objects.fill(b)
	if err == io.EOF && p.in.record < p.requests {
		return fmt.Errorf("%s: record %d: the file ends, expected %d records as its head says: cut off", p.path, p.in.record+1, p.requests)
	}
	return err
}
