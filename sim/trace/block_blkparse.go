package trace

import (
	"bytes"
	"io"
)

// blkparse reads what blkparse prints by default:
//
//	259,2    0        1     0.000000000  4020  Q   R 282624 + 8 [java]
//
// device, processor, sequence, seconds, process, action, RWBS, sector, sectors. Lines of other actions are passed over, and so is
// all from the first line that begins with no device: blkparse ends with a summary.
type blkparse struct {
	in *lineReader
	kernelRequests
	lines   bool // there was a line that is like the format
	summary bool // it has begun
	ended   bool
}

const wantBlkparse = "`major,minor cpu sequence seconds pid action RWBS sector + sectors [process]`"

func newBlkparse(in *input) (parser, error) {
	letter, _, err := in.action()
	return &blkparse{in: in.lines(), kernelRequests: kernelRequests{ordered: in.spec.newOrdered(), volumes: newVolumeTable("disk"), action: letter}}, err
}

func sniffBlkparse(h *head) bool {
	l := parseBlkparse(h.line())
	return l.like
}

func (p *blkparse) fill(b *Batch) error {
	for !p.drain(b, p.ended) {
		if p.ended {
			return io.EOF
		}
		line, err := p.in.next()
		if err == io.EOF {
			p.ended = true
			continue
		}
		if err != nil {
			return err
		}
		if err := p.line(line); err != nil {
			return err
		}
	}
	return nil
}

func (p *blkparse) line(line []byte) error {
	l := parseBlkparse(line)
	if !l.like {
		if p.lines && (len(line) == 0 || line[0]-'0' > 9 && line[0] != ' ') {
			p.summary = true
		}
		if p.summary || len(line) == 0 {
			return nil
		}
		return p.in.unlike(line, wantBlkparse)
	}
	p.lines, p.summary = true, false
	if l.action != p.action {
		return nil
	}
	f, ok := parseRWBS(l.rwbs)
	if !ok || !l.extent && (f.read || f.write) && !f.flush {
		return p.in.unlike(line, wantBlkparse)
	}
	length, ok := times(l.sectors, sectorBytes)
	if !ok {
		return p.in.errorf("%w", errTooFar)
	}
	volume, err := p.volumes.of(l.device)
	if err == nil {
		err = p.request(l.timeNs, volume, l.sector, length, f)
	}
	if err != nil {
		return p.in.errorf("%w", err)
	}
	return nil
}

// blkparseLine is what a line says.
type blkparseLine struct {
	like            bool
	device, rwbs    []byte
	timeNs          uint64
	action          byte // 0 = one of two letters
	sector, sectors uint64
	extent          bool // sector and sectors were there
}

func parseBlkparse(b []byte) (l blkparseLine) {
	start := blanksIf(b, 0)
	_, i := decBefore(b, start, ',')
	_, i = dec(b, i)
	end := i
	_, i = dec(b, blanksAt(b, i))
	_, i = dec(b, blanksAt(b, i))
	l.timeNs, i = decimalNs(b, blanksAt(b, i), 1e9)
	_, i = dec(b, blanksAt(b, i))
	action := blanksAt(b, i)
	rwbs := blanksAt(b, pastWord(b, action))
	i = pastWord(b, rwbs)
	if i < 0 {
		return l
	}
	l.like, l.device, l.rwbs = true, b[start:end], b[rwbs:i]
	if b[action+1] == ' ' {
		l.action = b[action]
	}
	sector, i := dec(b, blanksAt(b, i))
	if i = byteAt(b, blanksAt(b, i), '+'); i < 0 {
		return l
	}
	sectors, i := dec(b, blanksAt(b, i))
	if i >= 0 {
		l.sector, l.sectors, l.extent = sector, sectors, true
	}
	return l
}

// pastWord is the index behind the capital letters from i on.
func pastWord(b []byte, i int) int {
	if uint(i) >= uint(len(b)) || b[i]-'A' > 'Z'-'A' {
		return -1
	}
	for i < len(b) && b[i]-'A' <= 'Z'-'A' {
		i++
	}
	return i
}

// parseRWBS reads the letters of a request: F before W is a flush before it, F behind it a forced write (FUA).
func parseRWBS(b []byte) (f kernelFlags, ok bool) {
	for _, c := range b {
		switch c {
		case 'R':
			f.read = true
		case 'W':
			f.write = true
		case 'D', 'E':
			f.discard = true
		case 'F':
			if f.write {
				f.fua = true
			} else {
				f.flush = true
			}
		default:
			if bytes.IndexByte([]byte("NSAMVCUZB"), c) < 0 { // sync, ahead, metadata, verify and the like
				return f, false
			}
		}
	}
	return f, len(b) > 0
}
