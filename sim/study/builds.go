package study

import (
	"errors"

	"splitkernel/sim/study/cost"
	"splitkernel/sim/study/packing"
)

// Builds gives what is bought for both ways of a packing: the smallest numbers needed where they were searched, else what was there.
func Builds(p Packing) (servers, pools cost.Build, err error) {
	seen := 0
	for _, placed := range p.Placed {
		r := placed.Result
		switch {
		case r == nil || r.Partial || p.Partial:
			return servers, pools, errors.New("the packing is partial, want one of the whole trace")
		case r.FractionCores || r.FractionMemory:
			return servers, pools, errors.New("the packing counts in fractions of a machine, which have no price; say with --format what 1.0 is")
		}
		b := cost.Build{KWhYear: placed.KWhYear}
		host, m, g := needed(placed, "server", r.Hosts), 0.0, 0.0
		l := placed.Layout
		switch {
		case placed.Name == "servers":
			b.Servers, b.GPUs = host, host*l.GPUs
			seen |= 1
		case placed.Name == "pools":
			host, m, g = needed(placed, "pComponent", r.Hosts), needed(placed, "mComponent", r.MemoryHost), needed(placed, "gComponent", r.GPUHosts)
			b.PComponents, b.MComponents, b.GComponents = host, m, g
			b.GPUs = g * l.GPUs
			seen |= 2
		default:
			continue // machines of the trace, of any size
		}
		b.Cores, b.GiB = host*l.Cores, host*l.Memory+m*l.M
		if err := b.Validate(); err != nil {
			return servers, pools, err
		}
		if placed.Name == "servers" {
			servers = b
		} else {
			pools = b
		}
	}
	if seen != 3 {
		return servers, pools, errors.New("it has not both servers (of --server) and pools, which are to be compared")
	}
	return servers, pools, nil
}

func needed(p Placed, kind string, there packing.Count) float64 {
	for _, n := range p.Needed {
		if n.Kind == kind {
			return float64(n.Least)
		}
	}
	return float64(there.There)
}
