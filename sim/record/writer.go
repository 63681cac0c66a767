package record

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/klauspost/compress/s2"

	"splitkernel/configs"
	"splitkernel/netlayer/tape"
)

// Bounds of a tape's size.
const (
	// DefaultMaxBytes is how large a tape gets that keeps a whole run.
	DefaultMaxBytes = 1 << 30
	// MinMaxBytes is the least bound of it: a few blocks.
	MinMaxBytes = configs.MinTapeBytes
	// FlushInterval is how long a record may wait in memory: what a killed node did in its last moments is lost.
	FlushInterval = 100 * time.Millisecond
	// SyncTimeout bounds how long a process that dies of a panic waits for its last records to be written.
	SyncTimeout = 2 * time.Second
)

// Writer writes the tape of a node. It implements tape.Recorder.
type Writer struct {
	path string
	head Head
	max  int64 // bytes of the tape
	each int64 // bytes of a segment, about

	mu      sync.Mutex
	room    sync.Cond // the buffer was taken to be written
	buf     []byte
	segment uint64 // that buf is of
	states  int64  // bytes of states in the segment
	cores   uint64
	records uint64
	dropped uint64
	deleted uint64
	noState uint64
	held    uint64 // records before Hold; 0: nothing is held
	waits   uint64
	full    string // why nothing more is taken
	closed  bool
	writing bool // what was taken from buf

	wake chan struct{} // capacity 1: there is a block's worth
	quit chan struct{}
	done sync.WaitGroup

	// Of the goroutine that writes, and after its end of Close:
	file   *os.File
	spare  []byte
	packed []byte
	number uint32  // of the next block
	raw    int64   // bytes of the segment, unpacked
	size   int64   // bytes of the segment
	old    []int64 // bytes of the segments before it that are there
	heldAt int64   // bytes of the tape when Hold was heard of; 0: it was not
	err    error
}

var (
	_ tape.Recorder = (*Writer)(nil)
	_ tape.Holder   = (*Writer)(nil)
	_ tape.Syncer   = (*coreTape)(nil)
)

// Create makes a new tape of at most max bytes, and begins it. When it has more, its oldest segment is deleted.
func Create(path string, h Head, max int64) (*Writer, error) {
	if max < MinMaxBytes {
		return nil, fmt.Errorf("a tape of at most %d bytes, want at least %d", max, MinMaxBytes)
	}
	if _, err := segments(path); err == nil {
		return nil, fmt.Errorf("make a tape: %w", &os.PathError{Op: "create", Path: path, Err: os.ErrExist})
	}
	w := &Writer{path: path, head: h, max: max, each: max / Segments, wake: make(chan struct{}, 1), quit: make(chan struct{})}
	w.room.L = &w.mu
	if err := w.begin(); err != nil {
		return nil, err
	}
	w.done.Go(w.run)
	return w, nil
}

// begin makes the file of the segment that head says.
func (w *Writer) begin() error {
	head, err := appendHeader(nil, &w.head)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(segmentPath(w.path, w.head.Segment), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("make a tape: %w", err)
	}
	if _, err := f.Write(head); err != nil {
		return errors.Join(fmt.Errorf("begin a tape: %w", err), f.Close())
	}
	w.file, w.size, w.raw, w.number = f, int64(len(head)), 0, 0
	return nil
}

// coreTape is the tape of one core. The writer's lock guards it.
type coreTape struct {
	w       *Writer
	number  uint64
	kind    string
	head    []byte
	events  uint64
	segment uint64 // in which it has a state, or began
	tried   uint64 // segment of which a state was too large
}

// Record implements tape.Tape.
func (t *coreTape) Record(b []byte) (state bool) {
	w := t.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.take(len(b)) {
		w.dropped++
		return false
	}
	t.events++
	w.records++
	w.append(t.number-1+tagCore, b)
	return t.segment != w.segment && t.tried != w.segment
}

// State implements tape.Tape.
func (t *coreTape) State(b []byte) {
	w := t.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.take(0) {
		return
	}
	n := w.states + int64(len(b)+len(t.head))
	if n > w.max/stateShare || len(b)+len(t.head) > MaxStateBytes {
		w.noState++
		t.tried = w.segment
		return
	}
	w.states, t.segment = n, w.segment
	u := binary.AppendUvarint
	head := tape.AppendBytes(tape.AppendString(u(u(nil, t.number), t.events), t.kind), t.head)
	w.buf = append(u(u(w.buf, tagState), uint64(len(head)+len(b))), head...)
	w.buf = append(w.buf, b...)
	w.hurry()
}

// Sync implements tape.Syncer.
func (t *coreTape) Sync() {
	w := t.w
	for end := time.Now().Add(SyncTimeout); time.Now().Before(end); time.Sleep(time.Millisecond) {
		select {
		case w.wake <- struct{}{}:
		default:
		}
		w.mu.Lock()
		written := len(w.buf) == 0 && !w.writing
		w.mu.Unlock()
		if written {
			return
		}
	}
}

// End implements tape.Tape.
func (t *coreTape) End() {
	t.w.mu.Lock()
	t.head = nil
	t.w.mu.Unlock()
}

// Open implements tape.Recorder.
func (w *Writer) Open(kind string, head []byte) tape.Tape {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := append(tape.AppendString(nil, kind), head...)
	taken := w.take(len(b))
	w.cores++
	t := &coreTape{w: w, number: w.cores, kind: kind, head: b[len(b)-len(head):], segment: w.segment}
	if taken {
		w.records++
		w.append(tagBegin, b)
	} else {
		w.dropped++
	}
	if w.cores == MaxCores && w.full == "" {
		w.full = fmt.Sprintf("it has %d cores, the most that a tape may", MaxCores)
	}
	return t
}

// take waits until a record of n bytes may be appended; false: it may not. The lock is held, and released while it waits.
func (w *Writer) take(n int) bool {
	for waited := false; len(w.buf) > MaxBuffered && w.full == "" && !w.closed; waited = true {
		if !waited {
			w.waits++
		}
		w.room.Wait()
	}
	if n > MaxRecordBytes && w.full == "" {
		w.full = fmt.Sprintf("a record of %d bytes, the most is %d", n, MaxRecordBytes)
	}
	return w.full == "" && !w.closed
}

// append takes one record. The lock is held.
func (w *Writer) append(tag uint64, b []byte) {
	w.buf = tape.AppendBytes(binary.AppendUvarint(w.buf, tag), b)
	w.hurry()
}

// hurry wakes the goroutine that writes if there is a block's worth.
func (w *Writer) hurry() {
	if len(w.buf) >= BlockBytes {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// run writes until Close.
func (w *Writer) run() {
	tick := time.NewTicker(FlushInterval)
	defer tick.Stop()
	for {
		select {
		case <-w.wake:
		case <-tick.C:
		case <-w.quit:
			return
		}
		w.flush()
	}
}

// flush writes what was gathered, and begins a segment if it is time.
func (w *Writer) flush() {
	w.mu.Lock()
	raw := w.buf
	w.buf = w.spare[:0]
	w.writing = true
	next := !w.closed && w.due(w.states)
	if next { // what is gathered from now on is of the next
		w.segment++
		w.states = 0
		w.head.Segment, w.head.Records, w.head.Cores = w.segment, w.records, w.cores
	}
	w.room.Broadcast()
	w.mu.Unlock()
	if w.spare = raw; cap(raw) > 2*MaxBuffered { // it had a large state
		w.spare, w.packed = nil, nil
	}
	if w.err == nil && len(raw) > 0 {
		w.write(blockRecords, raw)
	}
	if w.err == nil && next {
		w.next()
	}
	w.trim()
	w.mu.Lock()
	w.writing = false
	w.mu.Unlock()
}

// due says whether the segment, which has so many bytes of states, is large enough.
func (w *Writer) due(states int64) bool {
	return w.size >= w.max/2 || w.size >= w.each && w.raw-states >= recordsPerState*states
}

// next begins the next segment.
func (w *Writer) next() {
	w.write(blockNext, []byte("{}"))
	w.old = append(w.old, w.size)
	if err := errors.Join(w.err, w.file.Close(), w.begin()); err != nil {
		w.err = err
		w.stop(err.Error())
	}
}

// Hold implements tape.Holder: from now on nothing is deleted, and when the tape has grown by its size it takes no more.
func (w *Writer) Hold() {
	w.mu.Lock()
	if w.held == 0 {
		w.held = max(w.records, 1)
	}
	w.mu.Unlock()
}

// trim deletes the oldest segments as long as the tape is too large, and has half of its size without them: a segment may be a large block, of
// a writer that was late, and must not be followed by nothing. So a tape has its size and a block at most.
func (w *Writer) trim() {
	sum := w.size
	for _, n := range w.old {
		sum += n
	}
	w.mu.Lock()
	held := w.held
	w.mu.Unlock()
	if held > 0 {
		if w.heldAt == 0 {
			w.heldAt = sum
		}
		if sum > w.heldAt+w.max {
			w.stop(fmt.Sprintf("it has %d bytes before and after event %d, which saw something wrong", sum, held))
		}
		return
	}
	for ; len(w.old) > 0 && sum > w.max && sum-w.old[0] >= w.max/2 && w.err == nil; w.old = w.old[1:] {
		sum -= w.old[0]
		if err := os.Remove(segmentPath(w.path, w.head.Segment-uint64(len(w.old)))); err != nil {
			w.err = fmt.Errorf("delete the oldest segment of a tape: %w", err)
			w.stop(w.err.Error())
			return
		}
		w.mu.Lock()
		w.deleted++
		w.mu.Unlock()
	}
}

// stop takes no more records.
func (w *Writer) stop(why string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.full == "" {
		w.full = why
	}
	w.room.Broadcast()
}

// write writes one block, in one call: a node that is killed leaves whole blocks.
func (w *Writer) write(kind byte, raw []byte) {
	if n := blockLen + s2.MaxEncodedLen(len(raw)); cap(w.packed) < n {
		w.packed = make([]byte, n)
	}
	w.packed = w.packed[:cap(w.packed)]
	w.packed = w.packed[:blockLen+len(s2.Encode(w.packed[blockLen:], raw))]
	blockHead(w.packed, kind, w.number, len(raw))
	w.number++
	w.raw += int64(len(raw))
	n, err := w.file.Write(w.packed)
	if w.size += int64(n); err != nil {
		w.err = fmt.Errorf("write the tape: %w", err)
		w.stop(w.err.Error())
	}
}

// Stats tells how the tape would end now.
func (w *Writer) Stats() End {
	w.mu.Lock()
	defer w.mu.Unlock()
	return End{Records: w.records, Dropped: w.dropped, Full: w.full, Waits: w.waits, Deleted: w.deleted, NoState: w.noState, Held: w.held}
}

// Close writes what is left, and how the tape ended. No core is told anything any more.
func (w *Writer) Close() (End, error) {
	w.mu.Lock()
	closed := w.closed
	w.closed = true
	w.mu.Unlock()
	if closed {
		return End{}, errors.New("a tape was closed twice")
	}
	close(w.quit)
	w.done.Wait()
	w.flush()
	end := w.Stats()
	text, err := json.Marshal(&end)
	if err == nil && w.err == nil {
		w.write(blockEnd, text)
	}
	return end, errors.Join(err, w.err, w.file.Close())
}
