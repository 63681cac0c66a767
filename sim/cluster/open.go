package cluster

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"splitkernel/sim/generate/arrivals"
	"splitkernel/sim/tasks"
	"splitkernel/sim/trace"
	"splitkernel/sim/unpack"
)

const (
	// MaxFiles bounds the files of a trace.
	MaxFiles = 1 << 16
	// MaxInstances is the most tasks that one line may stand for.
	MaxInstances = 1 << 20
	// MaxNames bounds the names that a reader has to remember: of machines, or of tasks that run.
	MaxNames   = 1 << 24
	sniffBytes = 4 << 10
)

// beginning is the time of what was there before the trace; it becomes 0.
const beginning time.Duration = math.MinInt64

// Header is what there is to say of a trace.
type Header struct {
	Formats    []string
	Unverified []string // of them, those without a real sample at hand
	Units      tasks.Units
	Assumed    []string
	Bad        uint64 // records left out
	FirstBad   string
}

func (h *Header) assume(f string, args ...any) {
	h.Assumed = append(h.Assumed, fmt.Sprintf(f, args...))
}

// counted says of how many records something was assumed, if of any.
func (h *Header) counted(n uint64, f string) {
	if n > 0 {
		h.assume(f, n)
	}
}

// Source is a trace that is open.
type Source struct {
	groups []*groupSource
	made   *arrivals.Generator // instead of groups
	begun  bool
	first  time.Duration
}

// Open opens the files and folders of one trace, or one generator. The spec is as in ParseSpec; "" recognises.
func Open(paths []string, text string) (*Source, error) {
	spec, err := ParseSpec(text)
	if err != nil {
		return nil, err
	}
	if len(paths) == 1 && arrivals.Is(paths[0]) {
		s, err := arrivals.Parse(paths[0])
		if err != nil {
			return nil, err
		}
		return &Source{made: arrivals.New(s)}, nil
	}
	files, err := expand(paths)
	if err != nil {
		return nil, err
	}
	var groups []*group
	var used []format
	for _, f := range files {
		ft, err := recognise(f, spec)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(groups, func(g *group) bool { return g.format.name == ft.name })
		if i < 0 {
			i = len(groups)
			groups = append(groups, &group{format: ft, spec: spec, number: uint64(i)})
			used = append(used, ft)
		}
		groups[i].paths = append(groups[i].paths, f)
	}
	if err := spec.check(used); err != nil {
		return nil, fmt.Errorf("--format: %w", err)
	}
	s := &Source{}
	for _, g := range join(groups) {
		p, err := g.format.open(g)
		if err != nil {
			s.Close()
			return nil, err
		}
		s.groups = append(s.groups, &groupSource{group: g, parser: p})
	}
	return s, nil
}

// join tells groups of each other, and puts those that go by the names of another behind all others.
func join(groups []*group) (sorted []*group) {
	for _, g := range groups {
		g.beside = len(groups) > 1
		if i := slices.IndexFunc(groups, func(o *group) bool { return o.format.name == g.format.joins }); i >= 0 {
			g.with = groups[i]
			g.with.wanted = true
		}
	}
	for _, g := range groups {
		if g.with == nil {
			sorted = append(sorted, g)
		}
	}
	for _, g := range groups {
		if g.with != nil {
			sorted = append(sorted, g)
		}
	}
	return sorted
}

// expand lists the files, those of folders by name.
func expand(paths []string) (files []string, err error) {
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			return nil, fmt.Errorf("cannot read a cluster trace: %w", err)
		}
		if !info.IsDir() {
			if !info.Mode().IsRegular() {
				return nil, fmt.Errorf("%s: want a cluster trace in a regular file or a folder", p)
			}
			files = append(files, p)
			continue
		}
		entries, err := os.ReadDir(p)
		if err != nil {
			return nil, fmt.Errorf("cannot read a cluster trace: %w", err)
		}
		for _, e := range entries {
			if e.Type().IsRegular() && !strings.HasPrefix(e.Name(), ".") {
				files = append(files, filepath.Join(p, e.Name()))
			}
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s: no file in it, expected a cluster trace", strings.Join(paths, ", "))
	}
	if len(files) > MaxFiles {
		return nil, fmt.Errorf("%s: %d files, at most %d", strings.Join(paths, ", "), len(files), MaxFiles)
	}
	return files, nil
}

// recognise finds the format of a file, or takes the named one.
func recognise(path string, spec Spec) (format, error) {
	f, err := os.Open(path)
	if err != nil {
		return format{}, fmt.Errorf("cannot read a cluster trace: %w", err)
	}
	defer f.Close()
	in, err := unpack.Open(path, f)
	if err != nil {
		return format{}, err
	}
	defer in.Close()
	start, err := in.Peek(sniffBytes)
	if err != nil && err != io.EOF {
		return format{}, fmt.Errorf("%s: line 1: %w", path, err)
	}
	if len(start) == 0 {
		return format{}, fmt.Errorf("%s: the file is empty, expected a cluster trace (%s)", path, strings.Join(Formats(), ", "))
	}
	h := &head{path: path, start: start}
	for line := range strings.Lines(string(start)) {
		line = strings.TrimPrefix(strings.TrimRight(line, "\r\n"), "\ufeff")
		if line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
			continue
		}
		if h.first == "" {
			h.first, h.fields = line, strings.Split(line, ",")
			continue
		}
		h.second = strings.Split(line, ",")
		break
	}
	for _, ft := range formats() {
		if ft.name == spec.Name || spec.Name == "" && ft.sniff != nil && ft.sniff(h) {
			return ft, nil
		}
	}
	first := h.first
	if len(first) > 60 {
		first = first[:60] + "…"
	}
	return format{}, fmt.Errorf("%s: %q is the first line of no cluster trace format known; name one with --format (%s)", path, first, strings.Join(Formats(), ", "))
}

// Next gives the next event of all files; times count from the first.
func (s *Source) Next() (tasks.Event, error) {
	if s.made != nil {
		e, ok := s.made.Next()
		if !ok {
			return e, io.EOF
		}
		return e, nil
	}
	var best *groupSource
	for _, g := range s.groups { // as many as formats
		e, ok, err := g.peek()
		if err != nil {
			return tasks.Event{}, err
		}
		if ok && (best == nil || tasks.Compare(*e, best.head[best.at]) < 0) {
			best = g
		}
	}
	if best == nil {
		return tasks.Event{}, io.EOF
	}
	e := best.head[best.at]
	best.at++
	if e.At == beginning {
		e.At = 0
		return e, nil
	}
	if !s.begun {
		s.begun, s.first = true, e.At
	}
	if e.At -= s.first; e.At < 0 { // more than a time can say
		e.At = math.MaxInt64
	}
	return e, nil
}

// Units says what amounts are, as far as was read.
func (s *Source) Units() tasks.Units { return s.Header().Units }

// Header says what was assumed, as far as was read.
func (s *Source) Header() (h Header) {
	if s.made != nil {
		return Header{Formats: []string{s.made.Spec().String()}}
	}
	for _, g := range s.groups {
		h.Formats = append(h.Formats, g.group.format.name)
		if g.group.format.sample == "" {
			h.Unverified = append(h.Unverified, g.group.format.name)
		}
		g.parser.header(&h)
		if h.Bad += g.bad; h.FirstBad == "" {
			h.FirstBad = g.firstBad
		}
	}
	slices.Sort(h.Assumed)
	h.Assumed = slices.Compact(h.Assumed)
	return h
}

// Close frees files.
func (s *Source) Close() {
	for _, g := range s.groups {
		g.parser.close()
		g.sort.close()
	}
}

// groupSource is the events of the files of one format in time order.
type groupSource struct {
	group    *group
	parser   parser
	sort     sorter
	sorted   bool // sort is filled
	head     []tasks.Event
	at       int
	last     time.Duration
	begun    bool
	bad      uint64
	firstBad string
	ended    bool
}

// peek looks at the next event.
func (g *groupSource) peek() (*tasks.Event, bool, error) {
	for g.at == len(g.head) {
		if g.ended {
			return nil, false, nil
		}
		g.head, g.at = g.head[:0], 0
		if !g.group.format.sorted {
			if err := g.fill(); err != nil {
				return nil, false, err
			}
			e, err := g.sort.next()
			if err == io.EOF {
				g.ended = true
				continue
			}
			if err != nil {
				return nil, false, err
			}
			if l, ok := g.parser.(*lines); ok {
				if by, ok := l.rows.(settler); ok {
					if g.head, err = by.settle(e, g.head); err != nil {
						return nil, false, err
					}
					continue
				}
			}
			g.head = append(g.head, e)
			continue
		}
		var err error
		g.head, err = g.record(g.head)
		if err == io.EOF {
			g.ended = true
			continue
		}
		if err != nil {
			return nil, false, err
		}
	}
	return &g.head[g.at], true, nil
}

// record reads a record, and passes over as many bad ones as may be.
func (g *groupSource) record(out []tasks.Event) ([]tasks.Event, error) {
	for {
		var err error
		out, err = g.parser.next(out)
		if err == nil && g.group.format.sorted {
			for _, e := range out {
				if g.begun && e.At < g.last {
					err = g.backwards(e.At)
					out = out[:0]
					break
				}
				g.begun, g.last = true, e.At
			}
		}
		var bad *trace.BadRecord
		if !errors.As(err, &bad) || g.bad >= g.group.spec.SkipBad {
			return out, err
		}
		if g.bad++; g.firstBad == "" {
			g.firstBad = err.Error()
		}
	}
}

// backwards is the error for a time before the last one in a format that is in time order.
func (g *groupSource) backwards(at time.Duration) error {
	where := &trace.BadRecord{Path: strings.Join(g.group.paths, ", "), Unit: "record"}
	if l, ok := g.parser.(*lines); ok {
		where = &trace.BadRecord{Path: l.path, Unit: "line", N: l.line}
	}
	where.Err = fmt.Errorf("its time is %s before the one before it, expected times that do not run backwards in %s", g.last-at, g.group.format.name)
	return where
}

// fill reads everything into the sorter.
func (g *groupSource) fill() error {
	if g.sorted {
		return nil
	}
	g.sorted = true
	g.sort.limit = runEvents
	var out []tasks.Event
	for {
		var err error
		out, err = g.record(out[:0])
		if err == io.EOF {
			return g.sort.done()
		}
		if err != nil {
			return err
		}
		for _, e := range out {
			if err := g.sort.add(e); err != nil {
				return err
			}
		}
	}
}
