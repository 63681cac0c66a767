package raftsm

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	sm "github.com/lni/dragonboat/v3/statemachine"

	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/wire"
)

// State is what is replicated: the states of gpm, gmm and gsm. ApplyBytes and Restore are called alone. Members, Entries,
// Standing, Query and Freeze may run at the same time as each other and must change nothing. Equal states fed equal
// commands must stay equal, byte for byte in what Freeze encodes.
type State interface {
	ApplyBytes(command []byte) (result []byte)
	Query(q membership.Query) ([]byte, error)
	Members() []wire.Member
	Entries() []membership.Entry
	Standing(wire.NodeID, wire.Epoch) wire.Standing
	// Freeze copies the state quickly and returns what encodes the copy, which is called later, once, while others change
	// the state.
	Freeze() (encode func() []byte)
	Restore([]byte) error
}

// machineVersion is the format version of the file that dragonboat keeps as a snapshot:
//
//	0         1                     9
//	+---------+---------------------+-----------------------+
//	| version | commands applied,   | Snapshot of the state |
//	|         | little-endian       |                       |
//	+---------+---------------------+-----------------------+
const machineVersion = 1

const machineHeader = 9

// maxSnapshot bounds a snapshot that is read back, in bytes.
const maxSnapshot = 1 << 30

// machine is a State as dragonboat wants it. A snapshot of a large state takes long to encode and to write, so only the copy
// of the state is made while nothing is applied. Dragonboat calls Update, PrepareSnapshot and RecoverFromSnapshot one at a
// time, Lookup and SaveSnapshot at any time.
type machine struct {
	mu      sync.RWMutex // of state: reads and copies share it; nothing else is locked under it
	state   State
	applied *atomic.Uint64 // commands, counted over the life of the group
	tape    tape.Tape      // what state is told; nil: off
	record  []byte
}

// frozen is a snapshot that is still to be encoded.
type frozen struct {
	applied uint64
	encode  func() []byte
}

func (m *machine) Update(entries []sm.Entry) ([]sm.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range entries {
		res := m.state.ApplyBytes(entries[i].Cmd)
		entries[i].Result = sm.Result{Value: m.applied.Add(1), Data: res}
		if m.tape != nil {
			m.put(tape.Applied{Command: entries[i].Cmd, Sum: tape.SumOf(res)})
		}
	}
	return entries, nil
}

// put records one input of the state. m.mu is held.
func (m *machine) put(a tape.Applied) {
	m.record = a.Append(m.record[:0])
	if m.tape.Record(m.record) {
		m.tape.State(m.state.Freeze()())
	}
}

// Lookup runs a func(State) that reads.
func (m *machine) Lookup(q any) (any, error) {
	read, ok := q.(func(State))
	if !ok {
		return nil, fmt.Errorf("raftsm: lookup of %T, want a func(State)", q)
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	read(m.state)
	return nil, nil
}

func (m *machine) PrepareSnapshot() (any, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return frozen{m.applied.Load(), m.state.Freeze()}, nil
}

func (m *machine) SaveSnapshot(ctx any, w io.Writer, _ sm.ISnapshotFileCollection, _ <-chan struct{}) error {
	f := ctx.(frozen)
	if _, err := w.Write(binary.LittleEndian.AppendUint64([]byte{machineVersion}, f.applied)); err != nil {
		return err
	}
	_, err := w.Write(f.encode())
	return err
}

func (m *machine) RecoverFromSnapshot(r io.Reader, _ []sm.SnapshotFile, _ <-chan struct{}) error {
	b, err := io.ReadAll(io.LimitReader(r, maxSnapshot+1))
	if err != nil {
		return err
	}
	if len(b) < machineHeader || len(b) > maxSnapshot || b[0] != machineVersion {
		return fmt.Errorf("raftsm: snapshot of %d bytes: want format version %d and %d to %d bytes", len(b), machineVersion, machineHeader, maxSnapshot)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.state.Restore(b[machineHeader:]); err != nil {
		return err
	}
	m.applied.Store(binary.LittleEndian.Uint64(b[1:]))
	if m.tape != nil {
		m.put(tape.Applied{Restored: true, Command: b[machineHeader:]})
		m.record = nil // it may be large
	}
	return nil
}

func (m *machine) Close() error { return nil }
