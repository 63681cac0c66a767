package record

import (
	"fmt"

	"splitkernel/scomponent/iosched"
	volumemove "splitkernel/scomponent/migrate"
	quorum "splitkernel/scomponent/replica"
	"splitkernel/scomponent/volume"
)

// The cores of an sComponent: each volume, the order of its flushes, and its moves.

// blocksPerByte is how many blocks a byte stands for in the two sets of a move.
const blocksPerByte = 4

func newVolume(head []byte, o *ExecuteOptions) (core, error) {
	h, err := headed[volume.TapeHead](head)
	if err != nil {
		return nil, err
	}
	v, err := h.New(o.memory.take)
	return newCalled(fmt.Sprintf("volume %d of %s", h.Meta.ID, h.Node), v, err)
}

func newIOSched(head []byte) (core, error) {
	h, err := headed[iosched.TapeHead](head)
	if err != nil {
		return nil, err
	}
	s, err := h.New()
	return newCalled(fmt.Sprintf("flushes of volume %d of %s", h.Volume, h.Node), s, err)
}

func newReplicas(head []byte) (core, error) {
	h, err := headed[quorum.TapeHead](head)
	if err != nil {
		return nil, err
	}
	g, err := h.New()
	return newCalled(fmt.Sprintf("copies of volume %d at %s", h.Attach.Volume, h.Node), g, err)
}

func newVolumeGiver(head []byte, o *ExecuteOptions) (core, error) {
	h, err := headed[volumemove.GiverHead](head)
	if err != nil {
		return nil, err
	}
	if err := o.memory.take(int64(min(h.Blocks, 1<<40) / blocksPerByte)); err != nil {
		return nil, err
	}
	g, err := h.New()
	return newCalled(fmt.Sprintf("move %d of volume %d from %s", h.Req.Move.No, h.Req.Volume, h.Node), g, err)
}

func newVolumeTaker(head []byte) (core, error) {
	h, err := headed[volumemove.TakerHead](head)
	if err != nil {
		return nil, err
	}
	return newCalled(fmt.Sprintf("move %d of volume %d to %s", h.Ref.Move.No, h.Ref.Volume, h.Node), h.New(), nil)
}
