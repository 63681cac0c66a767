package trace

// Layouts of simulators of disks: five columns between blanks.

// diskSim is DiskSim's ascii: ms with a fraction, device, block, blocks, flags whose lowest bit says read.
var diskSim = lineLayout{
	want:   "`ms device block blocks flags`, ms with a fraction",
	prefix: "device",
	stated: []string{"volume: one a device", "block: 512 B unless unit says other"},
	parse: func(p *lineBlocks, line []byte, e *Event) error {
		const most = 1 << 16 // flags
		i := blanksIf(line, 0)
		start := i
		e.TimeNs, i = decimalNs(line, i, 1e6)
		if i < 0 || pastByte(line[:i], start, '.') < 0 {
			return errUnlike
		}
		flags, err := p.fiveColumns(line, i, e)
		if err != nil || flags >= most {
			return errOr(err, errUnlike)
		}
		e.Kind = readIf(flags&1 == 1)
		return nil
	},
}

// mqSim is MQSim's: whole ns, device, sector, sectors, 1 read or 0 write.
var mqSim = lineLayout{
	want:   "`ns device sector sectors 1|0`, 1 for a read",
	prefix: "device",
	stated: []string{"volume: one a device"},
	parse: func(p *lineBlocks, line []byte, e *Event) error {
		t, i := dec(line, blanksIf(line, 0))
		op, err := p.fiveColumns(line, i, e)
		if err != nil || op > 1 {
			return errOr(err, errUnlike)
		}
		var ok bool
		if e.TimeNs, ok = times(t, p.timeNs); !ok {
			return errUnlike
		}
		e.Kind = readIf(op == 1)
		return nil
	},
}

// fiveColumns reads device, sector, sectors and the last column, behind the time.
func (p *lineBlocks) fiveColumns(line []byte, i int, e *Event) (last uint64, err error) {
	i = blanksAt(line, i)
	start := i
	_, i = dec(line, i)
	end := i
	at, i := dec(line, blanksAt(line, i))
	n, i := dec(line, blanksAt(line, i))
	last, i = dec(line, blanksAt(line, i))
	if i < 0 || blanksIf(line, i) != len(line) {
		return 0, errUnlike
	}
	if err := e.sectors(at, n, p.spec.unitOr(sectorBytes)); err != nil {
		return 0, err
	}
	return last, p.volume(line[start:end], e)
}

// errOr is err, or other where there is none.
func errOr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}
