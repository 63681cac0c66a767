package record

import (
	"fmt"

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
