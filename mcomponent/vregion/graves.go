package vregion

import "slices"

// maxGraves bounds what is remembered of things that are no longer here, of each kind. It has to outlast requests that are
// still on their way, which is seconds; the oldest are forgotten first.
const maxGraves = 1 << 14

// graves remembers what is no longer here, so that a late request does not bring it to life again.
type graves[K comparable, V any] struct {
	stones map[K]V // looked up, never ranged over
	order  []K     // the first to be buried first
}

func (g *graves[K, V]) bury(k K, v V) {
	if g.stones == nil {
		g.stones = map[K]V{}
	}
	g.raise(k)
	if len(g.order) >= maxGraves {
		delete(g.stones, g.order[0])
		g.order = g.order[1:]
	}
	g.stones[k] = v
	g.order = append(g.order, k)
}

func (g *graves[K, V]) raise(k K) {
	if _, ok := g.stones[k]; ok {
		delete(g.stones, k)
		i := slices.Index(g.order, k)
		g.order = slices.Delete(g.order, i, i+1)
	}
}
