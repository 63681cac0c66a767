package vregion

import "splitkernel/netlayer/wire"

// EffectKind says what an Effect asks for.
type EffectKind uint8

// The effects of Home.
const (
	AskOwner EffectKind = 1 // ask GMM to activate (PID, Region)
	MapAt    EffectKind = 2 // send Map to Owner, which may be this mComponent
	UnmapAt  EffectKind = 3 // send Unmap to Owner
	ExitAt   EffectKind = 4 // send Exit to Owner
	Reply    EffectKind = 5 // answer Call with Rep, Freed or Err
)

func (k EffectKind) String() string {
	return [...]string{"?", "ask_owner", "map_at", "unmap_at", "exit_at", "reply"}[min(int(k), 5)]
}

// Effect is one thing that the driver of Home must do. All but Reply are answered by Home.Done with their ID.
type Effect struct {
	Kind   EffectKind
	ID     uint64
	PID    wire.PID
	Region wire.RegionNo
	Owner  wire.Owner

	Map   wire.RegionMapReq
	Unmap wire.RegionUnmapReq
	Exit  wire.ProcessExitReq

	Call  uint64 // Reply: as given with the event
	Rep   wire.MmapRep
	Freed uint64 // Reply to a munmap: pages freed at the owners
	Err   error
}

// Result answers an effect: Owner an AskOwner, Freed an UnmapAt, Err any of them.
type Result struct {
	Owner wire.Owner
	Freed uint64
	Err   error
}
