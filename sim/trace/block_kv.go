package trace

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// Traces of caches of keys: a key becomes a reference to the page that its hash says (see foldKey). Sizes, times and clients are not used.

// keyLines reads them.
type keyLines struct {
	in      *lineReader
	pages   *keyPages
	columns []int  // CacheLib: where key, op and op_count are, and how many columns there are; nil until its head was read
	again   uint64 // how often the last reference comes again
	ref     Ref
	parse   func(p *keyLines, line []byte) error
}

func newTwitter(in *input) (parser, error) { return newKeyLines(in, (*keyLines).twitter) }

func newCacheLib(in *input) (parser, error) { return newKeyLines(in, (*keyLines).cacheLib) }

func newKeyLines(in *input, parse func(p *keyLines, line []byte) error) (parser, error) {
	id := in.spec.Keys[keyKey.Name]
	if id == "" {
		id = "key"
	}
	pages, ok := newKeyPages(id)
	if !ok {
		return nil, fmt.Errorf("%s: id: %q, want key or dense", in.path, id)
	}
	return &keyLines{in: in.lines(), pages: pages, parse: parse}, nil
}

// keyKey says what becomes of a key.
var keyKey = Key{"id", "`key` (the default): the number of a page is the key's hash; `dense`: pages are numbered in order of first appearance"}

func (p *keyLines) header(h *Header) {
	h.Granularity = PageBytes
	h.HasWrites = true
	h.DefaultsStated = []string{p.pages.stated() + ", after FNV-1a", "sizes, times and clients: not used", defaultSize, defaultGap, defaultThread}
}

func (p *keyLines) fill(b *Batch) error {
	for !b.full() {
		if p.again > 0 {
			p.again--
			b.addRef(p.ref)
			continue
		}
		line, err := p.in.next()
		if err != nil {
			return err
		}
		if len(line) == 0 {
			continue
		}
		if err := p.parse(p, line); err != nil {
			return err
		}
	}
	return nil
}

// hashKey is FNV-1a of 64 bits (Fowler, Noll, Vo), mixed, for its upper bits are weak in short keys.
func hashKey(key []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range key {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return mix64(h)
}

// set makes the reference of a key.
func (p *keyLines) set(key []byte, kind EventKind, times uint64) error {
	page, err := p.pages.page(hashKey(key))
	if err != nil {
		return p.in.errorf("%w", err)
	}
	p.ref, p.again = Ref{Addr: page << PageShift}, times
	if kind == BlockWrite {
		p.ref.Flags = FlagWrite
	}
	return nil
}

// keyKind is what an operation on a key does: whatever may change it writes.
func keyKind(op []byte) EventKind {
	switch string(bytes.ToLower(op)) {
	case "get", "gets", "get_lease":
		return BlockRead
	case "set", "set_lease", "add", "replace", "cas", "append", "prepend", "delete", "incr", "decr":
		return BlockWrite
	}
	return 0
}

const wantTwitter = "`seconds,key,key size,value size,client,operation,TTL`"

func sniffTwitter(h *head) bool {
	_, _, ok := parseTwitter(h.line())
	return ok
}

// parseTwitter reads a line of Twitter's traces. Keys may have commas, so it is read from both ends.
func parseTwitter(line []byte) (key []byte, kind EventKind, ok bool) {
	_, i := decBefore(line, 0, ',')
	if i < 0 {
		return nil, 0, false
	}
	end := len(line)
	var f [5][]byte // TTL, operation, client, value size, key size
	for n := range f {
		at := bytes.LastIndexByte(line[i:end], ',')
		if at < 0 {
			return nil, 0, false
		}
		f[n], end = line[i+at+1:end], i+at
	}
	for _, n := range []int{0, 2, 3, 4} {
		if _, j := dec(f[n], 0); j != len(f[n]) {
			return nil, 0, false
		}
	}
	kind = keyKind(f[1])
	return line[i:end], kind, kind != 0
}

func (p *keyLines) twitter(line []byte) error {
	key, kind, ok := parseTwitter(line)
	if !ok {
		return p.in.unlike(line, wantTwitter)
	}
	return p.set(key, kind, 1)
}

// cacheLibColumns are those of CacheLib's head that are used.
var cacheLibColumns = []string{"key", "op", "op_count"}

func sniffCacheLib(h *head) bool { return cacheLibHead(h.lines[0]) != nil }

// cacheLibHead finds the columns, or gives nil.
func cacheLibHead(line string) (at []int) {
	names := strings.Split(line, ",")
	for _, c := range cacheLibColumns {
		i := slices.Index(names, c)
		if i < 0 {
			return nil
		}
		at = append(at, i)
	}
	return append(at, len(names))
}

// column is the nth field between commas, nil where there are not so many.
func column(line []byte, n int) []byte {
	i := 0
	for ; n > 0 && i >= 0; n-- {
		i = pastByte(line, i, ',')
	}
	if i < 0 {
		return nil
	}
	if end := bytes.IndexByte(line[i:], ','); end >= 0 {
		return line[i : i+end]
	}
	return line[i:]
}

// cacheLib reads a line of CacheLib's traces, whose head names the columns; op_count says how often.
func (p *keyLines) cacheLib(line []byte) error {
	c := p.columns
	if c == nil {
		if p.columns = cacheLibHead(string(line)); p.columns == nil {
			return p.in.fatal("%q, expected a line that names the columns %s", clip(string(line)), strings.Join(cacheLibColumns, ", "))
		}
		return nil
	}
	if n := bytes.Count(line, []byte(",")) + 1; n != c[3] {
		return p.in.errorf("%d columns, expected the %d that the first line names", n, c[3])
	}
	kind, count := keyKind(column(line, c[1])), column(line, c[2])
	n, i := dec(count, 0)
	if kind == 0 || i != len(count) || n > MaxExpand {
		return p.in.unlike(line, fmt.Sprintf("an op of get, set, delete and the like, and an op_count of at most %d", MaxExpand))
	}
	return p.set(column(line, c[0]), kind, n)
}
