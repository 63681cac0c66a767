package fuzz

import (
	"fmt"

	"splitkernel/netlayer/wire"
	"splitkernel/sim/vcluster"
)

// owned is what has one owner at a time.
type owned struct {
	thing  wire.MoveKind
	pid    wire.PID
	region wire.RegionNo
	volume wire.VolumeID
}

// owner is who served it last.
type owner struct {
	node  wire.NodeID
	epoch wire.Epoch
}

// law5 holds that nobody serves what another has served under a later epoch, nor two under one.
type law5 struct {
	last   map[owned]owner
	recent owned // most pages of a burst are of one vRegion
	at     owner
}

// served takes down that something was served; it says what is wrong with it.
func (l *law5) served(s *vcluster.Served) error {
	k, now := owned{s.Thing, s.PID, s.Region, s.Volume}, owner{s.Node, s.Epoch}
	if k == l.recent && now == l.at {
		return nil
	}
	was, known := l.last[k]
	l.last[k], l.recent, l.at = now, k, now
	switch {
	case !known || now.epoch > was.epoch || now == was:
		return nil
	case now.epoch == was.epoch:
		return fmt.Errorf("%v of %+v: %s serves it under epoch %d, and so did %s", s.Thing, k, now.node, now.epoch, was.node)
	}
	return fmt.Errorf("%v of %+v: %s serves it under epoch %d after %s did under epoch %d", s.Thing, k, now.node, now.epoch, was.node, was.epoch)
}
