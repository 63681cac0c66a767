package record

import (
	"fmt"

	"splitkernel/pcomponent/checkpoint"
	"splitkernel/pcomponent/handover"
)

// The cores of the moves of processes.

func newProcessGiver(head []byte) (core, error) {
	h, err := headed[handover.GiverHead](head)
	if err != nil {
		return nil, err
	}
	return newCalled(fmt.Sprintf("move %d of process %d from %s", h.Req.Move.No, h.Req.PID, h.Node), h.New(), nil)
}

func newProcessTaker(head []byte) (core, error) {
	h, err := headed[handover.TakerHead](head)
	if err != nil {
		return nil, err
	}
	return newCalled(fmt.Sprintf("move %d of process %d to %s", h.Move.No, h.PID, h.Node), h.New(), nil)
}

// The cores of checkpoints.

func newKeeper(head []byte) (core, error) {
	h, err := headed[checkpoint.KeeperHead](head)
	if err != nil {
		return nil, err
	}
	k, err := h.New()
	if err != nil {
		return nil, err
	}
	return newCalled(fmt.Sprintf("checkpoints of process %d at %s", h.PID, h.Node), k, nil)
}

func newRestorer(head []byte) (core, error) {
	h, err := headed[checkpoint.RestorerHead](head)
	if err != nil {
		return nil, err
	}
	return newCalled(fmt.Sprintf("restart of process %d at %s under epoch %d", h.PID, h.Node, h.Epoch), h.New(), nil)
}
