package mrc

import (
	"fmt"

	"splitkernel/sim/trace"
)

// batchKeys is how many requests are handed out at a time.
const batchKeys = 1 << 16

// requests makes the requests of a trace, as keys with their volumes.
type requests struct {
	src      trace.Source
	name     string
	byRecord bool
	records  Records // Auto until the first record

	batch   *trace.Batch
	at      int    // next reference or event of the batch
	block   uint64 // next block of event `at`, counted from its first
	keys    []uint64
	volumes []uint32

	done    uint64 // records taken
	others  uint64 // records of the other kind, left out
	threads int    // seen
}

// next returns at least one key, valid until the next call, or an error, io.EOF at the end. The volumes are nil for references to
// memory, which are all in one.
func (r *requests) next() (keys []uint64, volumes []uint32, err error) {
	r.keys, r.volumes = r.keys[:0], r.volumes[:0]
	for len(r.keys) == 0 {
		if r.batch == nil {
			if r.batch, err = r.src.Next(); err != nil {
				return nil, nil, err
			}
			r.at, r.block = 0, 0
			r.begin()
		}
		if r.records == Block {
			err = r.blocks()
		} else {
			r.references()
		}
		if err != nil {
			return nil, nil, err
		}
	}
	if r.records != Block {
		return r.keys, nil, nil
	}
	return r.keys, r.volumes, nil
}

// begin looks at a new batch: which kind of records is wanted, and how many there are of the other.
func (r *requests) begin() {
	blocks := uint64(0)
	for i := range r.batch.Events {
		if k := r.batch.Events[i].Kind; k == trace.BlockRead || k == trace.BlockWrite {
			blocks++
		}
	}
	if r.records == Auto {
		switch {
		case len(r.batch.Refs) > 0:
			r.records = Memory
		case blocks > 0:
			r.records = Block
		}
	}
	if r.records == Block {
		r.others += uint64(len(r.batch.Refs))
	} else {
		r.others += blocks
	}
}

// references takes those of the batch.
func (r *requests) references() {
	refs := r.batch.Refs
	for _, ref := range refs[r.at:min(len(refs), r.at+batchKeys)] {
		r.keys = append(r.keys, ref.Addr>>trace.PageShift)
		if int(ref.Thread) >= r.threads {
			r.threads = int(ref.Thread) + 1
		}
	}
	r.done += uint64(len(r.keys))
	if r.at += len(r.keys); r.at == len(refs) {
		r.batch = nil
	}
}

// blocks takes the events of the batch until there are enough keys.
func (r *requests) blocks() error {
	events := r.batch.Events
	for ; r.at < len(events); r.at++ {
		e := &events[r.at]
		if e.Kind != trace.BlockRead && e.Kind != trace.BlockWrite {
			continue
		}
		if int(e.Thread) >= r.threads {
			r.threads = int(e.Thread) + 1
		}
		if r.byRecord {
			if len(r.keys) == batchKeys {
				return nil
			}
			r.keys, r.volumes = append(r.keys, e.Offset), append(r.volumes, e.Volume)
			r.done++
			continue
		}
		if e.Length > MaxRecordBytes || e.Offset+e.Length < e.Offset {
			return fmt.Errorf("%s: request %d: %d bytes from byte %d on, want at most %d bytes below 2^64; --by-record counts it as one request", r.name, r.done+1, e.Length, e.Offset, int64(MaxRecordBytes))
		}
		first, blocks := e.Offset>>trace.PageShift, uint64(0)
		if e.Length > 0 {
			blocks = (e.Offset+e.Length-1)>>trace.PageShift - first + 1
		}
		for ; r.block < blocks; r.block++ {
			if len(r.keys) == batchKeys {
				return nil
			}
			r.keys, r.volumes = append(r.keys, first+r.block), append(r.volumes, e.Volume)
		}
		r.block = 0
		r.done++
	}
	r.batch = nil
	return nil
}
