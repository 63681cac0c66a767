package trace

import "io"

// ReadSoFar tells how many bytes of a trace's file were read, of how many, for who shows how far it is: packed bytes of a packed file,
// and a little ahead of the records that were handed out. Both are 0 where it is not known: of .skt, whose header has its totals, of
// generators, and of files that are not read from front to back.
func ReadSoFar(src Source) (done, total uint64) {
	if s, ok := src.(*stoppable); ok {
		src = s.Source
	}
	if m, ok := src.(*mapsSource); ok {
		src = m.src
	}
	s, ok := src.(*parsedSource)
	if !ok {
		return 0, 0
	}
	info, err := s.file.Stat()
	if err != nil {
		return 0, 0
	}
	if s.in.at != nil {
		return uint64(s.in.at()), uint64(info.Size())
	}
	at, err := s.file.Seek(0, io.SeekCurrent)
	if err != nil || at <= 0 || at > info.Size() {
		return 0, 0
	}
	return uint64(at), uint64(info.Size())
}

// RecordsOf is how many records traces will have had, of which done were read: what their headers say, or a guess from the part of
// their files that was read; 0 = unknown.
func RecordsOf(done uint64, traces ...Source) (total uint64) {
	var read, bytes uint64
	for _, src := range traces {
		h := src.Header()
		total += h.Refs + h.Maps + h.BlockOps
		r, b := ReadSoFar(src)
		read, bytes = read+r, bytes+b
		if h.Refs+h.Maps+h.BlockOps == 0 && b == 0 {
			return 0
		}
	}
	switch {
	case bytes == 0:
		return total
	case total > 0 || read == 0: // some tell the one, some the other
		return 0
	}
	return max(done, uint64(float64(done)*float64(bytes)/float64(read)))
}
