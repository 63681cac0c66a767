package generate

import (
	"fmt"
	"strconv"
	"strings"
)

// blockKeys are the settings of requests to a volume, named and meant as fio's.
var blockKeys = []Key{
	choiceKey("rw", "read, write: in order; randread, randwrite: anywhere; rw, randrw: both mixed", []string{"read", "write", "randread", "randwrite", "rw", "randrw"}, func(s *Spec) *string { return &s.RW }).or("randread"),
	sizeKey("size", "bytes of the volume, a multiple of 512", sectorBytes, MaxSize, func(s *Spec) *uint64 { return &s.Size }).needed("a number of bytes such as 1g"),
	wholeKey("number_ios", "requests; flushes are not counted", 1, MaxRefs, func(s *Spec) *uint64 { return &s.IOs }).needed(atLeastOne),
	sizeKey("bs", "bytes of a request, a multiple of 512", sectorBytes, MaxBlock, func(s *Spec) *uint64 { return &s.BlockBytes }).or("4096"),
	textKey("bssplit", "sizes with their percentages, as 4k/60:64k/40, in place of bs", fmt.Sprintf("at most %d sizes, together 100 %%", MaxSplit), parseSplit, func(s *Spec) *string { return &s.Split }),
	realKey("rwmixread", "of rw and randrw: share of the requests that read", 100, func(s *Spec) *float64 { return &s.MixRead }).or("50"),
	textKey("random_distribution", "where random requests go: `random` (each block once before any comes again), `zipf:THETA`, or `zoned:60/10:40/90` (60 % of the requests to the first 10 % of the volume, …)",
		fmt.Sprintf("theta 0 to %d; at most %d zones, each sum 100", MaxFioSkew, MaxSplit), parseSpread, func(s *Spec) *string { return &s.Spread }).or(spreadRandom),
	realKey("rate_iops", "requests a second, which gives each its moment", MaxRate, func(s *Spec) *float64 { return &s.Rate }).or("1000"),
	choiceKey("rate_process", "linear: at even distances; poisson: at distances of a Poisson process", []string{"linear", "poisson"}, func(s *Spec) *string { return &s.RateProcess }).or("linear"),
	wholeKey("fsync", "a flush after so many writes; 0 is never", 0, MaxRefs, func(s *Spec) *uint64 { return &s.Fsync }).or("0"),
	seedKey,
}

// Ways to spread random requests.
const (
	spreadRandom = "random"
	spreadZipf   = "zipf:"
	spreadZoned  = "zoned:"
)

func completeBlock(s *Spec, _ map[string]bool) (errs []error) {
	most := uint64(0)
	for _, p := range splitOf(*s) {
		most = max(most, p.bytes)
	}
	if most > s.Size {
		errs = append(errs, fmt.Errorf("size: %d, want at least the largest request, %d", s.Size, most))
	}
	if s.Rate == 0 {
		errs = append(errs, fmt.Errorf("rate_iops: 0, want a number above 0"))
	}
	return errs
}

// sized is a size with its percentage; of zones, a percentage of the volume.
type sized struct {
	bytes   uint64
	percent float64 // of the requests
	area    float64 // of zones: percent of the volume
}

// splitOf are the sizes of requests.
func splitOf(s Spec) []sized {
	if s.Split == "" {
		return []sized{{bytes: s.BlockBytes, percent: 100}}
	}
	list, _, err := readSplit(s.Split)
	if err != nil {
		return nil // Parse has refused it
	}
	return list
}

// parseSplit checks a bssplit and gives it in its plain form, sizes in bytes.
func parseSplit(text string) (string, error) {
	_, plain, err := readSplit(text)
	return plain, err
}

func readSplit(text string) (list []sized, plain string, err error) {
	const want = "sizes with percentages, as 4k/60:64k/40"
	sum := 0.0
	var parts []string
	for item := range strings.SplitSeq(text, ":") {
		size, share, ok := strings.Cut(item, "/")
		bytes, errB := sizeOf(size)
		percent, errP := real(share, 100)
		if !ok || errB != nil || errP != nil || bytes < sectorBytes || bytes > MaxBlock || bytes%sectorBytes != 0 {
			return nil, "", fmt.Errorf("%s; a size is a multiple of %d, at most %d", want, sectorBytes, MaxBlock)
		}
		sum += percent
		list = append(list, sized{bytes: bytes, percent: percent})
		parts = append(parts, fmt.Sprintf("%d/%v", bytes, percent))
	}
	return list, strings.Join(parts, ":"), sums(list, sum, want)
}

// sums holds a list to its limits.
func sums(list []sized, sum float64, want string) error {
	if len(list) > MaxSplit {
		return fmt.Errorf("at most %d %s", MaxSplit, want)
	}
	if sum < 99.999 || sum > 100.001 {
		return fmt.Errorf("%s, whose sum is 100 %%, not %v", want, sum)
	}
	return nil
}

// parseSpread checks a random_distribution.
func parseSpread(text string) (string, error) {
	if theta, ok := strings.CutPrefix(text, spreadZipf); ok {
		_, err := real(theta, MaxFioSkew)
		return text, err
	}
	if zones, ok := strings.CutPrefix(text, spreadZoned); ok {
		_, err := readZones(zones)
		return text, err
	}
	if text != spreadRandom {
		return "", fmt.Errorf("random, zipf:THETA or zoned:PERCENT/PERCENT:…")
	}
	return text, nil
}

func readZones(text string) (list []sized, err error) {
	const want = "zones as 60/10:40/90, percent of requests / percent of the volume"
	sum, area := 0.0, 0.0
	for item := range strings.SplitSeq(text, ":") {
		requests, share, ok := strings.Cut(item, "/")
		p, errP := real(requests, 100)
		a, errA := real(share, 100)
		if !ok || errP != nil || errA != nil || a == 0 {
			return nil, fmt.Errorf("%s", want)
		}
		sum += p
		area += a
		list = append(list, sized{percent: p, area: a})
	}
	if area < 99.999 || area > 100.001 {
		return nil, fmt.Errorf("%s, whose sum is 100 %%, not %v", want, area)
	}
	return list, sums(list, sum, want)
}

// sizeOf reads a size as fio does: 4096, 4k, 1m, 2g, 1t, powers of 1024.
func sizeOf(text string) (uint64, error) {
	shift := 0
	if text != "" {
		if i := strings.IndexByte("kmgt", text[len(text)-1]|0x20); i >= 0 {
			shift, text = 10*(i+1), text[:len(text)-1]
		}
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n<<shift>>shift != n {
		return 0, fmt.Errorf("a size such as 4096, 4k or 1g")
	}
	return n << shift, nil
}

// sizeKey is a key of bytes.
func sizeKey(name, about string, least, most uint64, at func(*Spec) *uint64) Key {
	k := wholeKey(name, about, least, most, at)
	k.Range += ", or as 4k, 1m, 2g"
	k.set = func(s *Spec, v string) error {
		n, err := sizeOf(v)
		if err != nil || n < least || n > most || n%sectorBytes != 0 {
			return fmt.Errorf("a multiple of %d of %d to %d, or a size such as 4k", sectorBytes, least, most)
		}
		*at(s) = n
		return nil
	}
	return k
}

// textKey is a key whose text is checked, and made plain, by a function.
func textKey(name, about, limits string, parse func(string) (string, error), at func(*Spec) *string) Key {
	return Key{Name: name, About: about, Range: limits, Default: "none",
		set: func(s *Spec, v string) error {
			plain, err := parse(v)
			if err == nil {
				*at(s) = plain
			}
			return err
		},
		text: func(s *Spec) string { return *at(s) }}
}

// smallest is the least size of a request: what offsets are multiples of.
func smallest(list []sized) uint64 {
	least := list[0].bytes
	for _, p := range list {
		least = min(least, p.bytes)
	}
	return least
}
