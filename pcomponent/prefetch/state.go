package prefetch

import (
	"encoding/binary"

	"splitkernel/netlayer/tape"
)

// AppendState appends the counts of the guard, and what is behind it.
func (g *guard) AppendState(b []byte) []byte {
	b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(g.issued)), uint64(g.useful))
	return g.g.AppendState(binary.AppendUvarint(b, uint64(g.pause)))
}

func (g *guard) ReadState(r *tape.Reader) {
	// Pages brought long ago may be used in any number before the next is brought.
	g.issued, g.useful, g.pause = int(r.Below(guardIssued)), int(r.Below(1<<48)), int(r.Below(guardPause+1))
	g.g.ReadState(r)
}

func (*nextN) AppendState(b []byte) []byte { return b }
func (*nextN) ReadState(*tape.Reader)      {}

// AppendState appends the zones, each: used, and if it was: number, last, step, equal.
func (p *stride) AppendState(b []byte) []byte {
	b = binary.AppendUvarint(b, p.now)
	for i := range p.zones {
		z := &p.zones[i]
		if b = binary.AppendUvarint(b, z.used); z.used > 0 {
			b = binary.AppendUvarint(binary.AppendUvarint(b, z.number), z.last)
			b = binary.AppendUvarint(binary.AppendVarint(b, z.step), uint64(z.equal))
		}
	}
	return b
}

func (p *stride) ReadState(r *tape.Reader) {
	p.now = r.Uint()
	for i := range p.zones {
		z := &p.zones[i]
		if z.used = r.Uint(); z.used > 0 {
			z.number, z.last, z.step, z.equal = r.Uint(), r.Uint(), r.Int(), int(r.Below(strideConfirm+1))
		}
	}
}

// AppendState appends the calls, the distances between them, the oldest of which may be 0 of none, and the counts.
func (p *leap) AppendState(b []byte) []byte {
	b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(p.seen)), p.last)
	for _, d := range p.deltas {
		b = binary.AppendVarint(b, d)
	}
	b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(p.head)), uint64(p.useful))
	return binary.AppendVarint(binary.AppendUvarint(b, uint64(p.window)), p.trend)
}

func (p *leap) ReadState(r *tape.Reader) {
	p.seen, p.last = int(r.Below(leapHistory+2)), r.Uint()
	for i := range p.deltas {
		p.deltas[i] = r.Int()
	}
	// Each call but the first uses up the useful ones, so there is one at most.
	p.head, p.useful = int(r.Below(leapHistory)), int(r.Below(2))
	p.window, p.trend = int(r.Below(uint64(p.depth)+1)), r.Int()
}

// AppendState appends the recent calls, the scores, and where the learning is.
func (p *bestOffset) AppendState(b []byte) []byte {
	for _, x := range p.recent {
		b = binary.AppendUvarint(b, x)
	}
	for _, x := range p.scores {
		b = binary.AppendUvarint(b, uint64(x))
	}
	return binary.AppendUvarint(binary.AppendUvarint(binary.AppendUvarint(b, uint64(p.try)), uint64(p.round)), p.best)
}

func (p *bestOffset) ReadState(r *tape.Reader) {
	for i := range p.recent {
		p.recent[i] = r.Uint()
	}
	for i := range p.scores {
		p.scores[i] = int(r.Below(offsetScoreMax))
	}
	p.try, p.round, p.best = int(r.Below(uint64(len(offsets)))), int(r.Below(offsetRounds)), r.Below(offsets[len(offsets)-1]+1)
}
