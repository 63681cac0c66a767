package heat

import (
	"math"

	"splitkernel/netlayer/tape"
)

// Code goes over a meter on a tape.
func (m *Meter) Code(c *tape.Coder) {
	tape.Num(c, &m.n)
	m.CodeRate(c)
}

// CodeRate goes over a meter but for what was counted since its last reading.
func (m *Meter) CodeRate(c *tape.Coder) {
	rate := math.Float32bits(m.rate)
	tape.Num(c, &rate)
	m.rate = math.Float32frombits(rate)
	tape.Below(c, &m.readings, 3)
	if r := m.rate; r < 0 || r != r {
		c.Fail("a rate of %v", r)
	}
}

// Sum adds what a reading made of the meter to a checksum.
func (m *Meter) Sum(s tape.Sum) tape.Sum {
	return s.Uint(m.n).Uint(uint64(math.Float32bits(m.rate))<<8 | uint64(m.readings))
}

// Count is how much was counted since the last reading; Set says so.
func (m *Meter) Count() uint64 { return m.n }
func (m *Meter) Set(n uint64)  { m.n = n }
