package faults

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// SyntaxError says where a sentence stops being one.
type SyntaxError struct {
	Text   string
	Column int    // in characters, from 1
	Got    string // empty is the end
	Want   string
}

func (e *SyntaxError) Error() string {
	got := fmt.Sprintf("%.40q", e.Got)
	if e.Got == "" {
		got = "the end"
	}
	return fmt.Sprintf("%q: column %d: %s, want %s", e.Text, e.Column, got, e.Want)
}

// token is a word, a sign, or the end.
type token struct {
	text string
	at   int // byte of the sentence
}

// scan cuts a sentence into words (letters, digits, - _ . %, as in m1, slow-disk, 1.5x, 20ms) and the signs | -> , / +.
func scan(text string) []token {
	var out []token
	for i := 0; i < len(text); {
		switch {
		case text[i] == ' ' || text[i] == '\t':
			i++
			continue
		case strings.HasPrefix(text[i:], "->"):
			out = append(out, token{"->", i})
			i += 2
			continue
		}
		j := i
		for j < len(text) && inWord(text, j) {
			_, n := utf8.DecodeRuneInString(text[j:])
			j += n
		}
		if j == i { // a sign, or what nobody wants
			_, n := utf8.DecodeRuneInString(text[i:])
			j += n
		}
		out = append(out, token{text[i:j], i})
		i = j
	}
	return append(out, token{"", len(text)})
}

func inWord(text string, i int) bool {
	c := text[i]
	switch {
	case c == '-':
		return !strings.HasPrefix(text[i:], "->")
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '.', c == '%':
		return true
	}
	return strings.HasPrefix(text[i:], "µ")
}

// unit is one of time.
type unit struct {
	name string
	of   time.Duration
}

// units go from the longest; of two where one begins the other, the longer name is first.
var units = []unit{
	{"h", time.Hour}, {"ms", time.Millisecond}, {"m", time.Minute}, {"s", time.Second}, {"µs", time.Microsecond}, {"us", time.Microsecond}, {"ns", time.Nanosecond},
}

// duration reads 3s, 20ms, 1.5s, 1m30s.
func duration(s string) (total time.Duration, ok bool) {
	for first := true; first || s != ""; first = false {
		n, frac, rest, ok := number(s)
		if !ok {
			return 0, false
		}
		u, found := unit{}, false
		for _, u = range units {
			if strings.HasPrefix(rest, u.name) {
				found = true
				break
			}
		}
		if !found || n > int64(MaxDuration/u.of) {
			return 0, false
		}
		if frac%1000 != 0 || frac/1000*int64(u.of)%1_000_000 != 0 { // of an hour, six digits fit
			return 0, false
		}
		total += time.Duration(n)*u.of + time.Duration(frac/1000*int64(u.of)/1_000_000)
		if total > MaxDuration {
			return 0, false
		}
		s = rest[len(u.name):]
	}
	return total, true
}

// maxDigits bounds the digits before and behind the point, and maxNumber what they can say.
const (
	maxDigits = 9
	maxNumber = 1_000_000_000
)

// number reads a decimal number: the whole part, nine digits behind the point, and what follows.
func number(s string) (whole, frac int64, rest string, ok bool) {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		whole = whole*10 + int64(s[i]-'0')
		i++
	}
	if i == 0 || i > maxDigits {
		return 0, 0, s, false
	}
	if i == len(s) || s[i] != '.' {
		return whole, 0, s[i:], true
	}
	i++
	from := i
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		frac = frac*10 + int64(s[i]-'0')
		i++
	}
	if i == from || i-from > maxDigits {
		return 0, 0, s, false
	}
	for range maxDigits - (i - from) {
		frac *= 10
	}
	return whole, frac, s[i:], true
}

// scaled reads a number with a sign behind it, in parts of a unit: 1.5% in 10 000ths is 15 000.
func scaled(s, sign string, unit int64, most int64) (int64, bool) {
	n, frac, rest, ok := number(s)
	if !ok || rest != sign {
		return 0, false
	}
	v := n*unit + frac*unit/1_000_000_000
	return v, v <= most && frac*unit%1_000_000_000 == 0
}
