package check

import (
	"encoding/binary"
	"fmt"
)

// Export appends the versions of all pages to b, for a process that goes elsewhere: for each chunk that has any its number,
// then its versions, all as varints. Versions of 0 come as runs.
func (p *Pages) Export(b []byte) []byte {
	for _, k := range p.keysIn(0, ^uint64(0)) {
		c := p.chunks[k]
		if c.versions == [chunkPages]uint64{} {
			continue
		}
		b = binary.AppendUvarint(b, k)
		for i := 0; i < chunkPages; i++ {
			v := c.versions[i]
			b = binary.AppendUvarint(b, v)
			if v != 0 {
				continue
			}
			run := uint64(0)
			for i+1 < chunkPages && c.versions[i+1] == 0 {
				i++
				run++
			}
			b = binary.AppendUvarint(b, run)
		}
	}
	return b
}

// Import takes over what Export gave. The table must be empty.
func (p *Pages) Import(b []byte) error {
	at := 0
	next := func() (uint64, error) {
		v, n := binary.Uvarint(b[at:])
		if n <= 0 {
			return 0, fmt.Errorf("the versions of pages end or are damaged at byte %d of %d", at, len(b))
		}
		at += n
		return v, nil
	}
	last := -1
	for at < len(b) {
		k, err := next()
		if err != nil {
			return err
		}
		if int(k) <= last || k > ^uint64(0)/chunkPages {
			return fmt.Errorf("the versions of pages: chunk %d is out of order", k)
		}
		last = int(k)
		c := &chunk{key: k + 1}
		for i := 0; i < chunkPages; i++ {
			v, err := next()
			if err != nil {
				return err
			}
			c.versions[i] = v
			if v != 0 {
				continue
			}
			run, err := next()
			if err != nil {
				return err
			}
			if run > uint64(chunkPages-1-i) {
				return fmt.Errorf("the versions of pages: a run of %d in chunk %d", run, k)
			}
			i += int(run)
		}
		p.chunks[k] = c
	}
	return nil
}

// Export appends the versions of all sectors to b.
func (s *Sectors) Export(b []byte) []byte { return s.pages.Export(b) }

// Import takes over what Export gave. The table must be empty.
func (s *Sectors) Import(b []byte) error { return s.pages.Import(b) }
