package raftsm

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync/atomic"

	sm "github.com/lni/dragonboat/v3/statemachine"

	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
)

// State is what is replicated: the states of gpm, gmm and gsm. ApplyBytes and Restore are called alone, Members,
// Entries, Standing and Query may run at the same time as each other and must change nothing. Equal states fed equal commands must stay
// equal, byte for byte in Snapshot.
type State interface {
	ApplyBytes(command []byte) (result []byte)
	Query(q membership.Query) ([]byte, error)
	Members() []wire.Member
	Entries() []membership.Entry
	Standing(wire.NodeID, wire.Epoch) wire.Standing
	Snapshot() []byte
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

// machine is a State as dragonboat wants it. Dragonboat calls Update and RecoverFromSnapshot alone, Lookup and
// SaveSnapshot at the same time as each other.
type machine struct {
	state   State
	applied *atomic.Uint64 // commands, counted over the life of the group
}

func (m *machine) Update(cmd []byte) (sm.Result, error) {
	res := m.state.ApplyBytes(cmd)
	return sm.Result{Value: m.applied.Add(1), Data: res}, nil
}

// Lookup runs a func(State) that reads.
func (m *machine) Lookup(q any) (any, error) {
	read, ok := q.(func(State))
	if !ok {
		return nil, fmt.Errorf("raftsm: lookup of %T, want a func(State)", q)
	}
	read(m.state)
	return nil, nil
}

func (m *machine) SaveSnapshot(w io.Writer, _ sm.ISnapshotFileCollection, _ <-chan struct{}) error {
	head := binary.LittleEndian.AppendUint64([]byte{machineVersion}, m.applied.Load())
	if _, err := w.Write(head); err != nil {
		return err
	}
	_, err := w.Write(m.state.Snapshot())
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
	if err := m.state.Restore(b[machineHeader:]); err != nil {
		return err
	}
	m.applied.Store(binary.LittleEndian.Uint64(b[1:]))
	return nil
}

func (m *machine) Close() error { return nil }
