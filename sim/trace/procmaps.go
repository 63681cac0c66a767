package trace

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// procMap is a mapped range of a process, as /proc/PID/maps tells it.
type procMap struct {
	span
	writable, shared, anon bool
	name                   string
}

// readProcMaps reads /proc/PID/maps, and keeps what the program can touch and the kernel does not own.
func readProcMaps(text string) (list []procMap, err error) {
	n := 0
	for line := range strings.Lines(text) {
		n++
		f := strings.Fields(line)
		lo, hi, ok := strings.Cut(line, "-")
		hi, _, ok2 := strings.Cut(hi, " ")
		if !ok || !ok2 || len(f) < 5 || len(f[1]) != 4 {
			return nil, fmt.Errorf("maps of the program: line %d: %q, expected `from-to permissions offset device inode path`", n, clip(line))
		}
		m := procMap{writable: f[1][1] == 'w', shared: f[1][3] == 's', anon: len(f) < 6 || f[5][0] == '[', name: anonName}
		var errLo, errHi error
		m.lo, errLo = strconv.ParseUint(lo, 16, 64)
		m.hi, errHi = strconv.ParseUint(hi, 16, 64)
		if errLo != nil || errHi != nil || m.lo >= m.hi || m.lo%PageBytes+m.hi%PageBytes != 0 {
			return nil, fmt.Errorf("maps of the program: line %d: %q, expected a range of pages", n, f[0])
		}
		if len(f) > 5 {
			m.name = baseName(f[5])
		}
		if f[1][0] != 'r' && !m.writable || strings.HasPrefix(m.name, "[v") { // reserved; vdso, vvar, vsyscall
			continue
		}
		list = append(list, m)
	}
	return list, nil
}

// remap records what was mapped and unmapped since the last sample.
func (s *pageSampler) remap(maps []procMap) error {
	var old, next coverage
	for _, m := range s.maps {
		old.add(m.lo, m.hi)
	}
	for _, m := range maps {
		next.add(m.lo, m.hi)
	}
	for _, m := range s.maps {
		for _, gone := range next.without(m.lo, m.hi, nil) {
			if err := s.w.Event(Event{Kind: Munmap, Addr: gone.lo, Len: gone.hi - gone.lo}); err != nil {
				return err
			}
		}
	}
	for _, m := range maps {
		for _, fresh := range old.without(m.lo, m.hi, nil) {
			e := Event{Kind: Mmap, Addr: fresh.lo, Len: fresh.hi - fresh.lo, Anon: m.anon, Writable: m.writable, Name: m.name}
			if err := s.w.Event(e); err != nil {
				return err
			}
		}
	}
	s.maps = maps
	return nil
}

// measure compares, in one of ten intervals, what is recorded with what the kernel says was touched.
func (s *pageSampler) measure() {
	if s.measured {
		if pages, ok := referenced(s.pid); ok && pages > 0 {
			s.touched += pages
			s.recorded += min(uint64(len(s.found)), pages)
		}
		s.measured = false
	}
	if s.samples%seenEvery == 2 {
		s.measured = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.pid), []byte("1"), 0) == nil
	}
}

// referenced is how many pages of a process have their accessed bit set.
func referenced(pid int) (pages uint64, ok bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, false
	}
	_, rest, found := strings.Cut(string(text), "\nReferenced:")
	f := strings.Fields(rest)
	if !found || len(f) == 0 {
		return 0, false
	}
	kib, err := strconv.ParseUint(f[0], 10, 64)
	return kib >> (PageShift - 10), err == nil
}

// seen says how much of what happened is in the trace.
func (s *pageSampler) seen(ran time.Duration) string {
	text := fmt.Sprintf("sampling: %d samples in %v, at most %v apart", s.samples, ran.Round(time.Millisecond), s.longest.Round(time.Millisecond))
	if s.touched > 0 {
		text += fmt.Sprintf("; of %d pages that the kernel says were touched in the intervals where it was asked, %.0f %% are recorded, the others were only read", s.touched, 100*float64(s.recorded)/float64(s.touched))
	}
	if s.unwatched > 0 {
		text += fmt.Sprintf("; %d KiB of memory could not be watched for writes", s.unwatched>>10)
	}
	return text
}
