package record

import (
	"fmt"

	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/wire"
)

// replicated is the state of a manager.
type replicated interface {
	ApplyBytes(command []byte) (result []byte)
	Restore(snapshot []byte) error
	Members() []wire.Member
	Snapshot() []byte
}

// stateCore re-executes one replica of a manager's state: the commands that Raft gave it, in order, and the snapshots that it
// took over.
type stateCore struct {
	kind     string
	s        replicated
	commands uint64
	restored uint64
}

func (c *stateCore) name() string { return c.kind }

// ended is always true: a replica may stop after any command.
func (c *stateCore) ended() bool  { return true }
func (c *stateCore) close() error { return nil }

func (c *stateCore) state() string {
	text := fmt.Sprintf("%d commands, %d snapshots taken over; encoded %d bytes, checksum %08x\n", c.commands, c.restored, len(c.s.Snapshot()), tape.SumOf(c.s.Snapshot()))
	for _, m := range c.s.Members() {
		text += fmt.Sprintf("member %s: %v under epoch %d\n", m.ID, m.Role, m.Epoch)
	}
	return text
}

// snapshot leaves the counts out, which are of the re-execution.
func (c *stateCore) snapshot() []byte           { return c.s.Snapshot() }
func (c *stateCore) restore(state []byte) error { return c.s.Restore(state) }

func (c *stateCore) apply(b []byte) (what string, effects int, hits uint64, err error) {
	var a tape.Applied
	if err := a.Read(b); err != nil {
		return "a record", 0, 0, err
	}
	if a.Restored {
		what = fmt.Sprintf("snapshot of %d bytes", len(a.Command))
		if perr := calling(func() { err = c.s.Restore(a.Command) }); perr != nil {
			err = perr
		}
		c.restored++
		return what, 0, 0, err
	}
	what = fmt.Sprintf("command of %d bytes", len(a.Command))
	var result []byte
	if err := calling(func() { result = c.s.ApplyBytes(a.Command) }); err != nil {
		return what, 0, 0, err
	}
	c.commands++
	if sum := tape.SumOf(result); sum != a.Sum {
		return what, 0, 0, fmt.Errorf("its result has %d bytes with checksum %08x, recorded was %08x", len(result), sum, a.Sum)
	}
	return what, 1, 0, nil
}
