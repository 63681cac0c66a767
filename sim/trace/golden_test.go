package trace

import (
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The bytes of docs/trace-format.md: one row a reference, encoded in order.
func TestGoldenRefs(t *testing.T) {
	rows := []struct {
		ref Ref
		hex string
	}{
		{Ref{Addr: 0x10, Gap: 1, Size: 8}, "18 20"},                                           // read, class 4, gap 1, +16
		{Ref{Addr: 0x08, Gap: 0, Size: 8, Flags: FlagWrite}, "09 0f"},                         // write, -8
		{Ref{Addr: 0x08, Gap: 7, Size: 4}, "76 00 00"},                                        // gap escape: 7 = 7+0
		{Ref{Addr: 0x08, Gap: 135, Size: 0}, "70 80 01 00"},                                   // gap 7+128, size unknown
		{Ref{Addr: 0x1008, Gap: 6, Thread: 3, Size: 255, Flags: FlagWrite}, "ef 03 ff 80 40"}, // thread 3, size byte, +4096
		{Ref{Addr: 0x1fff000728, Gap: 2, Thread: 3, Size: 32}, "2c c0 dc ff ef ff 07"},
	}
	var s refState
	var all []byte
	var refs []Ref
	for _, r := range rows {
		start := len(all)
		all = appendRef(all, &s, r.ref)
		if want := unhex(t, r.hex); !reflect.DeepEqual(all[start:], want) {
			t.Errorf("%+v: % x, want % x", r.ref, all[start:], want)
		}
		refs = append(refs, r.ref)
	}
	got := make([]Ref, len(refs))
	if err := decodeRefs(all, got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, refs) {
		t.Errorf("decoded %+v, want %+v", got, refs)
	}
}

func TestGoldenEvents(t *testing.T) {
	rows := []struct {
		event Event
		hex   string
	}{
		{Event{At: 2, Kind: Mmap, Thread: 1, Addr: 0x4000, Len: 0x1000, Anon: true, Writable: true, Name: "ab"}, "01 02 01 03 8080 01 8020 02 6162"},
		{Event{At: 2, Kind: Munmap, Addr: 0x4000, Len: 0x1000}, "02 00 00 8080 01 8020"},
		{Event{At: 3, Kind: Brk, Addr: 0x5000}, "03 01 00 80a0 01"},
		{Event{At: 3, Kind: BlockRead, TimeNs: 300, Volume: 1, Offset: 4096, Length: 512}, "04 00 00 ac02 01 8020 8004"},
		{Event{At: 3, Kind: BlockWrite, TimeNs: 301, Volume: 0, Offset: 0, Length: 1}, "05 00 00 ad02 00 00 01"},
		{Event{At: 4, Kind: BlockFlush, TimeNs: 302, Volume: 0}, "06 01 00 ae02 00"},
	}
	var all []byte
	var events []Event
	prev := 0
	for _, r := range rows {
		start := len(all)
		all = appendEvent(all, prev, &r.event)
		prev = r.event.At
		if want := unhex(t, r.hex); !reflect.DeepEqual(all[start:], want) {
			t.Errorf("%+v: % x, want % x", r.event, all[start:], want)
		}
		events = append(events, r.event)
	}
	got := make([]Event, len(events))
	if err := decodeEvents(all, got, 4, 2, map[string]string{}); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, events) {
		t.Errorf("decoded %+v, want %+v", got, events)
	}
}

func TestGoldenFrame(t *testing.T) {
	check := func(name string, got []byte, want string) {
		t.Helper()
		if w := unhex(t, want); !reflect.DeepEqual(got, w) {
			t.Errorf("%s: % x\nwant % x", name, got, w)
		}
	}
	check("preamble", appendPreamble(nil), "534b5452 4143450a 0100 0000 "+goldenPreambleCRC)
	h := recordHead{magic: magicBlock, refs: 2, events: 1, refBytes: 4, rawLen: 9, packedLen: 18, crc: 0xdeadbeef, first: 65536}
	check("head", h.append(nil), "534b5442 02000000 01000000 04000000 09000000 12000000 efbeadde 0000010000000000 "+goldenHeadCRC)
	check("trailer", appendTrailer(nil, 0x1234, 0x5678), "3412000000000000 7856000000000000 00000000 "+goldenTrailerCRC+" 534b5452 454e440a")
}

// CRC32C, computed with a second implementation (bit by bit, in castagnoliSlow).
var (
	goldenPreambleCRC = leHex(castagnoliSlow([]byte("SKTRACE\n\x01\x00\x00\x00")))
	goldenHeadCRC     = leHex(castagnoliSlow([]byte("SKTB\x02\x00\x00\x00\x01\x00\x00\x00\x04\x00\x00\x00\x09\x00\x00\x00\x12\x00\x00\x00\xef\xbe\xad\xde\x00\x00\x01\x00\x00\x00\x00\x00")))
	goldenTrailerCRC  = leHex(castagnoliSlow([]byte("\x34\x12\x00\x00\x00\x00\x00\x00\x78\x56\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")))
)

func castagnoliSlow(b []byte) uint32 {
	c := ^uint32(0)
	for _, x := range b {
		c ^= uint32(x)
		for range 8 {
			c = c>>1 ^ 0x82f63b78&-(c&1)
		}
	}
	return ^c
}

func leHex(v uint32) string {
	return hex.EncodeToString([]byte{byte(v), byte(v >> 8), byte(v >> 16), byte(v >> 24)})
}

// A file written once by version 1 must be readable for ever.
func TestGoldenFile(t *testing.T) {
	path := filepath.Join("testdata", "golden_v1.skt")
	want := filepath.Join(t.TempDir(), "x.skt")
	b := smallTrace(t, want)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	read := func(p string) ([]item, Header) {
		src, err := Open(p)
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close()
		items, err := drain(src)
		if err != nil {
			t.Fatal(err)
		}
		return items, src.Header()
	}
	gotItems, gotHeader := read(path)
	wantItems, wantHeader := read(want)
	if !reflect.DeepEqual(gotItems, wantItems) || !reflect.DeepEqual(gotHeader, wantHeader) {
		t.Fatalf("%s reads as\n%+v\nwant\n%+v", path, gotHeader, wantHeader)
	}
}
