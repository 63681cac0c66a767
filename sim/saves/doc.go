// Package saves makes checkpoints of a process and reads them back, for whoever drives it: the steps that pcomponent/checkpoint decides on
// are performed here, on volumes of either engine. What a checkpoint has of the driver is bytes.
//
//	saves.Make(keeper, steps, made)                    // when one is due: the threads stand still
//	saves.Guard(ctx, keeper, layout, store, volume, …) // before blocks are written
//	head, body, ok, err := saves.Read(ctx, store, layout)
//	saves.Revert(ctx, store, layout, head, volumes)    // blocks as they were
//
// Not here: when a process is restarted and where (gmanagers/restart), what is in the bytes, and what pages go back to (mComponents).
// Called by sim/replay, live and in virtual time, and by sim/fuzz. No goroutines; a store is used by one at a time.
package saves
