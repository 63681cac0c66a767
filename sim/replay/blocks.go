package replay

import (
	"fmt"

	"splitkernel/netlayer/wire"
	"splitkernel/sim/trace"
)

// block makes a block request. Requests are rounded outwards to sectors, since a sector carries one stamp; a long one is
// made in parts of MaxRequestBytes.
func (j *player) block(e *trace.Event) error {
	if int(e.Volume) >= len(j.volumes) {
		return fmt.Errorf("volume %d: %w", e.Volume, errNoVolume)
	}
	v := j.volumes[e.Volume]
	if e.Kind == trace.BlockWrite && e.Length > 0 {
		if err := j.guard(e.Volume, e.Offset&^(wire.SectorSize-1), e.Offset+e.Length); err != nil {
			return j.corrupt(err)
		}
	}
	defer func() {
		if j.requests.Add(1); j.progress != nil {
			j.progress(1)
		}
	}()
	if e.Kind == trace.BlockFlush {
		j.blocks.flushes++
		return j.corrupt(v.Flush(j.ctx))
	}
	if e.Length == 0 {
		return nil
	}
	start := e.Offset &^ (wire.SectorSize - 1)
	end := (e.Offset + e.Length + wire.SectorSize - 1) &^ (wire.SectorSize - 1)
	if e.Kind == trace.BlockRead {
		j.blocks.reads++
		j.blocks.readBytes += e.Length
	} else {
		j.blocks.writes++
		j.blocks.writeBytes += e.Length
	}
	for at := start; at < end; {
		b := v.buf[:min(end-at, MaxRequestBytes)]
		if e.Kind == trace.BlockRead {
			clear(b) // what is checked is what came, not what an earlier request left here
			if err := v.Read(j.ctx, at, b); err != nil {
				return j.corrupt(err)
			}
			j.blocks.sectors += uint64(len(b) / wire.SectorSize)
			if d := v.sectors.Verify(at, b); d != "" {
				j.wrongSector(d)
			}
		} else {
			v.sectors.Stamp(at, b)
			if err := v.Write(j.ctx, at, b); err != nil {
				return j.corrupt(err)
			}
		}
		at += uint64(len(b))
	}
	return nil
}

// corrupt counts a block whose checksum did not fit where it crossed a process or a disk, and gives the error back.
func (j *player) corrupt(err error) error {
	if wire.KindOf(err) == wire.KindCorrupt {
		j.wrongSector(err.Error())
	}
	return err
}

func (j *player) wrongSector(what string) {
	j.sawWrong()
	j.log.Error("wrong sector", "what", what)
	if len(j.shown) < IntegrityShown {
		j.shown = append(j.shown, j.spec.Name+": "+what)
	}
}
