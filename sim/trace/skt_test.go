package trace

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// item is one record of a stream: a reference or an event.
type item struct {
	ref   Ref
	event *Event
}

// drain reads a source to its end, as items with events' At cleared.
func drain(src Source) (items []item, err error) {
	var first uint64
	for {
		b, err := src.Next()
		if err == io.EOF {
			return items, nil
		}
		if err != nil {
			return items, err
		}
		if len(b.Refs) > 0 && b.First != first {
			return items, fmt.Errorf("batch begins at %d, want %d", b.First, first)
		}
		first += uint64(len(b.Refs))
		next := 0
		for _, e := range b.Events {
			if e.At < next || e.At > len(b.Refs) {
				return items, fmt.Errorf("event at %d after %d of %d", e.At, next, len(b.Refs))
			}
			for ; next < e.At; next++ {
				items = append(items, item{ref: b.Refs[next]})
			}
			e.At = 0
			items = append(items, item{event: &e})
		}
		for ; next < len(b.Refs); next++ {
			items = append(items, item{ref: b.Refs[next]})
		}
	}
}

func genRef(t *rapid.T) Ref {
	size := rapid.OneOf(rapid.SampledFrom([]uint8{0, 1, 2, 4, 8, 16, 32, 255}), rapid.Uint8()).Draw(t, "size")
	addr := rapid.OneOf(rapid.Uint64(), rapid.Uint64Range(0, 1<<20), rapid.SampledFrom([]uint64{0, math.MaxUint64 - 4095, 1 << 63})).Draw(t, "addr")
	if off := addr % PageBytes; off+uint64(size) > PageBytes {
		addr -= uint64(size)
	}
	return Ref{
		Addr:   addr,
		Gap:    rapid.OneOf(rapid.Uint32Range(0, 10), rapid.Uint32()).Draw(t, "gap"),
		Thread: rapid.OneOf(rapid.Uint16Range(0, 2), rapid.Uint16()).Draw(t, "thread"),
		Size:   size,
		Flags:  rapid.Uint8Range(0, 1).Draw(t, "flags"),
	}
}

func genEvent(t *rapid.T, volumes int) Event {
	e := Event{Kind: EventKind(rapid.IntRange(1, 6).Draw(t, "kind")), Thread: rapid.Uint16().Draw(t, "thread")}
	if volumes == 0 {
		e.Kind = EventKind(1 + int(e.Kind)%3)
	}
	page := func(name string) uint64 { return rapid.Uint64Range(1, 1<<51-1).Draw(t, name) << PageShift }
	switch {
	case e.Kind == Mmap:
		e.Anon, e.Writable = rapid.Bool().Draw(t, "anon"), rapid.Bool().Draw(t, "writable")
		e.Name = rapid.StringN(-1, -1, MaxNameBytes).Draw(t, "name")
		e.Addr, e.Len = page("addr"), page("len")
	case e.Kind == Munmap:
		e.Addr, e.Len = page("addr"), page("len")
	case e.Kind == Brk:
		e.Addr = rapid.Uint64().Draw(t, "brk")
	default:
		e.TimeNs = rapid.Uint64().Draw(t, "time")
		e.Volume = uint32(rapid.IntRange(0, volumes-1).Draw(t, "volume"))
		if e.Kind != BlockFlush {
			e.Offset = rapid.Uint64Range(0, 1<<63).Draw(t, "offset")
			e.Length = rapid.Uint64Range(0, 1<<40).Draw(t, "length")
		}
	}
	return e
}

func genHeader(t *rapid.T) Header {
	s := rapid.StringN(-1, -1, 40)
	h := Header{Program: s.Draw(t, "program"), Source: s.Draw(t, "source"), Thinning: s.Draw(t, "thinning"),
		Args: rapid.SliceOfN(s, 0, 4).Draw(t, "args"), DefaultsStated: rapid.SliceOfN(s, 0, 3).Draw(t, "defaults"),
		SynthesisedMaps: rapid.Bool().Draw(t, "synth"), HasMaps: true, HasGaps: rapid.Bool().Draw(t, "gaps"),
		HasWrites: rapid.Bool().Draw(t, "writes"), Granularity: rapid.SampledFrom([]int{1, PageBytes}).Draw(t, "granularity")}
	for i := range rapid.IntRange(0, 3).Draw(t, "volumes") {
		h.Volumes = append(h.Volumes, VolumeInfo{Name: fmt.Sprint("v", i), SizeBytes: rapid.Uint64().Draw(t, "bytes")})
	}
	return h
}

func writeItems(t interface{ Fatal(...any) }, path string, h Header, items []item) {
	w, err := Create(path, h)
	if err != nil {
		t.Fatal(err)
	}
	for _, it := range items {
		if it.event != nil {
			err = w.Event(*it.event)
		} else {
			err = w.Ref(it.ref)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestSktRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.skt")
	rapid.Check(t, func(rt *rapid.T) {
		h := genHeader(rt)
		var items []item
		for range rapid.IntRange(0, 60).Draw(rt, "items") {
			if rapid.IntRange(0, 4).Draw(rt, "what") == 0 {
				e := genEvent(rt, len(h.Volumes))
				items = append(items, item{event: &e})
			} else {
				items = append(items, item{ref: genRef(rt)})
			}
		}
		writeItems(rt, path, h, items)
		src, err := Open(path)
		if err != nil {
			rt.Fatal(err)
		}
		defer src.Close()
		got, err := drain(src)
		if err != nil {
			rt.Fatal(err)
		}
		if len(got) != len(items) {
			rt.Fatalf("%d items, want %d", len(got), len(items))
		}
		for i := range got {
			if !reflect.DeepEqual(got[i], items[i]) {
				rt.Fatalf("item %d: got %+v %+v, want %+v %+v", i, got[i].ref, got[i].event, items[i].ref, items[i].event)
			}
		}
		checkTotals(rt, src.Header(), h, items)
	})
}

// checkTotals compares a header read with the one written and with counts.
func checkTotals(t interface{ Fatalf(string, ...any) }, got, want Header, items []item) {
	want.HasMaps = true
	pages, threads := map[uint64]bool{}, map[uint16]bool{}
	for _, it := range items {
		switch {
		case it.event != nil && it.event.Kind.IsMap():
			want.Maps++
		case it.event != nil:
			want.BlockOps++
		default:
			want.Refs++
			want.Instructions += uint64(it.ref.Gap)
			if it.ref.Write() {
				want.Writes++
			} else {
				want.Reads++
			}
			pages[it.ref.Page()], threads[it.ref.Thread] = true, true
		}
	}
	want.FootprintPages, want.Threads = uint64(len(pages)), len(threads)
	for _, p := range []*[]string{&want.Args, &want.DefaultsStated} {
		if len(*p) == 0 {
			*p = nil
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("header\n got %+v\nwant %+v", got, want)
	}
}

// smallTrace writes a trace of three blocks and returns its bytes.
func smallTrace(t testing.TB, path string) []byte {
	t.Helper()
	w, err := Create(path, Header{Program: "p", Args: []string{"a"}, Source: "test", Volumes: []VolumeInfo{{"v", 1 << 20}}})
	if err != nil {
		t.Fatal(err)
	}
	for block := range 3 {
		for i := range 20 {
			r := Ref{Addr: uint64(0x1000*block + 8*i), Gap: uint32(3 * i), Thread: uint16(i / 10), Size: 8, Flags: uint8(i % 2)}
			if err := w.Ref(r); err != nil {
				t.Fatal(err)
			}
		}
		w.Event(Event{Kind: Mmap, Addr: 0x10000, Len: 0x1000, Name: "m"})
		w.Event(Event{Kind: BlockWrite, Offset: 4096, Length: 512})
		if err := w.flush(); err != nil { // smaller blocks than a user can make
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// readAll opens bytes as a .skt and reads them to the end.
func readAll(b []byte) error {
	src, err := newSkt("x.skt", bytes.NewReader(b), io.NopCloser(nil), uint64(len(b)))
	if err != nil {
		return err
	}
	defer src.Close()
	_, err = drain(src)
	return err
}

func TestSktTruncated(t *testing.T) {
	whole := smallTrace(t, filepath.Join(t.TempDir(), "x.skt"))
	if err := readAll(whole); err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		err := readAll(whole[:n])
		if err == nil {
			t.Fatalf("cut to %d of %d bytes: no error", n, len(whole))
		}
		if n >= 8 && !strings.Contains(err.Error(), "file truncated") {
			t.Fatalf("cut to %d of %d bytes: %v", n, len(whole), err)
		}
	}
	// A block in the middle is named, with the number of its first reference.
	src, _ := newSkt("x.skt", bytes.NewReader(whole), io.NopCloser(nil), uint64(len(whole)))
	err := readAll(whole[:src.blocks[1].off+50])
	if err == nil || !strings.HasPrefix(err.Error(), "x.skt: block 1 (reference 20): ") {
		t.Fatalf("got %v", err)
	}
}

func TestSktCorrupt(t *testing.T) {
	whole := smallTrace(t, filepath.Join(t.TempDir(), "x.skt"))
	src, err := newSkt("x.skt", bytes.NewReader(whole), io.NopCloser(nil), uint64(len(whole)))
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		bad := bytes.Clone(whole)
		bad[i] ^= 0x10
		err := readAll(bad)
		if err == nil {
			t.Fatalf("byte %d of %d changed: no error", i, len(whole))
		}
		for n, b := range src.blocks {
			want := fmt.Sprintf("x.skt: block %d (reference %d): ", n, b.first)
			if uint64(i) >= b.off && uint64(i) < b.off+uint64(b.bytes) && !strings.HasPrefix(err.Error(), want) {
				t.Fatalf("byte %d changed: got %q, want it to begin %q", i, err, want)
			}
		}
	}
}

func TestSktVersion(t *testing.T) {
	whole := smallTrace(t, filepath.Join(t.TempDir(), "x.skt"))
	for v, want := range map[byte]string{0: "trace version 0 is older than 1", 2: "trace version 2 is newer than 1"} {
		bad := bytes.Clone(whole)
		bad[8] = v
		if err := readAll(bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("version %d: got %v, want %q", v, err, want)
		}
	}
}

// An index that lies is found out by the blocks.
func TestSktLyingLengths(t *testing.T) {
	whole := smallTrace(t, filepath.Join(t.TempDir(), "x.skt"))
	src, _ := newSkt("x.skt", bytes.NewReader(whole), io.NopCloser(nil), uint64(len(whole)))
	off := src.blocks[0].off
	for field, want := range map[int]string{
		1: "references", 2: "events", 3: "bytes of references", 4: "unpacked bytes", 5: "packed bytes",
	} {
		bad := bytes.Clone(whole)
		head := bad[off : off+headBytes]
		for i := range 4 {
			head[4*field+i] = 0xff
		}
		sum := crc32.Checksum(head[:headBytes-4], castagnoli)
		for i := range 4 {
			head[headBytes-4+i] = byte(sum >> (8 * i))
		}
		if err := readAll(bad); err == nil || !strings.Contains(err.Error(), "block 0 (reference 0): ") || !strings.Contains(err.Error(), want) {
			t.Fatalf("field %d: got %v, want %q", field, err, want)
		}
	}
}

func TestSeekRef(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.skt")
	smallTrace(t, path)
	src, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	all, err := drain(src)
	if err != nil {
		t.Fatal(err)
	}
	var refs []Ref
	for _, it := range all {
		if it.event == nil {
			refs = append(refs, it.ref)
		}
	}
	for n := range uint64(len(refs)) {
		if err := src.(Seeker).SeekRef(n); err != nil {
			t.Fatal(err)
		}
		var got []Ref
		first := true
		for {
			b, err := src.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if first && b.First != n {
				t.Fatalf("sought %d, the batch begins at %d", n, b.First)
			}
			first = false
			for _, e := range b.Events {
				if e.At < 0 || e.At > len(b.Refs) {
					t.Fatalf("sought %d: event at %d of %d", n, e.At, len(b.Refs))
				}
			}
			got = append(got, b.Refs...)
		}
		if !reflect.DeepEqual(got, refs[n:]) {
			t.Fatalf("sought %d: %d references follow, want %d", n, len(got), len(refs)-int(n))
		}
	}
	if err := src.(Seeker).SeekRef(uint64(len(refs)) + 1); err == nil {
		t.Fatal("sought beyond the end: no error")
	}
}

func TestWriterRefusesAndCleansUp(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.skt")
	for name, e := range map[string]Event{
		"odd address": {Kind: Mmap, Addr: 1, Len: PageBytes},
		"no length":   {Kind: Munmap, Addr: PageBytes},
		"wraps":       {Kind: Mmap, Addr: math.MaxUint64 &^ 4095, Len: 2 * PageBytes},
		"no volume":   {Kind: BlockRead, Volume: 0, Length: 1},
		"no kind":     {Kind: 7},
	} {
		w, err := Create(path, Header{})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Event(e); err == nil {
			t.Errorf("%s: no error", name)
		}
		if err := w.Close(); err == nil {
			t.Errorf("%s: Close after a failure: no error", name)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Fatalf("left behind: %v", left)
	}
	if _, err := Create(filepath.Join(dir, "no", "x.skt"), Header{}); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("a folder that is not there: %v", err)
	}
}

// A reference that straddles pages is split by the writer.
func TestWriterSplits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.skt")
	writeItems(t, path, Header{HasMaps: true}, []item{{ref: Ref{Addr: 0x1ffa, Size: 16, Gap: 5, Flags: FlagWrite, Thread: 2}}})
	src, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	b, err := src.Next()
	if err != nil {
		t.Fatal(err)
	}
	want := []Ref{{Addr: 0x1ffa, Size: 6, Gap: 5, Flags: FlagWrite, Thread: 2}, {Addr: 0x2000, Size: 10, Flags: FlagWrite, Thread: 2}}
	if !reflect.DeepEqual(b.Refs, want) {
		t.Fatalf("got %+v, want %+v", b.Refs, want)
	}
}

// In steady state a batch is decoded without allocating.
func TestNextDoesNotAllocate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.skt")
	var items []item
	for i := range 5 * MaxBlockRefs {
		items = append(items, item{ref: Ref{Addr: uint64(i*i) & 0xfffff8, Size: 8}})
	}
	writeItems(t, path, Header{HasMaps: true}, items)
	src, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	src.Next()
	if n := testing.AllocsPerRun(3, func() {
		if _, err := src.Next(); err != nil {
			t.Fatal(err)
		}
	}); n > 2 && !raceEnabled {
		t.Fatalf("%v allocations a batch of %d references", n, MaxBlockRefs)
	}
}
