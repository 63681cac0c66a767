package record

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"splitkernel/netlayer/tape"
)

// Bounds of a tape's size.
const (
	// DefaultMaxBytes is how large a tape gets.
	DefaultMaxBytes = 1 << 30
	// MinMaxBytes is the least bound of it: a few blocks.
	MinMaxBytes = 1 << 20
	// FlushInterval is how long a record may wait in memory: what a killed node did in its last moments is lost.
	FlushInterval = 100 * time.Millisecond
)

// Writer writes the tape of a node. It implements tape.Recorder.
type Writer struct {
	file *os.File
	max  int64

	mu      sync.Mutex
	room    sync.Cond // the buffer was taken to be written
	buf     []byte
	cores   uint64
	records uint64
	dropped uint64
	waits   uint64
	full    string // why nothing more is taken
	closed  bool

	wake chan struct{} // capacity 1: there is a block's worth
	quit chan struct{}
	done sync.WaitGroup

	// Of the goroutine that writes, and after its end of Close:
	enc    *zstd.Encoder
	spare  []byte
	packed []byte
	number uint32
	size   int64
	err    error
}

var _ tape.Recorder = (*Writer)(nil)

// Create makes a new tape of at most max bytes, and begins it.
func Create(path string, h Head, max int64) (*Writer, error) {
	if max < MinMaxBytes {
		return nil, fmt.Errorf("a tape of at most %d bytes, want at least %d", max, MinMaxBytes)
	}
	head, err := appendHeader(nil, &h)
	if err != nil {
		return nil, err
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("make a tape: %w", err)
	}
	if _, err := f.Write(head); err != nil {
		return nil, errors.Join(fmt.Errorf("begin a tape: %w", err), f.Close())
	}
	w := &Writer{file: f, max: max, enc: enc, size: int64(len(head)), wake: make(chan struct{}, 1), quit: make(chan struct{})}
	w.room.L = &w.mu
	w.done.Go(w.run)
	return w, nil
}

// coreTape is the tape of one core.
type coreTape struct {
	w      *Writer
	number uint64
}

// Record implements tape.Tape.
func (t coreTape) Record(b []byte) {
	t.w.mu.Lock()
	t.w.put(t.number, b)
	t.w.mu.Unlock()
}

// Open implements tape.Recorder.
func (w *Writer) Open(kind string, head []byte) tape.Tape {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := append(tape.AppendString(nil, kind), head...)
	w.cores++
	t := coreTape{w, w.cores}
	if w.put(0, b); w.cores == MaxCores && w.full == "" {
		w.full = fmt.Sprintf("it has %d cores, the most that a tape may", MaxCores)
	}
	return t
}

// put takes one record. The lock is held, and released while it waits.
func (w *Writer) put(core uint64, b []byte) {
	for waited := false; len(w.buf) > MaxBuffered && w.full == "" && !w.closed; waited = true {
		if !waited {
			w.waits++
		}
		w.room.Wait()
	}
	if len(b) > MaxRecordBytes && w.full == "" {
		w.full = fmt.Sprintf("a record of %d bytes, the most is %d", len(b), MaxRecordBytes)
	}
	if w.full != "" || w.closed {
		w.dropped++
		return
	}
	w.records++
	w.buf = tape.AppendBytes(binary.AppendUvarint(w.buf, core), b)
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

// flush writes what was gathered.
func (w *Writer) flush() {
	w.mu.Lock()
	raw := w.buf
	w.buf = w.spare[:0]
	full := w.full
	w.room.Broadcast()
	w.mu.Unlock()
	w.spare = raw
	if len(raw) == 0 || w.err != nil {
		return
	}
	w.write(blockRecords, raw)
	if w.err == nil && full == "" && w.size >= w.max {
		w.stop(fmt.Sprintf("it has %d bytes, the most that it may is %d", w.size, w.max))
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
	if cap(w.packed) < blockLen {
		w.packed = make([]byte, blockLen, BlockBytes)
	}
	w.packed = w.enc.EncodeAll(raw, w.packed[:blockLen])
	blockHead(w.packed, kind, w.number, len(raw))
	w.number++
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
	return End{Records: w.records, Dropped: w.dropped, Full: w.full, Waits: w.waits}
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
	return end, errors.Join(err, w.err, w.enc.Close(), w.file.Close())
}
