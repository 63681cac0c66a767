package trace

// recordLayout is a binary format with one request a record of fixed size.
type recordLayout struct {
	bytes   int
	volumes func() []VolumeInfo
	clamp   bool
	writes  bool // the format tells reads from writes
	stated  []string
	// parse reads a record into a zero Event.
	parse func(r []byte, e *Event) error
}

// recordBlocks reads a recordLayout. It yields events only.
type recordBlocks struct {
	in     *recordReader
	layout recordLayout
	clock  clock
}

func newRecordBlocks(in *input, l recordLayout) *recordBlocks {
	return &recordBlocks{in: in.records(l.bytes), layout: l, clock: in.spec.newClock(l.clamp)}
}

func (p *recordBlocks) header(h *Header) {
	h.Granularity = 1
	h.HasWrites = p.layout.writes
	h.Volumes = p.layout.volumes()
	h.DefaultsStated = p.clock.stated(append([]string{defaultThread}, p.layout.stated...))
}

// oneDisk is the volume of a format that has none.
func oneDisk() []VolumeInfo { return []VolumeInfo{{Name: "disk"}} }

func (p *recordBlocks) fill(b *Batch) error {
	for !b.full() {
		records, err := p.in.next(MaxBlockEvents - len(b.Events))
		if err != nil {
			return err
		}
		size := p.layout.bytes
		n := len(records) / size
		for i := range n {
			b.Events = append(b.Events, Event{At: len(b.Refs)})
			if err := p.request(records[i*size:(i+1)*size], &b.Events[len(b.Events)-1]); err != nil {
				b.Events = b.Events[:len(b.Events)-1]
				err = p.in.bad(i, "%w", err)
				p.in.took(i + 1)
				return err
			}
		}
		p.in.took(n)
	}
	return nil
}

func (p *recordBlocks) request(record []byte, e *Event) (err error) {
	if err = p.layout.parse(record, e); err != nil {
		return err
	}
	if e.Offset+e.Length < e.Offset {
		return errTooFar
	}
	e.TimeNs, err = p.clock.at(e.TimeNs)
	return err
}
