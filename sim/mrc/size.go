package mrc

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"splitkernel/sim/trace"
	"splitkernel/sim/units"
)

// MaxSizes bounds the sizes of one call.
const MaxSizes = 1000

// Size is that of a cache: in pages, or as a share of the footprint, which is known when the trace was read.
type Size struct {
	Pages uint64  // 0 where Share is given
	Share float64 // of the footprint, 1 = all; 0 where Pages is given
}

// ParseSizes reads sizes between commas: "100" pages, "5%" of the footprint, "1MiB", of pages of 4 KiB.
func ParseSizes(text string) (sizes []Size, err error) {
	for part := range strings.SplitSeq(text, ",") {
		s, err := parseSize(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		sizes = append(sizes, s)
	}
	if len(sizes) > MaxSizes {
		return nil, fmt.Errorf("%d sizes, want at most %d", len(sizes), MaxSizes)
	}
	return sizes, nil
}

func parseSize(text string) (Size, error) {
	wrong := fmt.Errorf("size %q, want pages (100), a share of the footprint (5%%) or bytes (1MiB), above 0", text)
	if share, ok := strings.CutSuffix(text, "%"); ok {
		x, err := strconv.ParseFloat(strings.TrimSpace(share), 64)
		if err != nil || !(x > 0) || math.IsInf(x, 0) {
			return Size{}, wrong
		}
		return Size{Share: x / 100}, nil
	}
	if strings.HasSuffix(text, "B") {
		var bytes units.Size
		if err := bytes.Parse(text); err != nil || bytes < trace.PageBytes {
			return Size{}, fmt.Errorf("size %q, want at least a page of %d B, as in 1MiB", text, trace.PageBytes)
		}
		return Size{Pages: uint64(bytes) / trace.PageBytes}, nil
	}
	pages, err := strconv.ParseUint(text, 10, 64)
	if err != nil || pages == 0 {
		return Size{}, wrong
	}
	return Size{Pages: pages}, nil
}

// inPages gives sizes in pages, sorted, each once. A share is rounded to whole pages, one at least.
func inPages(sizes []Size, footprint uint64) []uint64 {
	var pages []uint64
	for _, s := range sizes {
		n := s.Pages
		if s.Share > 0 {
			n = max(uint64(min(math.Round(s.Share*float64(footprint)), math.MaxUint32)), 1)
		}
		pages = append(pages, n)
	}
	slices.Sort(pages)
	return slices.Compact(pages)
}

// defaultSizes are 1, 2, 5, 10, 20, 50 … up to the footprint, and the footprint.
func defaultSizes(footprint uint64) (sizes []uint64) {
	for ten := uint64(1); ten < footprint; ten *= 10 {
		for _, m := range []uint64{1, 2, 5} {
			if ten*m < footprint {
				sizes = append(sizes, ten*m)
			}
		}
	}
	return append(sizes, max(footprint, 1))
}

// denseSizes are up to n sizes in equal steps of their logarithm, from 1 to the footprint, for plots.
func denseSizes(footprint uint64, n int) (sizes []uint64) {
	if footprint < 2 {
		return []uint64{1}
	}
	for i := range n {
		sizes = append(sizes, uint64(math.Round(math.Exp(math.Log(float64(footprint))*float64(i)/float64(n-1)))))
	}
	return slices.Compact(sizes)
}
