// Package cachemove decides how the buffer cache of a volume moves from one mComponent to another while it is used. Only its
// giver needs a core: no blocks are sent, because what is dirty is written back and flushed to the sComponent, and the taker begins
// with an attach. It is a pure core: no goroutines, no locks, no clock; package mcomponent performs the steps.
//
//	out := g.Start(now, nil)
//	for _, e := range out {
//		switch e.Step {            // after a pause of e.After
//		case cachemove.Clean:      // write back and flush while serving; report with Cleaned how many blocks are dirty again
//		case cachemove.Freeze:     // refuse requests as busy, write back and flush the rest, wait until nothing is under way
//		case cachemove.Attach:     // volume_attach at the taker, which attaches at the sComponent under Epoch
//		case cachemove.Tell:       // cache_switch to the pComponent
//		case cachemove.Leave:      // forget the volume; requests are answered not owner
//		case cachemove.Reattach:   // attach here at the sComponent under UndoEpoch
//		case cachemove.Thaw:       // serve again, under e.Epoch
//		case cachemove.Detach:     // volume_detach at the taker
//		case cachemove.Lose:       // requests are answered failed
//		case cachemove.Ended:      // nothing more comes
//		}
//		out = g.Done(now, e.ID, err, out)
//	}
//
// The sComponent decides who may serve: it refuses whatever comes under an older epoch than it has seen. The pComponent hears of
// the taker only when that has attached, and the giver has nothing that is not flushed by then. So until somebody told the
// pComponent, the giver may take the volume back by attaching under UndoEpoch: nobody wrote at the taker, and nothing is lost.
// The pComponent, which was told nothing, goes on under the epoch that it knows. Once it may have heard, the giver goes on telling it,
// until it answers or is given up as dead: then the taker serves whoever comes.
package cachemove
