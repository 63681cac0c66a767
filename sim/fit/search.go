package fit

import (
	"fmt"

	"splitkernel/sim/hardware"
	"splitkernel/sim/units"
)

// parameter is one that is fitted.
type parameter struct {
	key   string
	at    func(h *hardware.Hardware) any // where it lies: *units.Picos, *units.PerKiB or *units.Rate
	first int64                          // where the search begins
	step  int64                          // its values are multiples of it
}

func (p *parameter) get(h *hardware.Hardware) int64 {
	switch v := p.at(h).(type) {
	case *units.Picos:
		return int64(*v)
	case *units.PerKiB:
		return int64(*v)
	case *units.Rate:
		return int64(*v)
	}
	panic(fmt.Sprintf("fit: %s is of a type that is not fitted", p.key))
}

func (p *parameter) set(h *hardware.Hardware, n int64) {
	switch v := p.at(h).(type) {
	case *units.Picos:
		*v = units.Picos(n)
	case *units.PerKiB:
		*v = units.PerKiB(n)
	case *units.Rate:
		*v = units.Rate(n)
	}
}

// group are parameters that decide some cells, and no others do.
type group struct {
	parameters []parameter
	cells      func(h *hardware.Hardware) ([]Cell, error)
}

// loss is what the fit makes small: the sum of the squares of the relative errors.
func (g *group) loss(h *hardware.Hardware) (float64, error) {
	cells, err := g.cells(h)
	var sum float64
	for _, c := range cells {
		sum += c.Error() * c.Error()
	}
	return sum, err
}

// coarsest is the first step of a search in multiples of the finest.
const coarsest = 64

// fit searches by coordinates: each parameter in turn goes a step up or down if that makes the loss smaller; when none does, the
// steps are halved, down to the finest. Values and steps are whole numbers, so every processor finds the same.
func (g *group) fit(h *hardware.Hardware) error {
	for i := range g.parameters {
		g.parameters[i].set(h, g.parameters[i].first)
	}
	best, err := g.loss(h)
	if err != nil {
		return err
	}
	for scale := int64(coarsest); scale > 0; scale /= 2 {
		for {
			better, err := g.round(h, scale, &best)
			if err != nil {
				return err
			}
			if !better {
				break
			}
		}
	}
	return nil
}

// round tries a step of every parameter and keeps those that make the loss smaller.
func (g *group) round(h *hardware.Hardware, scale int64, best *float64) (better bool, err error) {
	for i := range g.parameters {
		p := &g.parameters[i]
		for _, d := range [2]int64{scale * p.step, -scale * p.step} {
			was := p.get(h)
			if was+d < 0 {
				continue
			}
			p.set(h, was+d)
			l, err := g.loss(h)
			if err != nil {
				return false, err
			}
			if l < *best {
				*best, better = l, true
				break
			}
			p.set(h, was)
		}
	}
	return better, nil
}
