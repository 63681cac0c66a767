package saves

import (
	"context"

	"splitkernel/netlayer/wire"
	"splitkernel/sim/vcluster"
	"splitkernel/sim/vtime"
)

// Whole is a volume whose sectors keep all their bytes, though the model has 16 of each: a sector's stamp names its bytes, which lie beside.
// What is lost, torn or old in the model is so here.
type Whole struct {
	Volume *vcluster.Volume
	Proc   func() *vtime.Proc // that uses it
	Beside *Contents
}

// Contents are what sectors of a volume held last, by number: as many as may be read still. The one before may be, if a write is lost.
type Contents struct {
	sectors map[uint64][]content
	next    uint64
}

type content struct {
	name  uint64
	bytes [wire.SectorSize]byte
}

// versionsKept is how many writes back a sector may be read.
const versionsKept = 4

func (w Whole) Write(_ context.Context, offset uint64, b []byte) error {
	stamps := make([]byte, len(b))
	for i := 0; i < len(b); i += wire.SectorSize {
		n := (offset + uint64(i)) / wire.SectorSize
		w.Beside.next++
		c := content{name: w.Beside.next}
		copy(c.bytes[:], b[i:])
		if w.Beside.sectors == nil {
			w.Beside.sectors = map[uint64][]content{}
		}
		old := w.Beside.sectors[n]
		if len(old) >= versionsKept {
			old = append(old[:0], old[1:]...)
		}
		w.Beside.sectors[n] = append(old, c)
		putNumber(stamps[i:], n+1)
		putNumber(stamps[i+8:], c.name)
	}
	return w.Volume.Write(w.Proc(), offset, stamps)
}

func (w Whole) Read(_ context.Context, offset uint64, b []byte) error {
	clear(b)
	if err := w.Volume.Read(w.Proc(), offset, b); err != nil {
		return err
	}
	for i := 0; i < len(b); i += wire.SectorSize {
		n, name := (offset+uint64(i))/wire.SectorSize, number(b[i+8:])
		if at := number(b[i:]); at == 0 && name == 0 {
			continue // never written
		} else if at != n+1 {
			return wire.Errorf(wire.KindCorrupt, "sector %d of a checkpoint volume holds that of %d", n, at-1)
		}
		found := false
		for _, c := range w.Beside.sectors[n] {
			if found = c.name == name; found {
				copy(b[i:i+wire.SectorSize], c.bytes[:])
				break
			}
		}
		if !found {
			return wire.Errorf(wire.KindCorrupt, "sector %d of a checkpoint volume holds what was overwritten %d writes ago", n, versionsKept)
		}
	}
	return nil
}

func (w Whole) Flush(context.Context) error { return w.Volume.Flush(w.Proc()) }

func putNumber(b []byte, n uint64) {
	for i := range 8 {
		b[i] = byte(n >> (8 * i))
	}
}

func number(b []byte) (n uint64) {
	for i := range 8 {
		n |= uint64(b[i]) << (8 * i)
	}
	return n
}
