package units

import (
	"fmt"
	"math"
	"math/big"
	"strings"
)

// Quantity is what a profile can hold: a number that is written with its unit.
type Quantity interface {
	// String writes the number in a unit in which it is short; Parse reads it back unchanged.
	String() string
	// Units says which units may be written, as in "ps, ns, us, ms, s".
	Units() string
}

// Parser is a Quantity that can be read, the pointer to one of the types of this package.
type Parser interface {
	Quantity
	// Parse reads "1.2 us". The unit is never left out, except for what has none. A value below 0, or finer than the type
	// can hold, is an error.
	Parse(text string) error
}

// unit is one way to write a quantity: num/den of the base unit.
type unit struct {
	name     string
	num, den int64
}

var (
	timeUnits  = []unit{{"s", 1e12, 1}, {"ms", 1e9, 1}, {"us", 1e6, 1}, {"ns", 1e3, 1}, {"ps", 1, 1}}
	rateUnits  = []unit{{"GB/s", 1e9, 1}, {"Gbit/s", 1e9, 8}, {"MB/s", 1e6, 1}, {"Mbit/s", 1e6, 8}, {"B/s", 1, 1}}
	kibUnits   = []unit{{"us/KiB", 1e6, 1}, {"ns/KiB", 1e3, 1}, {"ps/KiB", 1, 1}}
	shareUnits = []unit{{"%", 1e7, 1}, {"ppm", 1e3, 1}, {"ppb", 1, 1}}
	ratioUnits = []unit{{"", 1e6, 1}}
	freqUnits  = []unit{{"GHz", 1e9, 1}, {"MHz", 1e6, 1}, {"Hz", 1, 1}}
	sizeUnits  = []unit{{"TiB", 1 << 40, 1}, {"GiB", 1 << 30, 1}, {"MiB", 1 << 20, 1}, {"KiB", 1 << 10, 1}, {"B", 1, 1}}
	countUnits = []unit{{"", 1, 1}}
)

func (p Picos) String() string     { return format(int64(p), timeUnits) }
func (r Rate) String() string      { return format(int64(r), rateUnits) }
func (p PerKiB) String() string    { return format(int64(p), kibUnits) }
func (s Share) String() string     { return format(int64(s), shareUnits) }
func (r Ratio) String() string     { return format(int64(r), ratioUnits) }
func (f Frequency) String() string { return format(int64(f), freqUnits) }
func (s Size) String() string      { return format(int64(s), sizeUnits) }
func (c Count) String() string     { return format(int64(c), countUnits) }

// Units of each quantity, largest first.
func (Picos) Units() string     { return names(timeUnits) }
func (Rate) Units() string      { return names(rateUnits) }
func (PerKiB) Units() string    { return names(kibUnits) }
func (Share) Units() string     { return names(shareUnits) }
func (Ratio) Units() string     { return names(ratioUnits) }
func (Frequency) Units() string { return names(freqUnits) }
func (Size) Units() string      { return names(sizeUnits) }
func (Count) Units() string     { return names(countUnits) }

// Parse reads a time, as in "1.2 us".
func (p *Picos) Parse(text string) error { return parse(p, text, timeUnits) }

// Parse reads a rate, as in "40 Gbit/s".
func (r *Rate) Parse(text string) error { return parse(r, text, rateUnits) }

// Parse reads a cost per size, as in "120 ns/KiB".
func (p *PerKiB) Parse(text string) error { return parse(p, text, kibUnits) }

// Parse reads a share, as in "0.1 %".
func (s *Share) Parse(text string) error { return parse(s, text, shareUnits) }

// Parse reads a ratio, as in "1.5".
func (r *Ratio) Parse(text string) error { return parse(r, text, ratioUnits) }

// Parse reads a frequency, as in "2.4 GHz".
func (f *Frequency) Parse(text string) error { return parse(f, text, freqUnits) }

// Parse reads a size, as in "2 KiB".
func (s *Size) Parse(text string) error { return parse(s, text, sizeUnits) }

// Parse reads a whole number.
func (c *Count) Parse(text string) error { return parse(c, text, countUnits) }

func names(us []unit) string {
	var list []string
	for _, u := range us {
		list = append(list, u.name)
	}
	return strings.Join(list, ", ")
}

// maxText bounds what is parsed, so that no exponent or line of digits costs time.
const maxText = 40

func parse[T ~int64 | ~uint64](into *T, text string, us []unit) error {
	number, name := text, ""
	if i := strings.IndexFunc(text, func(r rune) bool { return !strings.ContainsRune("+-.0123456789", r) }); i >= 0 {
		number, name = text[:i], strings.TrimPrefix(text[i:], " ")
	}
	if name == "µs" || name == "μs" {
		name = "us"
	}
	u, ok := find(us, name)
	want := "want a number and one of " + names(us)
	if us[0].name == "" {
		want = "want a number without unit"
	}
	switch {
	case len(text) > maxText:
		return fmt.Errorf("%d characters long, %s", len(text), want)
	case !ok && name == "":
		return fmt.Errorf("%q has no unit, %s", text, want)
	case !ok:
		return fmt.Errorf("%q, %s", text, want)
	}
	r, ok := new(big.Rat).SetString(number)
	if !ok || strings.HasPrefix(number, "+") {
		return fmt.Errorf("%q, %s", text, want)
	}
	r.Mul(r, big.NewRat(u.num, u.den))
	switch {
	case r.Sign() < 0:
		return fmt.Errorf("%q is negative, want at least 0", text)
	case !r.IsInt():
		return fmt.Errorf("%q is too fine, want a multiple of %s", text, format(1, us))
	case !r.Num().IsInt64():
		return fmt.Errorf("%q is too large, want at most %s", text, format(math.MaxInt64/us[0].num*us[0].num, us))
	}
	*into = T(r.Num().Int64())
	return nil
}

func find(us []unit, name string) (unit, bool) {
	for _, u := range us {
		if u.name == name {
			return u, true
		}
	}
	return unit{}, false
}

// format writes n in the largest unit in which at most three decimals are needed, or in the smallest.
func format(n int64, us []unit) string {
	if n == 0 {
		return strings.TrimSpace("0 " + us[len(us)-1].name)
	}
	r := new(big.Rat)
	for _, u := range us {
		r.SetFrac64(n, 1)
		r.Mul(r, big.NewRat(u.den, u.num))
		for decimals := 0; decimals <= 3; decimals++ {
			if r.Cmp(big.NewRat(1, 1)) < 0 && u != us[len(us)-1] {
				break
			}
			text := r.FloatString(decimals)
			if back, ok := new(big.Rat).SetString(text); ok && back.Cmp(r) == 0 {
				return strings.TrimSpace(text + " " + u.name)
			}
		}
	}
	last := us[len(us)-1]
	return strings.TrimSpace(strings.TrimRight(strings.TrimRight(r.FloatString(9), "0"), ".") + " " + last.name)
}
