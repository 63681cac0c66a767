package faults

import (
	"math/rand/v2"
	"slices"
	"time"

	"splitkernel/netlayer/wire"
)

// Bounds of what Draw draws. Moments leave a run its beginning, in which things are placed, and an end in which all may come right.
const (
	drawFrom  = Share(50_000)
	drawTo    = Share(850_000)
	drawTries = 64 // for a fault that the promise outlives
	drawMin   = 10 * time.Millisecond
	drawDelay = 5 * time.Millisecond // the longest delay: a run of a hundred thousand misses has to end
)

// Draw draws n faults that a promise is kept through, each at a part of the run, in the order of their moments. A promise that is kept through
// few kinds gives fewer. The same chance and promise give the same faults.
//
// What lasts and silences somebody is short beside the lease, unless the promise is kept however long it lasts: several of them may come
// together.
func Draw(chance *rand.Rand, p *Promise, n int) (list []Fault) {
	for range n {
		for range drawTries {
			f := p.draw(chance)
			at, _ := slices.BinarySearchFunc(list, f, func(a, b Fault) int { return int(a.At.Share) - int(b.At.Share) })
			with := slices.Insert(slices.Clone(list), at, f)
			if Check(f, p.Nodes) == nil && len(p.Breaches(with)) == 0 {
				list = with
				break
			}
		}
	}
	return list
}

// draw draws a fault, whether the promise is kept through it or not.
func (p *Promise) draw(chance *rand.Rand) Fault {
	kinds := []Kind{Kill, Restart, Pause, Partition, Delay, Lose, Duplicate, Reorder}
	storage := len(ofRole(p.Nodes, wire.RoleStorage)) > 0
	if storage {
		kinds = append(kinds, SlowDisk, CorruptBlock)
	}
	f := Fault{Kind: kinds[chance.IntN(len(kinds))]}
	f.At = Moment{Share: drawFrom + Share(chance.Uint32N(uint32(drawTo-drawFrom)))/100*100, Progress: true, Given: true}
	long := func(most time.Duration) time.Duration {
		d := drawMin + time.Duration(chance.Int64N(int64(max(most-drawMin, 1))))
		return max(d.Round(time.Millisecond), drawMin)
	}
	one := func() Who { return Who{ID: p.Nodes[chance.IntN(len(p.Nodes))].ID} }
	short := long(p.Lease / 4)
	switch f.Kind {
	case Kill:
		f.Node = one()
		if chance.IntN(2) == 0 {
			f.For = short
		}
	case Restart:
		f.Node = one()
	case Pause:
		f.Node, f.For = one(), short
		if chance.IntN(3) == 0 {
			f.For = long(2 * p.Lease)
		}
	case SlowDisk:
		f.Node, f.For = p.drawOf(chance, wire.RoleStorage), short
		if f.By = long(drawDelay * 4); chance.IntN(2) == 0 {
			f.By, f.Times = 0, 2000+1000*chance.Uint32N(20)
		}
	case CorruptBlock:
		f.Node = p.drawOf(chance, wire.RoleStorage)
	default:
		f.For = short
		p.drawLink(chance, &f)
	}
	switch f.Kind {
	case Delay:
		f.By = max(time.Duration(chance.Int64N(int64(drawDelay))).Round(10*time.Microsecond), 10*time.Microsecond)
		f.Jitter = f.By / 2
	case Lose, Duplicate, Reorder:
		f.Part = Share(1000 * (1 + chance.Uint32N(50))) // 0.1 to 5 %
		if f.Kind == Reorder {
			f.By = DefaultBy
		}
	}
	return f
}

func (p *Promise) drawOf(chance *rand.Rand, r wire.Role) Who {
	all := ofRole(p.Nodes, r)
	return Who{ID: all[chance.IntN(len(all))].ID}
}

// drawLink draws between whom a fault of the network is: one and the rest, or one and one or a few others.
func (p *Promise) drawLink(chance *rand.Rand, f *Fault) {
	order := chance.Perm(len(p.Nodes))
	f.Link.A = []Who{{ID: p.Nodes[order[0]].ID}}
	f.Link.OneWay = chance.IntN(4) == 0
	if len(order) == 1 || chance.IntN(4) == 0 {
		f.Link.B = []Who{{All: true}}
		return
	}
	for _, i := range order[1 : 2+chance.IntN(min(3, len(order)-1))] {
		f.Link.B = append(f.Link.B, Who{ID: p.Nodes[i].ID})
	}
}
