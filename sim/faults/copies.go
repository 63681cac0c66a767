package faults

import (
	"splitkernel/netlayer/wire"
)

// outlived reports whether fault i of a list costs no more than copies of volumes make good: with those before it, it takes at most
// Survives sComponents, for good, for longer than processes wait, or with blocks that changed. That one may have been replaced, or repaired,
// before the next goes is not counted on.
func (p *Promise) outlived(list []Fault, i int) bool {
	hit := p.stores(list[i], list[i+1:])
	if p.Survives == 0 || len(hit) == 0 {
		return false
	}
	gone, anybody := map[wire.NodeID]bool{}, 0
	for k := range list[:i+1] {
		for _, w := range p.stores(list[k], list[k+1:]) {
			if w.ID == "" {
				anybody++ // nobody knows yet whether it is one of the others
			} else {
				gone[w.ID] = true
			}
		}
	}
	return len(gone)+anybody <= p.Survives
}

// stores are the sComponents that a fault takes, if it takes nothing else.
func (p *Promise) stores(f Fault, later []Fault) []Who {
	storage := func(ws []Who) bool {
		for _, w := range ws {
			if role, ok := w.role(p.Nodes); w.All || !ok || role != wire.RoleStorage {
				return false
			}
		}
		return len(ws) > 0
	}
	one := []Who{f.Node}
	switch {
	case f.Kind == Partition || f.Kind == Lose && f.Part == Whole:
		if storage(f.Link.A) {
			return f.Link.A
		}
		if storage(f.Link.B) {
			return f.Link.B
		}
	case !storage(one):
	case f.Kind == CorruptBlock, f.Kind == DiskFull, f.Kind == Kill && !p.back(f, later), f.Kind == Pause && p.silent(f.For):
		return one
	}
	return nil
}

// refuses reports whether a full disk of a list comes to whoever writes as an error, because too few other copies take what it does not.
func (p *Promise) refuses(list []Fault) bool {
	for i, f := range list {
		if f.Kind == DiskFull && !p.outlived(list, i) {
			return true
		}
	}
	return false
}
