package record

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"

	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/excache"
	"splitkernel/pcomponent/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func create(t testing.TB, max int64) (*Writer, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "n1.tape")
	w, err := Create(path, Head{Node: "n1", Role: "pcomponent", Cluster: "c"}, max)
	if err != nil {
		t.Fatal(err)
	}
	return w, path
}

// program is the accesses of the process of these tests: two pages by turns, the first written. From page 3 on all miss.
type program struct{ n int }

func (p *program) at(n int) (page uint64, write bool) { return uint64(n*n) % 7, n%3 == 0 }

func (p *program) Next(int) (page uint64, write bool, err error) {
	page, write = p.at(p.n)
	p.n++
	return page, write, nil
}
func (p *program) Close() error { return nil }

var testOptions = ExecuteOptions{Accesses: func([]byte) (Accesses, error) { return &program{}, nil }}

func testHead() fault.TapeHead {
	h := fault.TapeHead{Node: "p1", PID: 7, Name: "seven", Options: fault.DefaultOptions(), ExCache: excache.DefaultOptions()}
	h.ExCache.Lines, h.ExCache.Ways, h.ExCache.FlushFrames = 3, 0, 2
	return h
}

// play drives a recorded core by itself: every message is answered at once. It makes n accesses.
func play(t testing.TB, r tape.Recorder, h fault.TapeHead, n int) {
	t.Helper()
	core, err := h.New()
	if err != nil {
		t.Fatal(err)
	}
	c := fault.Taped{Core: core}
	c.Record(r.Open(fault.TapeKind, wire.Marshal(&h)))
	c.Map(0, 6, false, []wire.Owner{{Node: "m1", Addr: "unix:/m1", Epoch: 1}})
	now := time.Duration(0)
	var perform func(out []fault.Effect) (ready bool)
	perform = func(out []fault.Effect) (ready bool) {
		for _, e := range out {
			now += time.Microsecond
			switch e.Kind {
			case fault.Write:
				ready = perform(c.FlushDone(now, e.Flush.ID, nil, nil)) || ready
			case fault.Fetch:
				ready = perform(c.Fetched(now, e.Thread, nil, nil)) || ready
				if e.Piggyback {
					ready = perform(c.FlushDone(now, e.Flush.ID, nil, nil)) || ready
				}
			case fault.Done:
				ready = true
			case fault.Zero, fault.Copy:
			default:
				t.Fatalf("effect %v", e.Kind)
			}
		}
		return ready
	}
	p := &program{}
	for range n {
		page, write, _ := p.Next(0)
		if _, ok := c.Hit(wire.PageNo(page), write); ok {
			continue
		}
		if !perform(c.Fault(now, 0, wire.PageNo(page), write, nil)) {
			t.Fatal("a fault did not end")
		}
		_, out := c.Finish(0, nil)
		perform(out)
	}
	perform(c.Drain(now, nil))
	c.End()
}

// TestTape writes and re-executes a tape of two cores.
func TestTape(t *testing.T) {
	w, path := create(t, DefaultMaxBytes)
	play(t, w, testHead(), 1000)
	h := testHead()
	h.ExCache.Policy, h.Name = "fifo", "eight"
	play(t, w, h, 500)
	end, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(); err == nil {
		t.Error("closed twice")
	}
	res, err := Execute(t.Context(), path, testOptions)
	if err != nil {
		t.Fatal(err)
	}
	if res.Events != end.Records || res.Ended == nil || *res.Ended != end || len(res.Cores) != 2 || !res.Cores[0].Ended || res.Hits == 0 || res.Effects == 0 || res.Head.Node != "n1" {
		t.Errorf("%+v, live %+v", res, end)
	}
	o := testOptions
	o.Until = 40
	if res, err = Execute(t.Context(), path, o); err != nil || !res.Stopped || res.Events != 40 || !strings.Contains(res.Cores[0].State, "thread 0: ") {
		t.Errorf("until: %+v %v", res, err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(io.ErrClosedPipe)
	if _, err = Execute(ctx, path, testOptions); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("cancelled: %v", err)
	}
}

// rewrite copies a tape with its records changed. change gives the bytes to write, or nil to leave a record out.
func rewrite(t testing.TB, path string, change func(n int, r Record) []byte) string {
	t.Helper()
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	w, out := create(t, DefaultMaxBytes)
	tapes := []tape.Tape{nil}
	for n := 1; ; n++ {
		rec, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		b := change(n, rec)
		switch {
		case rec.Begins:
			tapes = append(tapes, w.Open(rec.Kind, b))
		case b != nil:
			tapes[rec.Core].Record(b)
		}
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestChangeIsSeen changes one thing at a time: an effect of each input, an input, an option of the core, a record left out,
// an access of the program. The re-execution says at which event.
func TestChangeIsSeen(t *testing.T) {
	w, path := create(t, DefaultMaxBytes)
	play(t, w, testHead(), 200)
	end, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	want := func(what, path string, o ExecuteOptions, text string) {
		t.Helper()
		res, err := Execute(t.Context(), path, o)
		if err == nil || !strings.Contains(err.Error(), text) || !strings.Contains(err.Error(), "n1.tape: byte ") {
			t.Errorf("%s: %+v\n%v, want %s", what, res, err, text)
		}
	}
	same := func(_ int, r Record) []byte { return r.Data }
	if res, err := Execute(t.Context(), rewrite(t, path, same), testOptions); err != nil || res.Events != end.Records {
		t.Fatalf("a copy: %+v %v", res, err)
	}
	for at := 2; at <= int(end.Records); at += 7 {
		want(fmt.Sprintf("checksum of the effects of event %d", at), rewrite(t, path, func(n int, r Record) []byte {
			b := bytes.Clone(r.Data)
			if n == at {
				b[len(b)-1] ^= 1
			}
			return b
		}), testOptions, fmt.Sprintf("event %d: core 1: process seven", at))
	}
	kinds := false
	want("kind of an effect", rewrite(t, path, func(n int, r Record) []byte {
		b := bytes.Clone(r.Data)
		if in := (fault.Input{}); !kinds && n > 2 && in.Read(b, 1, 0) == nil && len(in.Effects) > 0 {
			b[len(b)-5] = byte(fault.Damaged)
			kinds = true
		}
		return b
	}), testOptions, "recorded were [")
	want("a record left out", rewrite(t, path, func(n int, r Record) []byte {
		if n == 9 {
			return nil
		}
		return r.Data
	}), testOptions, "event 9: ")
	for _, change := range []func(*fault.TapeHead){
		func(h *fault.TapeHead) { h.ExCache.Policy = "fifo" },
		func(h *fault.TapeHead) { h.ExCache.Lines = 4 },
		func(h *fault.TapeHead) { h.ExCache.Mechanism = excache.MechanismWriteProtect },
		func(h *fault.TapeHead) { h.Options.Piggyback = false },
		func(h *fault.TapeHead) { h.ExCache.Lines = -1 },
	} {
		h := testHead()
		change(&h)
		want(fmt.Sprintf("%+v", h), rewrite(t, path, func(n int, r Record) []byte {
			if n == 1 {
				return wire.Marshal(&h)
			}
			return r.Data
		}), testOptions, "event ")
	}
	other := testOptions
	other.Accesses = func([]byte) (Accesses, error) { return &program{n: 1}, nil }
	want("other accesses", path, other, "the program accesses page")
	other.Accesses = func([]byte) (Accesses, error) { return nil, errors.New("no such trace") }
	want("no accesses", path, other, "no such trace")
}

// TestBadTapes cuts a tape everywhere and flips each byte: an error by file and offset, and never a panic; a cut between
// two blocks is a node that was killed.
func TestBadTapes(t *testing.T) {
	w, path := create(t, DefaultMaxBytes)
	play(t, w, testHead(), 8)
	w.flush2(t)
	play(t, w, testHead(), 4)
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(t.TempDir(), "bad.tape")
	try := func(b []byte) (*Result, error) {
		if err := os.WriteFile(bad, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return Execute(t.Context(), bad, testOptions)
	}
	killed := 0
	for n := range whole {
		res, err := try(whole[:n])
		if err == nil {
			if killed++; res.Ended != nil {
				t.Errorf("cut at %d: it has an end", n)
			}
		} else if !strings.Contains(err.Error(), bad+": byte ") || !strings.Contains(err.Error(), "cut off") {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
	if killed < 2 || killed > 4 {
		t.Errorf("%d places at which a block ends", killed)
	}
	for n := range whole {
		b := bytes.Clone(whole)
		b[n] ^= 0x40
		if _, err := try(b); err == nil || !strings.Contains(err.Error(), bad+": byte ") {
			t.Errorf("byte %d changed: %v", n, err)
		}
	}
	if _, err := try(append(bytes.Clone(whole), whole[len(whole)-30:]...)); err == nil || !strings.Contains(err.Error(), "bytes follow the end") {
		t.Errorf("longer: %v", err)
	}
	b := bytes.Clone(whole)
	binary.LittleEndian.PutUint16(b[8:], Version+1)
	if _, err := try(b); err == nil || !strings.Contains(err.Error(), "version 2, want 1") {
		t.Errorf("other version: %v", err)
	}
}

// flush2 waits until what was recorded is in the file, as a block of its own.
func (w *Writer) flush2(t testing.TB) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		w.mu.Lock()
		n := len(w.buf)
		w.mu.Unlock()
		if n == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatal("nothing is written")
		}
	}
}

// TestFull: a tape that has its size takes no more, counts what it did not take, and says so.
func TestFull(t *testing.T) {
	w, path := create(t, MinMaxBytes)
	c := w.Open("noise", nil)
	b := make([]byte, 4096)
	x := uint32(1)
	for range 2000 { // does not pack
		for i := range b {
			x = x*1664525 + 1013904223
			b[i] = byte(x >> 24)
		}
		c.Record(b)
	}
	end, err := w.Close()
	if err != nil || end.Full == "" || end.Records+end.Dropped != 2001 || end.Dropped == 0 {
		t.Fatalf("%+v %v", end, err)
	}
	if st, err := os.Stat(path); err != nil || st.Size() > MinMaxBytes+MaxBuffered+1<<16 {
		t.Errorf("%d bytes, %v", st.Size(), err)
	}
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	n := uint64(0)
	for _, err = r.Next(); err == nil; _, err = r.Next() {
		n++
	}
	if err != io.EOF || n != end.Records || *r.Ended() != end {
		t.Errorf("%d records of %+v, %v", n, end, err)
	}
	if _, err := Execute(t.Context(), path, testOptions); err == nil || !strings.Contains(err.Error(), "does not know such a core") {
		t.Errorf("an unknown core: %v", err)
	}
	w, _ = create(t, MinMaxBytes)
	w.Open("large", nil).Record(make([]byte, MaxRecordBytes+1))
	if end, err = w.Close(); err != nil || end.Dropped != 1 || !strings.Contains(end.Full, "a record of") {
		t.Errorf("%+v %v", end, err)
	}
	if _, err := Create(filepath.Join(t.TempDir(), "x"), Head{}, MinMaxBytes-1); err == nil {
		t.Error("a tape of too few bytes")
	}
}

// TestConcurrent: several cores at once; each core's records stay in order.
func TestConcurrent(t *testing.T) {
	w, path := create(t, DefaultMaxBytes)
	var wg sync.WaitGroup
	const cores, each = 4, 20_000
	for range cores {
		wg.Go(func() {
			c := w.Open("count", nil)
			for n := range uint64(each) {
				c.Record(binary.AppendUvarint(nil, n))
			}
		})
	}
	wg.Wait()
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var next [cores + 1]uint64
	for {
		rec, err := r.Next()
		if err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if rec.Begins {
			continue
		}
		if n, _ := binary.Uvarint(rec.Data); n != next[rec.Core] {
			t.Fatalf("core %d: record %d, want %d", rec.Core, n, next[rec.Core])
		}
		next[rec.Core]++
	}
	for _, n := range next[1:] {
		if n != each {
			t.Errorf("%d records, want %d", n, each)
		}
	}
}

// FuzzRecords feeds any records, in a tape whose checksums are right.
func FuzzRecords(f *testing.F) {
	w, path := create(f, DefaultMaxBytes)
	play(f, w, testHead(), 20)
	if _, err := w.Close(); err != nil {
		f.Fatal(err)
	}
	r, err := Open(path)
	if err != nil {
		f.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Next(); err != nil {
		f.Fatal(err)
	}
	f.Add(bytes.Clone(r.raw))
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		f.Fatal(err)
	}
	defer enc.Close()
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := appendHeader(nil, &Head{})
		if err != nil {
			t.Fatal(err)
		}
		block := enc.EncodeAll(raw, make([]byte, blockLen))
		blockHead(block, blockRecords, 0, len(raw))
		path := filepath.Join(t.TempDir(), "f.tape")
		if err := os.WriteFile(path, append(b, block...), 0o600); err != nil {
			t.Fatal(err)
		}
		o := testOptions
		o.Accesses = func([]byte) (Accesses, error) { return &short{}, nil }
		_, _ = Execute(t.Context(), path, o)
	})
}

// short is a program of a few accesses.
type short struct{ program }

func (s *short) Next(thread int) (uint64, bool, error) {
	if s.n > 1000 {
		return 0, false, io.EOF
	}
	return s.program.Next(thread)
}
