package wire

// DropReq tells a component to drop one thing that no vNode has there by the books of the manager that asks: what was left when
// its process ended, or moved away, while the component was stopped or out of reach. What is not there, or was, is no error.
type DropReq struct {
	Kind   MoveKind // what is dropped
	PID    PID      // of a vRegion, home or process
	Region RegionNo // of a vRegion
	Volume VolumeID // of a volume or buffer cache
	UpTo   Epoch    // what is there under a newer one is refused as stale and stays
	Member Epoch    // of the component's membership; another is refused as stale
	Text   string   // why
	Lost   bool     // nobody has it any more: who waits for it fails
}

// Why is the error for those who wait for what is dropped: they ask who has it, unless nobody has.
func (q *DropReq) Why() *Error {
	k := KindNotOwner
	if q.Lost {
		k = KindFailed
	}
	return Errorf(k, "vRegion %d of process %d is not here any more: %s", q.Region, q.PID, q.Text)
}
