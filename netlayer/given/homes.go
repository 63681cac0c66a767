package given

import (
	"fmt"

	"splitkernel/netlayer/wire"
)

// MaxHomes bounds the homes that are remembered. The one that was heard of first makes room for another.
const MaxHomes = 1024

// Homes is what a pComponent was told of the homes of processes that were not there: one that is about to begin has a home that is out of date, and
// nobody tells it again. The zero value is empty.
type Homes struct {
	at    map[wire.PID]wire.Owner
	order []wire.PID // of at, the first to be heard of first
}

// Heard takes who is the home of a process. News that is not newer changes nothing.
func (h *Homes) Heard(pid wire.PID, home wire.Owner) {
	old, ok := h.at[pid]
	if ok && home.Epoch <= old.Epoch {
		return
	}
	if !ok {
		if len(h.order) >= MaxHomes {
			delete(h.at, h.order[0])
			h.order = append(h.order[:0], h.order[1:]...)
		}
		h.order = append(h.order, pid)
	}
	if h.at == nil {
		h.at = map[wire.PID]wire.Owner{}
	}
	h.at[pid] = home
}

// Newest gives the home of a process: the one that is known otherwise, unless a newer one was heard of.
func (h *Homes) Newest(pid wire.PID, known wire.Owner) wire.Owner {
	if home, ok := h.at[pid]; ok && home.Epoch > known.Epoch {
		return home
	}
	return known
}

// CheckInvariants reports a broken one, for tests.
func (h *Homes) CheckInvariants() error {
	if len(h.at) != len(h.order) || len(h.order) > MaxHomes {
		return fmt.Errorf("given: %d homes in %d places, at most %d", len(h.at), len(h.order), MaxHomes)
	}
	return nil
}
