package membership

import (
	"cmp"
	"fmt"
	"math"
	"math/bits"
	"slices"

	"splitkernel/netlayer/wire"
)

const (
	// MaxMembers bounds the members of one manager.
	MaxMembers = 1 << 14
	// MaxIDBytes bounds a member's id and its rack.
	MaxIDBytes = 64
	// MaxAddrBytes bounds a member's address.
	MaxAddrBytes = 256
)

// Table is the members of one role, as replicated. Make one with NewTable or Load.
type Table struct {
	role    wire.Role
	members []wire.Member // ascending by ID
	marks   []mark        // of members, by the same index: apart, so that placements read members alone
	gone    []Tombstone   // removed, the first to be removed first, at most MaxTombstones
	turn    uint64        // the last one taken
	floor   wire.Epoch    // the highest epoch of a tombstone that was forgotten
}

// NewTable returns a table for members of a role.
func NewTable(role wire.Role) *Table { return &Table{role: role, gone: []Tombstone{}} }

func (t *Table) find(id wire.NodeID) (int, bool) {
	return slices.BinarySearchFunc(t.members, id, func(m wire.Member, id wire.NodeID) int { return cmp.Compare(m.ID, id) })
}

// Check reports, as an error of wire.KindBadRequest or KindNoRoom, why m cannot register.
func (t *Table) Check(m wire.Member) error {
	if err := check(t.role, m); err != nil {
		return err
	}
	i, ok := t.find(m.ID)
	switch {
	case !ok && len(t.members) >= MaxMembers:
		return wire.Errorf(wire.KindNoRoom, "member table: %d members, at most %d", len(t.members), MaxMembers)
	case ok && t.members[i].Epoch == math.MaxUint32:
		return wire.Errorf(wire.KindNoRoom, "member %s: its epochs are used up", m.ID)
	case !ok && t.lastEpoch(m.ID) >= math.MaxUint32-1: // one is left for the floor
		return wire.Errorf(wire.KindNoRoom, "member %s: its epochs are used up", m.ID)
	}
	return nil
}

// Register enters m, or enters it again with what it offers now, and returns its new epoch, which is higher than any that
// its id had. m.Epoch is not read. A dead member is alive again; one that drained drains on.
func (t *Table) Register(m wire.Member) (wire.Epoch, error) {
	if err := t.Check(m); err != nil {
		return 0, err
	}
	i, ok := t.find(m.ID)
	if ok {
		m.Epoch = t.members[i].Epoch + 1
		t.members[i] = m
		t.marks[i] = mark{turn: t.next(), drain: t.marks[i].drain}
		return m.Epoch, nil
	}
	m.Epoch = t.lastEpoch(m.ID) + 1
	t.members = slices.Insert(t.members, i, m)
	t.marks = slices.Insert(t.marks, i, mark{turn: t.next()})
	t.gone = slices.DeleteFunc(t.gone, func(g Tombstone) bool { return g.ID == m.ID })
	return m.Epoch, nil
}

// Get returns the member of an id.
func (t *Table) Get(id wire.NodeID) (wire.Member, bool) {
	i, ok := t.find(id)
	if !ok {
		return wire.Member{}, false
	}
	return t.members[i], true
}

// Current reports whether id is registered under epoch and not dead: what it got under it, it has.
func (t *Table) Current(id wire.NodeID, epoch wire.Epoch) bool {
	i, ok := t.find(id)
	return ok && t.members[i].Epoch == epoch && !t.marks[i].dead
}

// Members returns a copy of the members, ascending by id. It is never nil, so equal tables give equal snapshots.
func (t *Table) Members() []wire.Member { return append([]wire.Member{}, t.members...) }

// View returns the members, ascending by id, without a copy: the caller changes nothing and keeps nothing.
func (t *Table) View() []wire.Member { return t.members }

// Len returns the number of members.
func (t *Table) Len() int { return len(t.members) }

// CheckInvariants returns the first broken rule of the table.
func (t *Table) CheckInvariants() error {
	if len(t.members) > MaxMembers {
		return fmt.Errorf("membership: %d members, at most %d", len(t.members), MaxMembers)
	}
	if err := t.checkMarks(); err != nil {
		return err
	}
	for i, m := range t.members {
		if i > 0 && t.members[i-1].ID >= m.ID {
			return fmt.Errorf("membership: member %q is out of order", m.ID)
		}
		if m.Epoch == 0 {
			return fmt.Errorf("membership: member %q has no epoch", m.ID)
		}
		if err := check(t.role, m); err != nil {
			return fmt.Errorf("membership: %w", err)
		}
	}
	return nil
}

// check refuses a member that no manager of role can use.
func check(role wire.Role, m wire.Member) error {
	bad := func(format string, args ...any) error {
		return wire.Errorf(wire.KindBadRequest, "member %q: %s", m.ID, fmt.Sprintf(format, args...))
	}
	c := m.Capacity
	switch {
	case m.ID == "" || len(m.ID) > MaxIDBytes:
		return bad("id of %d bytes, want 1 to %d", len(m.ID), MaxIDBytes)
	case m.Addr == "" || len(m.Addr) > MaxAddrBytes:
		return bad("address of %d bytes, want 1 to %d", len(m.Addr), MaxAddrBytes)
	case len(m.Rack) > MaxIDBytes:
		return bad("rack of %d bytes, want at most %d", len(m.Rack), MaxIDBytes)
	case m.Role != role:
		return bad("is a %s, this manager registers each %s", m.Role, role)
	case role == wire.RoleCompute && c.Cores == 0:
		return bad("cores: 0, want at least 1")
	case role == wire.RoleCompute && c.ExCacheLines == 0:
		return bad("excache_lines: 0, want at least 1")
	case role == wire.RoleMemory && (c.RegionBytes < wire.PageSize || bits.OnesCount64(c.RegionBytes) != 1):
		return bad("region_bytes: %d, want a power of two of at least %d", c.RegionBytes, wire.PageSize)
	case role == wire.RoleMemory && c.MemoryBytes < wire.PageSize:
		return bad("memory_bytes: %d, want at least %d", c.MemoryBytes, wire.PageSize)
	case role == wire.RoleStorage && c.StorageBytes < wire.PageSize:
		return bad("storage_bytes: %d, want at least %d", c.StorageBytes, wire.PageSize)
	}
	return nil
}
