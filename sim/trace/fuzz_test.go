package trace

import (
	"bytes"
	"io"
	"math/rand"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// Whatever decodes encodes to references and events that decode the same.
func FuzzBlock(f *testing.F) {
	var raw []byte
	var s refState
	rng := rand.New(rand.NewSource(1))
	for range 50 {
		raw = appendRef(raw, &s, Ref{Addr: rng.Uint64() >> rng.Intn(64) &^ 0xff, Gap: rng.Uint32() >> rng.Intn(32), Thread: uint16(rng.Intn(3)), Size: 8})
	}
	f.Add(raw, 50, []byte{2, 0, 0, 0x80, 0x80, 1, 0x80, 0x20}, 1)
	f.Add([]byte{0x18, 0x20}, 1, []byte{}, 0)
	f.Add([]byte{0xff, 0xff, 0xff, 3, 9, 0xff, 0xff, 0xff, 0xff, 0x0f, 1}, 1, []byte{1, 2, 1, 3, 0x80, 0x80, 1, 0x80, 0x20, 2, 'a', 'b'}, 1)
	f.Fuzz(func(t *testing.T, raw []byte, n int, rawEvents []byte, nEvents int) {
		if n < 0 || n > len(raw) || nEvents < 0 || nEvents > len(rawEvents) {
			return
		}
		refs := make([]Ref, n)
		fast := decodeRefs(raw, refs)
		slowRefs := make([]Ref, n)
		slow := decodeTail(raw, slowRefs, 0, 0, refState{})
		if (fast == nil) != (slow == nil) || fast == nil && !reflect.DeepEqual(refs, slowRefs) {
			t.Fatalf("the fast decoder says %v, the careful one %v", fast, slow)
		}
		if fast == nil {
			var s refState
			var again []byte
			for _, r := range refs {
				again = appendRef(again, &s, r)
			}
			if err := decodeRefs(again, slowRefs); err != nil || !reflect.DeepEqual(refs, slowRefs) {
				t.Fatalf("encoded again: %v", err)
			}
		}
		events := make([]Event, nEvents)
		if decodeEvents(rawEvents, events, n, 2, map[string]string{}) == nil {
			var again []byte
			prev := 0
			for i := range events {
				again = appendEvent(again, prev, &events[i])
				prev = events[i].At
			}
			other := make([]Event, nEvents)
			if err := decodeEvents(again, other, n, 2, map[string]string{}); err != nil || !reflect.DeepEqual(events, other) {
				t.Fatalf("encoded again: %v", err)
			}
		}
	})
}

// No bytes make the reader panic, hang or allocate without bound.
func FuzzSkt(f *testing.F) {
	whole := smallTrace(f, filepath.Join(f.TempDir(), "x.skt"))
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add([]byte(fileMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		src, err := newSkt("x.skt", bytes.NewReader(b), io.NopCloser(nil), uint64(len(b)))
		if err != nil {
			return
		}
		defer src.Close()
		drain(src)
	})
}

// fuzzText feeds any text to a reader: it may fail, naming the line, and must
// hand out sane references.
func fuzzText(f *testing.F, format string) {
	for _, s := range samples {
		if s.format == format {
			f.Add([]byte(s.text))
			f.Add([]byte(s.text[:len(s.text)/2]))
		}
	}
	f.Add([]byte("\n\n"))
	path := filepath.Join(f.TempDir(), "x.txt")
	f.Fuzz(func(t *testing.T, b []byte) {
		if strings.HasPrefix(string(b), "\x1f\x8b") || strings.HasPrefix(string(b), "\x28\xb5\x2f\xfd") {
			return // packed: another fuzzer's business
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		src, err := OpenFormat(path, format)
		if err != nil {
			return
		}
		defer src.Close()
		for n := 0; n < 8; n++ {
			batch, err := src.Next()
			if err == io.EOF {
				return
			}
			if err != nil {
				if !strings.HasPrefix(err.Error(), path+": line ") {
					t.Fatalf("no line in %q", err)
				}
				return
			}
			for i, r := range batch.Refs {
				if r.Addr&(PageBytes-1)+uint64(r.Size) > PageBytes {
					t.Fatal(straddles(i, r))
				}
			}
			for i := range batch.Events {
				if err := checkEvent(&batch.Events[i], len(src.Header().Volumes)); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

func FuzzLackey(f *testing.F)       { fuzzText(f, "lackey") }
func FuzzPages(f *testing.F)        { fuzzText(f, "rw-page") }
func FuzzLirs(f *testing.F)         { fuzzText(f, "lirs") }
func FuzzArc(f *testing.F)          { fuzzText(f, "arc") }
func FuzzCloudPhysics(f *testing.F) { fuzzText(f, "cloudphysics-csv") }
func FuzzFio(f *testing.F)          { fuzzText(f, "fio-iolog") }

// Valgrind's lines, whatever programs print into them.
func FuzzRecorder(f *testing.F) {
	f.Add("I  0401ab70,3\n S 1fff000728,8\nSYSCALL[9,1](9) sys_mmap ( 0x0, 20000, 1, 2050, 3, 0 ) --> [pre-success] Success(0x4845000) \n")
	f.Add("SYSCALL[9,1](257) sys_openat ( 4294967196, 0x4(/a(b), c), 5 ) --> [async] ... \nSYSCALL[9,1](257) ... [async] --> Success(0x3) \nSYSCALL[9,1](0) sys_read ( 3, 0x1, 8 ) --> Success(0x8)\n")
	f.Add("SYSCALL[9,1](25) sys_mremap ( 0x5000000, 8192, 16384, 0x1, 0x0 ) --> [pre-success] Success(0x5000000) \n L 05003000,8\n")
	path := filepath.Join(f.TempDir(), "x.skt")
	f.Fuzz(func(t *testing.T, lines string) {
		w, err := Create(path, Header{})
		if err != nil {
			t.Fatal(err)
		}
		r := newRecorder(w, 2, "", func() ([]segment, error) { return parseProcMaps(procMaps) })
		if _, _, err := r.read(strings.NewReader(lines), &CaptureOptions{}); err != nil {
			w.Abort()
			return
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
