package faults

import (
	"strconv"
	"strings"
	"time"

	"splitkernel/netlayer/wire"
)

// String writes the sentence, which parses to the same fault.
func (f Fault) String() string {
	var w []string
	add := func(s ...string) { w = append(w, s...) }
	if f.At.Given {
		add(wordAt, f.At.String())
	}
	add(f.Kind.String())
	link := f.Link.String()
	switch f.Kind {
	case Partition:
		add(link)
	case Delay:
		if link != "" {
			add(link)
		}
		if add(Duration(f.By)); f.Jitter > 0 {
			add(wordJitter, Duration(f.Jitter))
		}
	case Lose, Duplicate, Reorder:
		if add(f.Part.String()); f.Kind == Reorder {
			add(wordBy, Duration(f.By))
		}
		if link != "" {
			add(wordBetween, link)
		}
	default:
		add(f.Node.String())
	}
	switch {
	case f.Kind == SlowDisk && f.By > 0:
		add("+" + Duration(f.By))
	case f.Kind == SlowDisk:
		add(decimal(uint64(f.Times), 3) + "x")
	case f.Kind == CorruptBlock && f.Volume == 0:
		add(wordRandom)
	case f.Kind == CorruptBlock:
		add(strconv.FormatUint(uint64(f.Volume), 10) + "/" + strconv.FormatUint(f.Block, 10))
	}
	if f.For > 0 {
		add(wordFor, Duration(f.For))
	}
	return strings.Join(w, " ")
}

func (m Moment) String() string {
	switch {
	case m.Progress:
		return m.Share.String()
	case m.Phase == Idle:
		return Duration(m.After)
	}
	s := m.Phase.String()
	if m.Nth > 0 {
		s += " " + strconv.FormatUint(uint64(m.Nth), 10)
	}
	if m.After > 0 {
		s += " +" + Duration(m.After)
	}
	return s
}

func (s Share) String() string { return decimal(uint64(s), 4) + "%" }

func (w Who) String() string {
	switch {
	case w.All:
		return wordAll
	case w.Leader != 0:
		return w.Leader.String() + "-leader"
	case w.Any == wire.RoleManager:
		return wordAny + " g"
	case w.Any != 0:
		return wordAny + " " + w.Any.String()[:1]
	}
	return string(w.ID)
}

func (l Link) String() string {
	if l.Everywhere() {
		return ""
	}
	sign := " | "
	if l.OneWay {
		sign = " -> "
	}
	return side(l.A) + sign + side(l.B)
}

func side(ws []Who) string {
	var s []string
	for _, w := range ws {
		s = append(s, w.String())
	}
	return strings.Join(s, ",")
}

// Duration writes a duration in the longest unit of which it is a whole number.
func Duration(d time.Duration) string {
	if d == 0 {
		return "0s"
	}
	for _, u := range []unit{{"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}, {"ms", time.Millisecond}, {"us", time.Microsecond}} {
		switch {
		case d%u.of != 0:
		case d/u.of < maxNumber:
			return strconv.FormatInt(int64(d/u.of), 10) + u.name
		default: // a number has so many digits only
			return strconv.FormatInt(int64(d/time.Second), 10) + "s" + strconv.FormatInt(int64(d%time.Second/u.of), 10) + u.name
		}
	}
	s := ""
	if d >= time.Second {
		s = strconv.FormatInt(int64(d/time.Second), 10) + "s"
	}
	return s + strconv.FormatInt(int64(d%time.Second), 10) + "ns"
}

// decimal writes n / 10^digits.
func decimal(n uint64, digits int) string {
	s := strconv.FormatUint(n, 10)
	for len(s) <= digits {
		s = "0" + s
	}
	whole, frac := s[:len(s)-digits], strings.TrimRight(s[len(s)-digits:], "0")
	if frac == "" {
		return whole
	}
	return whole + "." + frac
}
