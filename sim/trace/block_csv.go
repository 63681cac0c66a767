package trace

import "math"

// Layouts of comma-separated traces. Where the letter of the operation stands tells most of them apart.

// msr is what the MSR Cambridge traces are written in: 100 ns ticks since 1601, host, disk, Read or Write, bytes, bytes, ticks.
var msr = lineLayout{
	want:    "`ticks,host,disk,Read|Write,offset,size,response`",
	columns: "Timestamp,Hostname,DiskNumber,Type,Offset,Size,ResponseTime",
	clamp:   true, // requests are logged when they end
	stated:  []string{"volume: one a host and disk"},
	parse: func(p *lineBlocks, line []byte, e *Event) error {
		ticks, i := decBefore(line, 0, ',')
		host := i
		i = pastByte(line, i, ',')
		_, i = decBefore(line, i, ',')
		end := i - 1
		switch {
		case i > 0 && len(line) > i+5 && string(line[i:i+5]) == "Read,":
			e.Kind = BlockRead
			i += 5
		case i > 0 && len(line) > i+6 && string(line[i:i+6]) == "Write,":
			e.Kind = BlockWrite
			i += 6
		default:
			return errUnlike
		}
		e.Offset, i = decBefore(line, i, ',')
		e.Length, i = decBefore(line, i, ',')
		if _, i = dec(line, i); i != len(line) || ticks > math.MaxUint64/100 {
			return errUnlike
		}
		e.TimeNs = ticks * 100
		return p.volume(line[host:end], e)
	},
}

// volume sets the volume of e.
func (p *lineBlocks) volume(key []byte, e *Event) (err error) {
	e.Volume, err = p.volumes.of(key)
	return err
}

// spc is the format of the Storage Performance Council that the UMass repository has: unit, block, bytes, r or w, seconds, and
// columns that may follow.
var spc = lineLayout{
	want:   "`ASU,LBA,bytes,r|w,seconds`",
	prefix: "asu",
	stated: []string{"volume: one an ASU", "LBA: blocks of 512 B unless unit says other"},
	parse: func(p *lineBlocks, line []byte, e *Event) error {
		_, i := decBefore(line, 0, ',')
		end := i - 1
		lba, i := decBefore(line, i, ',')
		bytes, i := decBefore(line, i, ',')
		e.Kind, i = opAt(line, i, ',')
		e.TimeNs, i = decimalNs(line, i, 1e9)
		if i < 0 || i < len(line) && line[i] != ',' {
			return errUnlike
		}
		if err := e.sectors(lba, 0, p.spec.unitOr(sectorBytes)); err != nil {
			return err
		}
		e.Length = bytes
		return p.volume(line[:end], e)
	},
}

// alibaba is the block trace of 2020.
var alibaba = lineLayout{
	want:    "`device,R|W,offset,length,µs`",
	columns: "device_id,opcode,offset,length,timestamp",
	prefix:  "device",
	stated:  []string{"volume: one a device"},
	parse: func(p *lineBlocks, line []byte, e *Event) error {
		_, i := decBefore(line, 0, ',')
		end := i - 1
		e.Kind, i = opAt(line, i, ',')
		e.Offset, i = decBefore(line, i, ',')
		e.Length, i = decBefore(line, i, ',')
		if e.TimeNs, i = decimalNs(line, i, 1e3); i != len(line) {
			return errUnlike
		}
		return p.volume(line[:end], e)
	},
}

// tencent is the trace of Cloud Block Storage of 2018: seconds since 1970, sectors, 0 read, 1 write. It has numbers only, so a time
// is demanded that such a trace can have.
var tencent = lineLayout{
	want:    "`seconds,sector,sectors,0|1,volume` with seconds since 1970",
	columns: "Timestamp,Offset,Size,IOType,VolumeID",
	prefix:  "volume",
	stated:  []string{"volume: one a volume id", "time: whole seconds"},
	parse: func(p *lineBlocks, line []byte, e *Event) error {
		const since = 1e9 // 2001
		s, i := decBefore(line, 0, ',')
		at, i := decBefore(line, i, ',')
		n, i := decBefore(line, i, ',')
		op, i := decBefore(line, i, ',')
		volume := i
		if _, i = dec(line, i); i != len(line) || op > 1 || s < since || s > 4*since {
			return errUnlike
		}
		e.TimeNs, e.Kind = s*1e9, readIf(op == 0)
		if err := e.sectors(at, n, sectorBytes); err != nil {
			return err
		}
		return p.volume(line[volume:], e)
	},
}

// systor is what the traces of SYSTOR '17 are written in: seconds since 1970, seconds, R, W or nothing, LUN, bytes, bytes.
var systor = lineLayout{
	want:    "`seconds,response,R|W|,LUN,offset,size`",
	columns: "Timestamp,Response,IOType,LUN,Offset,Size",
	prefix:  "lun",
	clamp:   true, // requests are logged when they end
	stated:  []string{"volume: one a LUN"},
	parse: func(p *lineBlocks, line []byte, e *Event) error {
		var i int
		e.TimeNs, i = decimalNs(line, 0, 1e9)
		i = pastByte(line, byteAt(line, i, ','), ',') // the response may be empty
		leftOut := byteAt(line, i, ',') >= 0          // blank: no answer was seen, and what was asked is not said
		if leftOut {
			i++
		} else {
			e.Kind, i = opAt(line, i, ',')
		}
		lun := i
		_, i = decBefore(line, i, ',')
		end := i - 1
		e.Offset, i = decBefore(line, i, ',')
		if e.Length, i = dec(line, i); i != len(line) {
			return errUnlike
		}
		if leftOut {
			return errLeftOut
		}
		return p.volume(line[lun:end], e)
	},
}

// k5cloud is Fujitsu's cloud: volume, seconds since the first request, R or W, bytes, bytes.
var k5cloud = lineLayout{
	want:   "`volume,seconds,R|W,offset,length`",
	prefix: "volume",
	stated: []string{"volume: one a volume id"},
	parse: func(p *lineBlocks, line []byte, e *Event) error {
		_, i := decBefore(line, 0, ',')
		end := i - 1
		e.TimeNs, i = decimalNs(line, i, 1e9)
		e.Kind, i = opAt(line, byteAt(line, i, ','), ',')
		e.Offset, i = decBefore(line, i, ',')
		if e.Length, i = dec(line, i); i != len(line) {
			return errUnlike
		}
		return p.volume(line[:end], e)
	},
}

// replayer is what the replayer of FEMU's author takes: ms, disk (not used there), bytes, bytes, 1 read or 0 write.
var replayer = lineLayout{
	want:   "`ms,disk,offset,bytes,1|0`, 1 for a read",
	prefix: "disk",
	stated: []string{"volume: one a disk"},
	parse: func(p *lineBlocks, line []byte, e *Event) error {
		var i int
		e.TimeNs, i = decimalNs(line, 0, 1e6)
		disk := byteAt(line, i, ',')
		_, i = decBefore(line, disk, ',')
		end := i - 1
		e.Offset, i = decBefore(line, i, ',')
		e.Length, i = decBefore(line, i, ',')
		op, i := dec(line, i)
		if i != len(line) || op > 1 {
			return errUnlike
		}
		e.Kind = readIf(op == 1)
		return p.volume(line[disk:end], e)
	},
}
