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
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"go.uber.org/goleak"

	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/excache"
	"splitkernel/pcomponent/fault"
	"splitkernel/pcomponent/policy"
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
func (p *program) Skip(made []uint64) error {
	p.n += int(made[0])
	return nil
}
func (p *program) Close() error { return nil }

var testOptions = ExecuteOptions{Accesses: func([]byte) (Accesses, error) { return &program{}, nil }}

func testHead() fault.TapeHead {
	h := fault.TapeHead{Node: "p1", PID: 7, Name: "seven", Options: fault.DefaultOptions(), ExCache: excache.DefaultOptions()}
	h.ExCache.Lines, h.ExCache.Ways, h.ExCache.FlushFrames = 3, 0, 2
	return h
}

// play drives a recorded core by itself: every message is answered at once. It makes n accesses and ends.
func play(t testing.TB, r tape.Recorder, h fault.TapeHead, n int) {
	t.Helper()
	p := player(t, r, h)
	p(n)
	p(0)
}

// player is play in parts: each call makes n accesses, and with 0 it ends.
func player(t testing.TB, r tape.Recorder, h fault.TapeHead) func(n int) {
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
			case fault.Zero, fault.Copy, fault.Park: // what it waits for has come, for each Write is answered at once
			default:
				t.Fatalf("effect %v", e.Kind)
			}
		}
		return ready
	}
	p := &program{}
	return func(n int) {
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
		if n == 0 {
			perform(c.Drain(now, nil))
			c.End()
		}
	}
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
	other.MaxBytes = 3 * lineBytes
	want("little memory", path, other, fmt.Sprintf("takes about %d bytes of memory, %d are left", 5*lineBytes, 3*lineBytes))
	other = testOptions
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
	if _, err := try(b); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("version %d, want %d", Version+1, Version)) {
		t.Errorf("other version: %v", err)
	}
}

// flush2 waits until what was recorded is in the file, as a block of its own.
func (w *Writer) flush2(t testing.TB) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Microsecond) {
		select {
		case w.wake <- struct{}{}:
		default:
		}
		w.mu.Lock()
		done := len(w.buf) == 0 && !w.writing
		w.mu.Unlock()
		if done {
			return
		}
		if time.Now().After(end) {
			t.Fatal("nothing is written")
		}
	}
}

// noise is bytes that do not pack.
type noise uint32

func (x *noise) fill(b []byte) []byte {
	for i := range b {
		*x = *x*1664525 + 1013904223
		b[i] = byte(*x >> 24)
	}
	return b
}

// TestFull: a record that is too large ends a tape, which counts what it did not take, and says so.
func TestFull(t *testing.T) {
	w, _ := create(t, MinMaxBytes)
	c := w.Open("large", nil)
	c.Record(make([]byte, MaxRecordBytes+1))
	c.Record([]byte{1})
	if end, err := w.Close(); err != nil || end.Dropped != 2 || !strings.Contains(end.Full, "a record of") {
		t.Errorf("%+v %v", end, err)
	}
	if _, err := Create(filepath.Join(t.TempDir(), "x"), Head{}, MinMaxBytes-1); err == nil {
		t.Error("a tape of too few bytes")
	}
	w, path := create(t, MinMaxBytes)
	w.Open("unknown", nil)
	if _, err := Create(path, Head{}, MinMaxBytes); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second tape of one name: %v", err)
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Execute(t.Context(), path, testOptions); err == nil || !strings.Contains(err.Error(), "does not know such a core") {
		t.Errorf("an unknown core: %v", err)
	}
}

// TestRing: a tape that has its size loses its oldest records, and no others. What is there has a state of each core that has a record
// there, behind its first, and a state that is too large is left out and counted.
func TestRing(t *testing.T) {
	const size = 1 << 20
	w, path := create(t, size)
	const cores = 3
	var cs [cores + 1]tape.Tape
	for n := 1; n <= cores; n++ {
		cs[n] = w.Open("noise", []byte{byte(n)})
	}
	x, b, states := noise(1), make([]byte, 4096), 0
	const records = 3000
	for n := range records {
		k := 1 + n%cores
		binary.LittleEndian.PutUint32(x.fill(b), uint32(n))
		if cs[k].Record(b) {
			n, at := 100, uint32(n)
			if k == 2 {
				n = size/stateShare + 1
			}
			cs[k].State(append(binary.LittleEndian.AppendUint32(nil, at), make([]byte, n)...))
			states++
		}
		if n%16 == 0 {
			w.flush2(t)
		}
	}
	late := w.Open("late", nil)
	late.Record(nil)
	end, err := w.Close()
	if err != nil || end.Full != "" || end.Dropped > 0 || end.Records != records+cores+2 || end.Deleted < 3*Segments || end.NoState < 3*Segments || states < 3*int(end.NoState)-cores {
		t.Fatalf("%+v %v, %d states", end, err, states)
	}
	ns, err := segments(path)
	if err != nil || ns[0] != end.Deleted || len(ns) < Segments/2 {
		t.Fatalf("segments %d, %v; %+v", ns, err, end)
	}
	sum := int64(0)
	for _, n := range ns {
		st, err := os.Stat(segmentPath(path, n))
		if err != nil {
			t.Fatal(err)
		}
		sum += st.Size()
	}
	if sum > size+BlockBytes || sum < size/2 {
		t.Errorf("%d bytes in %d segments", sum, len(ns))
	}
	if tapes, err := Tapes(filepath.Dir(path)); err != nil || len(tapes) != 1 || tapes[0] != path {
		t.Errorf("tapes %q, %v", tapes, err)
	}
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	next := r.Head.Records
	if next < records/2 || r.Head.Cores != cores || r.Head.Segment != end.Deleted {
		t.Errorf("%+v", r.Head)
	}
	for at := [cores + 2]string{}; ; {
		rec, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case rec.State:
			n := uint64(binary.LittleEndian.Uint32(rec.Data))
			if n+cores+1 != next || rec.Core == 2 || rec.Kind != "noise" || len(rec.Head) != 1 || uint64(rec.Head[0]) != rec.Core || rec.Events != n/cores+1 {
				t.Fatalf("state %d of core %d, its events %d, behind record %d", n, rec.Core, rec.Events, next)
			}
			at[rec.Core] = rec.Path
			continue
		case rec.Core > cores:
		default:
			n := uint64(binary.LittleEndian.Uint32(rec.Data))
			if n+cores != next || rec.Core != 1+n%cores {
				t.Fatalf("record %d of core %d, want %d", n, rec.Core, next-cores)
			}
		}
		next++
	}
	if next != end.Records || r.Ended() == nil || *r.Ended() != end {
		t.Errorf("%d records of %+v, %+v", next, end, r.Ended())
	}
	if err := os.Remove(segmentPath(path, ns[2])); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), "is missing") {
		t.Errorf("a segment is missing: %v", err)
	}
	if err := os.Rename(segmentPath(path, ns[3]), segmentPath(path, ns[2])); err != nil {
		t.Fatal(err)
	}
	for _, n := range ns[4:] {
		if err := os.Remove(segmentPath(path, n)); err != nil {
			t.Fatal(err)
		}
	}
	if r, err = Open(path); err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for err == nil {
		_, err = r.Next()
	}
	if !strings.Contains(err.Error(), fmt.Sprintf("is segment %d", ns[3])) {
		t.Errorf("a segment in the place of another: %v", err)
	}
	if err := Remove(path); err != nil {
		t.Error(err)
	}
	if tapes, err := Tapes(filepath.Dir(path)); err != nil || len(tapes) != 0 {
		t.Errorf("removed, and there are %q, %v", tapes, err)
	}
}

// TestLateWriter: blocks as large as the tape, as a writer has that was late, are not followed by an empty tape.
func TestLateWriter(t *testing.T) {
	w, path := create(t, MinMaxBytes)
	c, x := w.Open("noise", nil), noise(1)
	for n := range 6 {
		if c.Record(x.fill(make([]byte, MinMaxBytes+n))) {
			c.State(nil)
		}
		w.flush2(t)
		sum := int64(0)
		ns, err := segments(path)
		for _, n := range ns {
			if st, err := os.Stat(segmentPath(path, n)); err == nil {
				sum += st.Size()
			}
		}
		if err != nil || n > 0 && sum < MinMaxBytes || sum > 3*MinMaxBytes {
			t.Fatalf("after %d blocks: %d bytes in segments %v, %v", n+1, sum, ns, err)
		}
	}
	if end, err := w.Close(); err != nil || end.Deleted == 0 {
		t.Errorf("%+v %v", end, err)
	}
}

// TestHold: what is there when something wrong is seen stays there, with what follows up to as much again; then the tape takes no more.
func TestHold(t *testing.T) {
	w, path := create(t, MinMaxBytes)
	c, x, b := w.Open("noise", nil), noise(1), make([]byte, 4096)
	first := uint64(0)
	for n := range uint64(600) {
		if c.Record(x.fill(b)) {
			c.State(nil)
		}
		if n%4 == 0 {
			w.flush2(t)
		}
		if n == 300 {
			ns, err := segments(path)
			if err != nil || ns[0] == 0 {
				t.Fatalf("segments %v, %v", ns, err)
			}
			first = ns[0]
			w.Hold()
		}
		if n == 400 {
			w.Hold() // the first counts
		}
	}
	end, err := w.Close()
	if err != nil || end.Held != 302 || !strings.Contains(end.Full, "event 302, which saw something wrong") || end.Records+end.Dropped != 601 || end.Records < 302+MinMaxBytes/4200 {
		t.Fatalf("%+v %v", end, err)
	}
	if ns, err := segments(path); err != nil || ns[0] < first || ns[0] > first+1 { // one may have been written already
		t.Errorf("segments %v, want from %d on; %v", ns, first, err)
	}
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for err == nil {
		_, err = r.Next()
	}
	if err != io.EOF || *r.Ended() != end || r.records != end.Records {
		t.Errorf("%d records, %+v: %v", r.records, r.Ended(), err)
	}
}

// TestMiddle re-executes processes from each segment on, with each policy and mechanism: what was before is deleted, and each goes on
// at a state. States on the way are compared. Events have the numbers that they had in the whole run.
func TestMiddle(t *testing.T) {
	w, path := create(t, DefaultMaxBytes)
	w.each = 1 // each block is a segment
	var steps []func(int)
	for _, m := range excache.Mechanisms() {
		for _, p := range policy.Names() {
			if p == "belady" { // is not recorded
				continue
			}
			h := testHead()
			h.Name, h.ExCache.Policy, h.ExCache.Mechanism, h.ExCache.SweepEvery = m+" "+p, p, m, 5
			steps = append(steps, player(t, w, h))
		}
	}
	const rounds = 12
	for n := range rounds {
		for k, s := range steps {
			if (n+k)%3 > 0 { // not each process has a record in each segment
				s(100)
			}
		}
		w.flush2(t)
	}
	for _, s := range steps {
		s(0)
	}
	end, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	ns, err := segments(path)
	if err != nil || len(ns) < rounds*2/3 {
		t.Fatalf("%d segments, %v", len(ns), err)
	}
	whole, err := Execute(t.Context(), path, testOptions)
	if err != nil || whole.Before != 0 || whole.Skipped != 0 || whole.States < rounds*uint64(len(steps))/2 || whole.Events != end.Records {
		t.Fatalf("%+v %v", whole, err)
	}
	skipped := uint64(0)
	for _, n := range ns[1:] {
		if err := os.Remove(segmentPath(path, n-1)); err != nil {
			t.Fatal(err)
		}
		res, err := Execute(t.Context(), path, testOptions)
		if err != nil {
			t.Fatalf("from segment %d on: %v", n, err)
		}
		if res.Head.Segment != n || res.Before == 0 || res.Events != end.Records || res.Hits > whole.Hits || res.Effects > whole.Effects || len(res.Cores) > len(steps) || *res.Ended != end {
			t.Fatalf("from segment %d on: %+v", n, res)
		}
		skipped += res.Skipped
		for _, c := range res.Cores {
			at := slices.IndexFunc(whole.Cores, func(w CoreResult) bool { return w.Number == c.Number })
			if w := whole.Cores[at]; !c.Ended || c.From == 0 || c.From+c.Events != w.Events || c.Name != w.Name || c.State != w.State {
				t.Errorf("from segment %d on: %+v, want %+v", n, c, w)
			}
		}
		if res.Events-res.Before-res.Skipped < 40 {
			continue
		}
		o := testOptions
		o.Until = end.Records - 20
		if res, err = Execute(t.Context(), path, o); err != nil || !res.Stopped || res.Events != o.Until {
			t.Fatalf("from segment %d until %d: %+v %v", n, o.Until, res, err)
		}
		o.Until = res.Before
		if _, err = Execute(t.Context(), path, o); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("begins with event %d", res.Before+1)) {
			t.Fatalf("from segment %d until %d: %v", n, o.Until, err)
		}
	}
	if skipped == 0 {
		t.Error("no record before a state")
	}
}

// TestChangedState changes one bit of the state of a core at a time. Most are seen where the core goes on, or at what it does then; the others
// are of what is over (a thread that is idle) or has no part in it (by how much more recently a line was used). None is a panic.
func TestChangedState(t *testing.T) {
	w, path := create(t, DefaultMaxBytes)
	w.each = 1
	p := player(t, w, testHead())
	for range 3 {
		p(50)
		w.flush2(t)
	}
	p(0)
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var state []byte
	var records [][]byte
	head := testHead()
	for {
		rec, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if rec.State && state == nil {
			state = bytes.Clone(rec.Data)
		} else if state != nil && !rec.State {
			records = append(records, bytes.Clone(rec.Data))
		}
	}
	try := func(state []byte) error {
		c, err := newFault(wire.Marshal(&head), &ExecuteOptions{Accesses: testOptions.Accesses, memory: &memory{DefaultMaxMemory}})
		if err != nil {
			t.Fatal(err)
		}
		if perr := calling(func() { err = c.restore(state) }); perr != nil {
			t.Fatalf("state %x: %v", state, perr)
		}
		if err != nil {
			return err
		}
		if !bytes.Equal(c.snapshot(), state) {
			return errors.New("another state")
		}
		for _, b := range records {
			if _, _, _, err := c.apply(b); err != nil {
				return err
			}
		}
		return nil
	}
	if err := try(state); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for n := range state {
		for bit := range 8 {
			b := bytes.Clone(state)
			b[n] ^= 1 << bit
			if try(b) != nil {
				seen++
			}
		}
		if try(state[:n]) == nil {
			t.Errorf("a state is restored from %d of its %d bytes", n, len(state))
		}
	}
	if all := 8 * len(state); seen < all*3/4 {
		t.Errorf("of %d bits that changed %d are seen", all, seen)
	}
}

// TestPanic: an input that makes a core panic is on its tape, in the file before the process dies, and makes the re-executed core panic.
func TestPanic(t *testing.T) {
	w, path := create(t, DefaultMaxBytes)
	h := testHead()
	core, err := h.New()
	if err != nil {
		t.Fatal(err)
	}
	c := fault.Taped{Core: core}
	c.Record(w.Open(fault.TapeKind, wire.Marshal(&h)))
	c.Map(0, 6, true, []wire.Owner{{Node: "m1", Addr: "unix:/m1", Epoch: 1}})
	func() {
		defer func() {
			if r := recover(); r == nil || !strings.Contains(fmt.Sprint(r), "finishes in state 0") {
				t.Errorf("panic: %v", r)
			}
		}()
		c.Finish(0, nil)
	}()
	res, err := Execute(t.Context(), path, testOptions) // w is open, as that of a process that died
	if err != nil || res.Events != 3 || res.Ended != nil || !res.Cores[0].Ended || !strings.Contains(res.Cores[0].State, "finishes in state 0, as it did live, at finish thread=0") {
		t.Errorf("%+v %v", res, err)
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	changed := rewrite(t, path, func(n int, r Record) []byte {
		if in := (fault.Input{}); n == 3 {
			if err := in.Read(r.Data, 1, 0); err != nil || !in.Panicked() {
				t.Fatalf("%+v %v", in, err)
			}
			b := bytes.Clone(r.Data)
			b[1] = byte(fault.InUndrain) // which does not panic
			return append(b[:2], b[3:]...)
		}
		return r.Data
	})
	if _, err := Execute(t.Context(), changed, testOptions); err == nil || !strings.Contains(err.Error(), "its effects are [], recorded were [panic]") {
		t.Errorf("no panic: %v", err)
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
	for _, plays := range []func(*Writer){func(w *Writer) { play(f, w, testHead(), 20) }, func(w *Writer) { playMemory(f, w) }} {
		w, path := create(f, DefaultMaxBytes)
		plays(w)
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
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := appendHeader(nil, &Head{})
		if err != nil {
			t.Fatal(err)
		}
		block := append(make([]byte, blockLen), s2.Encode(nil, raw)...)
		blockHead(block, blockRecords, 0, len(raw))
		path := filepath.Join(t.TempDir(), "f.tape")
		if err := os.WriteFile(path, append(b, block...), 0o600); err != nil {
			t.Fatal(err)
		}
		o := testOptions
		o.MaxBytes = 16 << 20
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
