package trace

import (
	"bufio"
	"io"
	"math"
	"math/rand"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
)

// Lines come out as they went in, however the text comes in pieces and wherever the buffer ends.
func TestLines(t *testing.T) {
	rng := rand.New(rand.NewSource(3))
	var want []string
	var text strings.Builder
	for range 400 {
		n := rng.Intn(40)
		if rng.Intn(20) == 0 {
			n = rng.Intn(MaxLineBytes)
		}
		line := strings.Repeat(string(rune('a'+rng.Intn(26))), n)
		want = append(want, line)
		text.WriteString(line + []string{"\n", "\r\n"}[rng.Intn(2)])
	}
	want = append(want, "last")
	text.WriteString("last")
	for name, wrap := range map[string]func(io.Reader) io.Reader{"whole": func(r io.Reader) io.Reader { return r }, "halves": iotest.HalfReader, "data with its end": iotest.DataErrReader} {
		in := input{Reader: bufio.NewReaderSize(wrap(strings.NewReader(text.String())), MaxLineBytes+100), path: "x"}
		l := in.lines()
		for i, w := range want {
			b, err := l.next()
			if err != nil || string(b) != w || l.line != i+1 {
				t.Fatalf("%s: line %d: %d bytes, %v, number %d; want %d bytes", name, i+1, len(b), err, l.line, len(w))
			}
		}
		if _, err := l.next(); err != io.EOF {
			t.Errorf("%s: %v after the last line", name, err)
		}
	}
	in := input{Reader: bufio.NewReaderSize(iotest.TimeoutReader(strings.NewReader("a\nb\nc")), 16), path: "x"}
	l := in.lines()
	for {
		if _, err := l.next(); err != nil {
			if !strings.HasPrefix(err.Error(), "x: line 3: ") || !strings.Contains(err.Error(), "timeout") {
				t.Errorf("a failing disk: %v", err)
			}
			break
		}
	}
}

// Numbers are what the standard library reads, and what has more than 64 bits is refused.
func TestNumbers(t *testing.T) {
	for _, s := range []string{"0", "1", "9", "a", "F", "deadBEEF", "ffffffffffffffff", "10000000000000000", "18446744073709551615", "18446744073709551616", "00000000000000000000001", "7g", "g", ""} {
		for base, parse := range map[int]func([]byte) (uint64, []byte, bool){10: parseDec, 16: parseHex} {
			want, err := strconv.ParseUint(s, base, 64)
			if base == 16 && len(s) > 16 {
				err = strconv.ErrRange // more digits than 64 bits have
			}
			v, rest, ok := parse([]byte(s))
			if whole := ok && len(rest) == 0; whole != (err == nil) || whole && v != want {
				t.Errorf("%q in base %d: %d, %q, %v; want %d, %v", s, base, v, rest, ok, want, err)
			}
		}
	}
	for _, c := range []struct {
		text string
		unit uint64
		ns   uint64
		ok   bool
	}{
		{"1.5", 1e9, 1500000000, true}, {"0.000000001", 1e9, 1, true}, {"0.1234567899", 1e9, 123456789, true}, {"12", 1e3, 12000, true}, {"12.25", 1e6, 12250000, true},
		{"12.5", 1, 12, true}, {"1.", 1e9, 0, false}, {".5", 1e9, 0, false}, {"18446744073", 1e9, 18446744073000000000, true}, {"18446744074", 1e9, 0, false},
		{"18446744073.9", 1e9, 0, false}, {"1700000000.999999999", 1e9, 1700000000999999999, true},
	} {
		if ns, rest, ok := parseTime([]byte(c.text), c.unit); ok != c.ok || ok && (ns != c.ns || len(rest) > 0) {
			t.Errorf("%s × %d: %d, %q, %v; want %d, %v", c.text, c.unit, ns, rest, ok, c.ns, c.ok)
		}
	}
	rng := rand.New(rand.NewSource(4))
	for range 1000 {
		ns := rng.Uint64() % math.MaxInt64
		text := strconv.FormatUint(ns/1e9, 10) + "." + strconv.FormatUint(1e9+ns%1e9, 10)[1:]
		if got, rest, ok := parseSeconds([]byte(text)); !ok || got != ns || len(rest) > 0 {
			t.Fatalf("%s: %d", text, got)
		}
	}
}
