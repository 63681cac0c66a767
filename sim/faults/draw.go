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
			if Check(f, p.Nodes) == nil && len(p.Breaches(with)) == 0 && !p.refuses(with) {
				list = with
				break
			}
		}
	}
	return list
}

// drawn is how often each kind comes, of all: what ends somebody as often as everything else, for that is what copies and checkpoints are for. The
// last three need an sComponent, the last one copies of volumes: without, it is an error to whoever writes.
var drawn = []struct {
	kind  Kind
	share int
}{
	{Kill, 6}, {Restart, 3}, {Pause, 4}, {Partition, 3}, {Delay, 2}, {Lose, 2}, {Duplicate, 1}, {Reorder, 1}, {SlowDisk, 2}, {CorruptBlock, 2}, {DiskFull, 1},
}

// drawKind draws what happens.
func (p *Promise) drawKind(chance *rand.Rand) Kind {
	list := drawn
	switch {
	case len(ofRole(p.Nodes, wire.RoleStorage)) == 0:
		list = drawn[:8]
	case p.Survives == 0:
		list = drawn[:10]
	}
	all := 0
	for _, d := range list {
		all += d.share
	}
	n := chance.IntN(all)
	for _, d := range list {
		if n -= d.share; n < 0 {
			return d.kind
		}
	}
	panic("faults: shares do not add up")
}

// draw draws a fault, whether the promise is kept or not.
func (p *Promise) draw(chance *rand.Rand) Fault {
	f := Fault{Kind: p.drawKind(chance)}
	f.At = Moment{Share: drawFrom + Share(chance.Uint32N(uint32(drawTo-drawFrom)))/100*100, Progress: true, Given: true}
	long := func(most time.Duration) time.Duration {
		d := drawMin + time.Duration(chance.Int64N(int64(max(most-drawMin, 1))))
		return max(d.Round(time.Millisecond), drawMin)
	}
	one := func() Who { return p.drawNode(chance) }
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
	case DiskFull:
		f.Node, f.For = p.drawOf(chance, wire.RoleStorage), short
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

// drawNode draws a component: first its role, so that three of one are not hit less often than thirteen of another.
func (p *Promise) drawNode(chance *rand.Rand) Who {
	var roles []wire.Role
	for _, n := range p.Nodes {
		if !slices.Contains(roles, n.Role) {
			roles = append(roles, n.Role)
		}
	}
	return p.drawOf(chance, roles[chance.IntN(len(roles))])
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
