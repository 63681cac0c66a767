package migrate

import "splitkernel/netlayer/wire"

// Taker is the side that a volume comes to. Use one goroutine at a time; Copy also says what may run beside what.
type Taker struct {
	move     wire.MoveID
	volume   wire.VolumeID
	epoch    wire.Epoch
	round    uint32
	complete bool
}

// Take makes the taker of a volume that comes.
func Take(req wire.VolumeCopyOpenReq) *Taker {
	return &Taker{move: req.Move, volume: req.Volume, epoch: req.Epoch}
}

// Kept makes the taker of a volume that was complete before a restart.
func Kept(ref wire.VolumeMoveRef) *Taker {
	return &Taker{move: ref.Move, volume: ref.Volume, epoch: ref.Epoch, complete: true}
}

// Ref names the move.
func (t *Taker) Ref() wire.VolumeMoveRef {
	return wire.VolumeMoveRef{Move: t.move, Volume: t.volume, Epoch: t.epoch}
}

// Complete reports whether everything came: then it is kept until the giver says what becomes of it.
func (t *Taker) Complete() bool { return t.complete }

// Check refuses messages of another move.
func (t *Taker) Check(m wire.MoveID) error {
	if m != t.move {
		return wire.Errorf(wire.KindStale, "volume %d comes with move %d of %v, not with move %d of %v", t.volume, t.move.No, t.move.Manager, m.No, m.Manager)
	}
	return nil
}

// Newer reports whether a round begins with a message: then those of the rounds before must have ended.
func (t *Taker) Newer(round uint32) bool { return round > t.round }

// Copy admits blocks of a round. A late duplicate of an older round must not land on what came since.
func (t *Taker) Copy(m wire.MoveID, round uint32) error {
	switch err := t.Check(m); {
	case err != nil:
		return err
	case round < t.round:
		return wire.Errorf(wire.KindStale, "volume %d: blocks of round %d came in round %d", t.volume, round, t.round)
	case t.complete:
		return wire.Errorf(wire.KindStale, "volume %d: blocks of round %d came after the last round had ended", t.volume, round)
	}
	t.round = round
	return nil
}

// End admits the end of a round. again says that this was the last and is done already.
func (t *Taker) End(m wire.MoveID, round uint32, last bool) (again bool, err error) {
	if err := t.Check(m); err != nil {
		return false, err
	}
	switch {
	case t.complete && last:
		return true, nil
	case t.complete || round < t.round:
		return false, wire.Errorf(wire.KindStale, "volume %d: the end of round %d came in round %d", t.volume, round, t.round)
	}
	t.round = round
	return false, nil
}

// Ended says that the last round is durable here.
func (t *Taker) Ended() { t.complete = true }

// Serve admits the order to serve.
func (t *Taker) Serve(ref wire.VolumeMoveRef) error {
	if err := t.Check(ref.Move); err != nil {
		return err
	}
	if !t.complete {
		return wire.Errorf(wire.KindNotFound, "volume %d has not come completely", t.volume)
	}
	return nil
}
