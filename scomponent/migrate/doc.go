// Package migrate decides how a volume moves from one sComponent to another while it is used. Giver is the side that holds
// the volume and drives the move; Taker is the other. Both are pure cores: no goroutines, no locks, no clock, no files and
// no bytes of blocks; package scomponent sends, reads, writes and syncs as they say.
//
//	out := g.Start(now, nil)
//	for _, e := range out {
//		switch e.Step {         // after a pause of e.After
//		case migrate.Open:      // volume_copy_open
//		case migrate.Copy:      // volume_copy of e.Blocks in round e.Round
//		case migrate.Sync:      // volume_copy_end of round e.Round
//		case migrate.Freeze:    // requests are refused as busy from now on, and those that run have ended
//		case migrate.Finish:    // volume_copy_end, the last, with what is known beside the blocks
//		case migrate.Note:      // e.Mark becomes durable
//		case migrate.Switch:    // volume_switch: the volume is at the taker under Epoch
//		case migrate.Serve:     // volume_serve
//		case migrate.Retire:    // the files go, requests are answered not found
//		case migrate.Recall:    // volume_switch: the volume is here under UndoEpoch
//		case migrate.Thaw:      // the note goes, requests are served again, under e.Epoch
//		case migrate.Drop:      // volume_drop
//		case migrate.Fail:      // requests are answered failed
//		case migrate.Ended:     // nothing more comes
//		}
//		out = g.Done(now, e.ID, err, out)
//	}
//	… and for every write that was admitted: g.Wrote(block), before its bytes change
//
// A volume is durable at both ends, so a move survives the restart of either. Before anybody hears of the new epoch the
// giver notes durably that it gives the volume away; a giver that starts with the note refuses requests and goes on with
// Resume where it may have stopped: every step may be repeated. A taker that holds everything notes that durably too, keeps it over
// a restart without serving it, and drops it only when its giver says so. So at any time at most one of the two may serve, and
// as long as no disk is lost one of them will.
package migrate
