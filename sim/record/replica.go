package record

import (
	"fmt"

	"splitkernel/mcomponent/erasure"
	"splitkernel/mcomponent/recovery"
	"splitkernel/mcomponent/replica"
)

func newPrimary(head []byte) (core, error) {
	h, err := headed[replica.PrimaryTapeHead](head)
	if err != nil {
		return nil, err
	}
	p, err := h.New()
	return newCalled(fmt.Sprintf("copies of the vRegions of %s", h.Node), p, err)
}

func newErasure(head []byte) (core, error) {
	h, err := headed[erasure.TapeHead](head)
	if err != nil {
		return nil, err
	}
	p, err := h.New()
	return newCalled(fmt.Sprintf("shares of the vRegions of %s", h.Node), p, err)
}

func newHolder(head []byte) (core, error) {
	h, err := headed[replica.HolderTapeHead](head)
	if err != nil {
		return nil, err
	}
	x, err := h.New()
	return newCalled(fmt.Sprintf("what %s holds for others", h.Node), x, err)
}

func newRecovery(head []byte, o *ExecuteOptions) (core, error) {
	h, err := headed[recovery.TapeHead](head)
	if err != nil {
		return nil, err
	}
	if err := o.memory.take(int64(min(h.Pages, 1<<62) / 8)); err != nil { // a bit of each page
		return nil, err
	}
	r, err := h.New()
	return newCalled(fmt.Sprintf("recovery of vRegion %d of process %d at %s under epoch %d", h.Req.Config.Region, h.Req.Config.PID, h.Req.Self, h.Req.Config.Epoch), r, err)
}
