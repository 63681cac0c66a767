package trace

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// regexFormat is the name of the format whose settings are in braces before its text.
const regexFormat = "regex"

// regex reads lines by an expression of Go (RE2) with groups named as the columns are: `regex:^(?P<rw>[RW]) (?P<addr>\S+)$`. Settings
// stand in braces before it: `regex:{base=hex,skip-bad=5}^…`. A line that does not match is not of the format.
func newRegex(in *input) (parser, error) {
	re, err := regexp.Compile(in.spec.Rest)
	if err != nil {
		return nil, fmt.Errorf("%s: regex: %w", in.path, err)
	}
	var has [colCount]bool
	var groups [colCount]int
	for i, name := range re.SubexpNames() {
		if name == "" {
			continue
		}
		id := slices.Index(fieldNames[:], name)
		if id < 0 {
			return nil, fmt.Errorf("%s: regex: group %q, want some of %s", in.path, name, strings.Join(fieldNames[:], ", "))
		}
		if has[id] {
			return nil, fmt.Errorf("%s: regex: two groups %q, want one", in.path, name)
		}
		has[id], groups[id] = true, i
	}
	g, err := newGeneric(&in.spec, has)
	if err != nil {
		return nil, fmt.Errorf("%s: regex: %w", in.path, err)
	}
	lines := in.lines()
	var f [colCount][]byte
	split := newSplitter(re)
	var m []int // kept, for it to be made once
	return &lineParser{in: lines, head: g.header, requests: has[colOffset], want: "a line that matches " + clip(in.spec.Rest), line: func(b *Batch, line []byte) error {
		if g.passOver(lines.line, line) {
			return nil
		}
		known := false
		if split != nil {
			m, known = split.find(line, m)
		}
		if !known {
			m = re.FindSubmatchIndex(line)
		}
		if m == nil {
			return errUnlike
		}
		for id, i := range groups {
			if has[id] {
				f[id] = nil // a group that took no part
				if m[2*i] >= 0 {
					f[id] = line[m[2*i]:m[2*i+1]]
				}
			}
		}
		return g.record(b, &f)
	}}, nil
}
