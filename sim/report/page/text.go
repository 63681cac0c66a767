package page

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// space stands within numbers and before units, where no line may end.
const space = "\u00a0"

// count prints a number in groups of three.
func count(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + space + s[i:]
	}
	return s
}

// counted is a number of things: "1 vNode", "3 vNodes".
func counted(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + many
}

// digits prints a number with three digits that matter, or whole.
func digits(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "-"
	case v == 0:
		return "0"
	case a >= 999.5 && a < 1e15:
		if v < 0 {
			return "-" + count(uint64(math.Round(a)))
		}
		return count(uint64(math.Round(a)))
	case a < 1e-6 || a >= 1e15:
		return strconv.FormatFloat(v, 'g', 3, 64)
	default:
		return strconv.FormatFloat(v, 'f', max(0, 2-int(math.Floor(math.Log10(a)))), 64)
	}
}

// micros prints µs in the unit that fits.
func micros(us float64) string {
	switch {
	case us == 0:
		return "0" + space + "s"
	case us < 0.9995:
		return short(us*1e3) + space + "ns"
	case us < 999.5:
		return short(us) + space + "µs"
	case us < 999_500:
		return short(us/1e3) + space + "ms"
	}
	return short(us/1e6) + space + "s"
}

func seconds(s float64) string { return micros(s * 1e6) }

// short is digits without zeros at the end.
func short(v float64) string {
	s := digits(v)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}

func size(n uint64) string {
	for _, u := range []struct {
		of   uint64
		name string
	}{{1 << 40, "TiB"}, {1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= u.of {
			return short(float64(n)/float64(u.of)) + space + u.name
		}
	}
	return count(n) + space + "B"
}

// percent is a share with two digits after the point. Only all of them are 100, and only none is 0.
func percent(part, whole uint64) string {
	if whole == 0 {
		return "0" + space + "%"
	}
	p := 100 * float64(part) / float64(whole)
	switch text := strconv.FormatFloat(p, 'f', 2, 64); {
	case part < whole && text == "100.00":
		return "99.99" + space + "%"
	case part > 0 && text == "0.00":
		return "0.01" + space + "%"
	case part == whole:
		return "100" + space + "%"
	default:
		return text + space + "%"
	}
}

// list joins names: "a, b and c", of many only the first.
func list(names []string, most int) string {
	more := len(names) - most
	if more > 0 {
		names = append(append([]string{}, names[:most]...), fmt.Sprintf("%d more", more))
	}
	switch n := len(names); n {
	case 0:
		return ""
	case 1:
		return names[0]
	default:
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
}

// CommandLine writes a command as a shell takes it.
func CommandLine(words []string) string {
	var out []string
	for _, w := range words {
		// An assignment before the command must stay one: only its value is quoted.
		name, value, assigned := strings.Cut(w, "=")
		if assigned && strings.HasPrefix(w, "SPLITKERNEL_") && plain(name) {
			out = append(out, name+"="+quote(value))
			continue
		}
		out = append(out, quote(w))
	}
	return strings.Join(out, " ")
}

func quote(w string) string {
	if w != "" && plain(w) {
		return w
	}
	return "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
}

func plain(w string) bool {
	return strings.IndexFunc(w, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-./=:,+@%", r))
	}) < 0
}
