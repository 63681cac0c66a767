package configs

import (
	"slices"
	"strings"
)

// What nodes record, by recorder.mode.
const (
	RecordOff  = "off"
	RecordTail = "tail"
	RecordFull = "full"
)

var recordModes = []string{RecordFull, RecordOff, RecordTail}

// Bounds of recorder.tail_bytes and recorder.full_bytes.
const (
	MinTapeBytes = 256 << 10
	MaxTapeBytes = 1 << 40
)

// Recorder says how much each node keeps of what its cores are told.
type Recorder struct {
	// Mode is off; tail, the last part of the run, which is kept if a wrong page was seen or a node died; or full, which is kept.
	Mode string
	// TailBytes bounds the tape of a node in mode tail: when it has more, its oldest part is deleted.
	TailBytes uint64
	// FullBytes is that of mode full.
	FullBytes uint64
}

// DefaultRecorder keeps some minutes of a busy node, so that a run that saw a wrong page can be re-executed.
func DefaultRecorder() Recorder {
	return Recorder{Mode: RecordTail, TailBytes: 64 << 20, FullBytes: 1 << 30}
}

// Bytes bounds the tape of a node; 0 is no tape.
func (r *Recorder) Bytes() int64 {
	switch r.Mode {
	case RecordTail:
		return int64(r.TailBytes)
	case RecordFull:
		return int64(r.FullBytes)
	}
	return 0
}

func (r *Recorder) validate(fs *faults) {
	if !slices.Contains(recordModes, r.Mode) {
		fs.add("recorder.mode", "%q, want one of %s", r.Mode, strings.Join(recordModes, ", "))
	}
	bounds := func(key string, n uint64) {
		if n < MinTapeBytes || n > MaxTapeBytes {
			fs.add(key, "%s, want %s to %s", FormatBytes(n), FormatBytes(MinTapeBytes), FormatBytes(MaxTapeBytes))
		}
	}
	bounds("recorder.tail_bytes", r.TailBytes)
	bounds("recorder.full_bytes", r.FullBytes)
}
