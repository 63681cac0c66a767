package vregion

import (
	"time"

	"splitkernel/netlayer/wire"
)

// EffectKind says what an Effect asks for.
type EffectKind uint8

// The effects of Home.
const (
	AskOwner EffectKind = 1 // ask GMM to activate (PID, Region)
	MapAt    EffectKind = 2 // send Map to Owner, which may be this mComponent
	UnmapAt  EffectKind = 3 // send Unmap to Owner
	ExitAt   EffectKind = 4 // send Exit to Owner
	Reply    EffectKind = 5 // answer Call with Rep, Freed or Err

	TellClient EffectKind = 6 // send Switch to the pComponent at Owner.Addr
	BackupAt   EffectKind = 7 // send Backup with Copy, cut into parts, to the backup at Owner
	TellHome   EffectKind = 8 // send NewHome to the pComponent at Owner.Addr

	CutAt      EffectKind = 9  // send Cut to Owner
	RollbackAt EffectKind = 10 // send Rollback to Owner
)

func (k EffectKind) String() string {
	return [...]string{"?", "ask_owner", "map_at", "unmap_at", "exit_at", "reply", "tell_client", "backup_at", "tell_home", "cut_at", "rollback_at", "?"}[min(int(k), 11)]
}

// Effect is one thing that the driver of Home must do. All but Reply are answered by Home.Done with their ID.
type Effect struct {
	Kind   EffectKind
	ID     uint64
	PID    wire.PID
	Region wire.RegionNo
	Owner  wire.Owner

	// Attempt is how often a MapAt or UnmapAt was tried before, in vain as the vRegion was moving: its driver pauses before it
	// tries again, by Pause.
	Attempt int
	// Again is the request of which the owner is asked for anew; 0 of the first ask for a vRegion.
	Again EffectKind

	Map    wire.RegionMapReq
	Switch wire.RegionSwitchReq
	Unmap  wire.RegionUnmapReq
	Exit   wire.ProcessExitReq
	Backup wire.HomeBackupReq
	Copy   Map // of BackupAt, unless Backup.Gone

	NewHome wire.HomeSwitchReq

	Cut      wire.RegionCutReq
	Rollback wire.RegionRollbackReq

	Call  uint64 // Reply: as given with the event
	Rep   wire.MmapRep
	Freed uint64 // Reply to a munmap: pages freed at the owners
	Err   error
}

// Result answers an effect: Owner, Config and Home an AskOwner, Freed an UnmapAt, Err any of them.
type Result struct {
	Owner  wire.Owner
	Config wire.RegionConfig // who makes the vRegion redundant
	Home   wire.HomeConfig   // who is the backup of this home
	Freed  uint64
	Err    error
}

// firstPause and longestPause bound the pauses before a request to an owner is tried again.
const (
	firstPause   = 2 * time.Millisecond
	longestPause = 200 * time.Millisecond
)

// Pause is how long the driver waits before it performs the effect.
func (e *Effect) Pause() time.Duration {
	if e.Attempt == 0 {
		return 0
	}
	d := firstPause
	for i := 1; i < e.Attempt && d < longestPause; i++ {
		d *= 2
	}
	return min(d, longestPause)
}
