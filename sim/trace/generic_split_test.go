package trace

import (
	"regexp"
	"slices"
	"testing"
)

// splits are expressions that a splitter matches, unsplit ones that it leaves to regexp.
var (
	splits = []string{
		`^(?P<rw>[RW]+) (?P<addr>\S+)$`,
		`^(?P<time>\d+),(?P<op>[a-z]+),0x(?P<addr>[0-9a-f]+),(?P<size>\d*)$`,
		`^a(?:[^b]+)b$`, `^[[:alpha:]]*$`, `^\[(?P<time>[^\]]+)\] (?P<addr>\w+)$`, `^abc$`, `^[xz]+?y$`, `^(\d+)\.(\d*) $`, `^(?P<rw>[RW]) (?P<addr>0x[0-9a-f]+)$`, `^[ab][ab][ab]+$`, `^(?P<rw>R|W) x$`, `^(([a]b[cd])(d[ab]+))$`, `^(ab)$`, `^(a([bc]+))$`,
	}
	unsplit = []string{
		`(?P<addr>\S+)$`, `^(?P<addr>\S+)`, `^(a+)(b+)$`, `^(\w+)x$`, `^(?i)abc$`, `^é(\d+)$`, `(?m)^(\d+)$`, `^.+$`, ``, `^(\d{2,3}) $`, `^([ab]+)()[b]x$`, `^(?:[ab]+)?x$`,
	}
)

func TestSplitterTakesItsShapeOnly(t *testing.T) {
	for _, e := range splits {
		if newSplitter(regexp.MustCompile(e)) == nil {
			t.Errorf("%s is left to regexp", e)
		}
	}
	for _, e := range unsplit {
		if newSplitter(regexp.MustCompile(e)) != nil {
			t.Errorf("%s is split", e)
		}
	}
}

// FuzzSplitter: whatever the expression and the line, a splitter finds what regexp finds.
func FuzzSplitter(f *testing.F) {
	for _, e := range append(slices.Clone(splits), unsplit...) {
		for _, line := range []string{"", "RW 0x12", "R  x", "12,read,0xff,7", "12,read,0xff,", "axxb", "axbb", "abc", "abcd", "[1 2] f_9", "xxy", "1.2 ", "1. ", "é1", "a\nb", "x\xffy", "A\u212a "} {
			f.Add(e, line)
		}
	}
	f.Fuzz(func(t *testing.T, e, line string) {
		re, err := regexp.Compile(e)
		if err != nil {
			return
		}
		s := newSplitter(re)
		if s == nil {
			return
		}
		want := re.FindSubmatchIndex([]byte(line))
		if got, known := s.find([]byte(line), nil); known && !slices.Equal(got, want) {
			t.Fatalf("%q of %q is split to %v, want %v", line, e, got, want)
		}
	})
}
