package moves

import "splitkernel/netlayer/wire"

// PlaceOf is where what a move is of is, among what a component serves, if it is there.
func PlaceOf(r wire.MoveReq) wire.HeldAt {
	switch r.Kind {
	case wire.MoveRegion:
		return wire.HeldAt{List: wire.HeldRegions, ID: uint64(r.PID), Region: r.Region}
	case wire.MoveHome:
		return wire.HeldAt{List: wire.HeldHomes, ID: uint64(r.PID)}
	case wire.MoveProcess:
		return wire.HeldAt{List: wire.HeldProcesses, ID: uint64(r.PID)}
	case wire.MoveVolume:
		return wire.HeldAt{List: wire.HeldVolumes, ID: uint64(r.Volume)}
	}
	return wire.HeldAt{List: wire.HeldCaches, ID: uint64(r.Volume)}
}

// HeldOf finds what a move is of among what a component serves.
func HeldOf(r wire.MoveReq, h wire.Holdings) Held {
	switch r.Kind {
	case wire.MoveRegion:
		for _, x := range h.Regions {
			if x.PID == r.PID && x.Region == r.Region {
				return Held{Serves: true, Epoch: x.Epoch}
			}
		}
	case wire.MoveHome:
		for _, x := range h.Homes {
			if x.PID == r.PID {
				return Held{Serves: true, Epoch: x.Epoch}
			}
		}
	case wire.MoveProcess:
		for _, x := range h.Processes {
			if x.PID == r.PID {
				return Held{Serves: true, Epoch: x.Epoch}
			}
		}
	case wire.MoveVolume, wire.MoveCache:
		volumes := h.Volumes
		if r.Kind == wire.MoveCache {
			volumes = h.Caches
		}
		for _, x := range volumes {
			if x.Volume == r.Volume {
				return Held{Serves: true, Epoch: x.Epoch}
			}
		}
	}
	return Held{}
}
