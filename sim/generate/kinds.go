package generate

import (
	"fmt"
	"math"
	"slices"
)

// Kinds of generators.
const (
	Zipf       = "zipf"
	Sequential = "sequential"
	Phases     = "phases"
	HotCold    = "hotcold"
	Strided    = "strided"
	Chase      = "chase"
	Drift      = "drift"
	YCSB       = "ycsb"
	Training   = "training"
	WordCount  = "wordcount"
	Block      = "block"
)

// Kind describes a kind of generator: what `splitkernel trace generators` tells.
type Kind struct {
	Name, About string
	Source      string // where its shape is from
	Block       bool   // requests to a volume, not references to memory
	Keys        []Key
}

// kind is a Kind with what makes it.
type kind struct {
	Kind
	// complete fills defaults that follow from other values, and returns what does not fit together.
	complete func(s *Spec, given map[string]bool) []error
	// shape makes the references; nil for blocks.
	shape func(s Spec) shape
}

// names of the keys.
func (k *kind) names() (list []string) {
	for _, key := range k.Keys {
		list = append(list, key.Name)
	}
	return list
}

// Kinds describes every kind, by name.
func Kinds() (list []Kind) {
	for _, k := range kinds {
		list = append(list, k.Kind)
	}
	return list
}

func kindOf(name string) (*kind, bool) {
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.Name == name })
	if i < 0 {
		return &kind{}, false
	}
	return &kinds[i], true
}

func kindNames() (list []string) {
	for _, k := range kinds {
		list = append(list, k.Name)
	}
	return list
}

const atLeastOne = "a number of at least 1"

// The keys of all kinds that make references.
var (
	pagesKey  = wholeKey("pages", "pages of 4 KiB that are mapped", 1, MaxPages, func(s *Spec) *uint64 { return &s.Pages }).needed(atLeastOne)
	refsKey   = wholeKey("refs", "references", 1, MaxRefs, func(s *Spec) *uint64 { return &s.Refs }).needed(atLeastOne)
	writesKey = realKey("writes_percent", "share of the references that write", 100, func(s *Spec) *float64 { return &s.Write }).or("25")
	gapKey    = wholeKey("gap", "instructions for each reference", 0, MaxGap, func(s *Spec) *uint64 { return &s.Gap }).or("4")
	seedKey   = wholeKey("seed", "source of its chance", 0, math.MaxUint64, func(s *Spec) *uint64 { return &s.Seed }).follows("drawn by whoever runs it, else 0")
	skewKey   = realKey("skew", "popularity of rank k is 1 / k^skew; 0 is even", MaxSkew, func(s *Spec) *float64 { return &s.Skew })
)

// references are the keys of a kind of references whose writes are drawn, with its own between.
func references(own ...Key) []Key {
	return slices.Concat([]Key{pagesKey, refsKey, writesKey, gapKey}, own, []Key{seedKey})
}

// planned are those of a kind that says itself what writes.
func planned(own ...Key) []Key {
	return slices.Concat([]Key{pagesKey, refsKey, gapKey}, own, []Key{seedKey})
}

func hotKey(about string) Key {
	return wholeKey("hot", about, 1, MaxPages, func(s *Spec) *uint64 { return &s.Hot }).follows("pages/10")
}

// completeHot gives hot its default, and holds it to pages.
func completeHot(s *Spec, given map[string]bool) []error {
	if !given["hot"] {
		s.Hot = max(s.Pages/10, 1)
	}
	if s.Hot > s.Pages {
		return []error{fmt.Errorf("hot: %d, want at most pages, %d", s.Hot, s.Pages)}
	}
	return nil
}

// kinds, by name.
var kinds = []kind{
	{Kind: Kind{Name: Block, Block: true, About: "requests to one volume, in the words of fio; each request at its moment",
		Source: "options as the fio manual defines them; where we differ the documentation says so", Keys: blockKeys},
		complete: completeBlock},
	{Kind: Kind{Name: Chase, About: "a random cycle through all pages, again and again: no page comes back before all others were there",
		Source: "the pointer chase of lmbench's lat_mem_rd (McVoy and Staelin, USENIX ATC 1996)", Keys: references()},
		shape: newChase},
	{Kind: Kind{Name: Drift, About: "any of `hot` neighbouring pages, a window that moves on by a page every `drift` references",
		Source: "our own shape of a working set (Denning, CACM 1968) that drifts",
		Keys:   references(hotKey("pages of the window"), wholeKey("drift", "references until the window moves by one page", 1, MaxRefs, func(s *Spec) *uint64 { return &s.Drift }).follows("refs/pages, so that it passes all pages once"))},
		complete: func(s *Spec, given map[string]bool) []error {
			if !given["drift"] {
				s.Drift = max(s.Refs/s.Pages, 1)
			}
			return completeHot(s, given)
		},
		shape: newDrift},
	{Kind: Kind{Name: HotCold, About: "`hot_percent` of the references to the first `hot` pages, the others to the rest, even within both",
		Source: "the hot-and-cold groups of the LFS simulator (Rosenblum and Ousterhout, SOSP 1991): 90 % to 10 %",
		Keys:   references(hotKey("hot pages"), realKey("hot_percent", "share of the references to hot pages", 100, func(s *Spec) *float64 { return &s.HotPercent }).or("90"))},
		complete: completeHot,
		shape:    newHotCold},
	{Kind: Kind{Name: Phases, About: "for `phase` references at a time, any of `hot` neighbouring pages, drawn anew for each phase",
		Source: "our own shape of phases and localities (Denning, CACM 1968)",
		Keys:   references(wholeKey("phase", "references of one phase", 1, MaxRefs, func(s *Spec) *uint64 { return &s.Phase }).follows("refs/10"), hotKey("pages of one phase"))},
		complete: func(s *Spec, given map[string]bool) []error {
			if !given["phase"] {
				s.Phase = max(s.Refs/10, 1)
			}
			return completeHot(s, given)
		},
		shape: newPhases},
	{Kind: Kind{Name: Sequential, About: "one page after the other, from the first again after the last",
		Source: "our own shape of a scan", Keys: references()},
		shape: newSequential},
	{Kind: Kind{Name: Strided, About: "every `stride`-th page to the end, then the same from one page further, until all were there: columns of a matrix that lies in rows",
		Source: "our own shape of a walk along columns",
		Keys:   references(wholeKey("stride", "pages from one reference to the next, at most pages", 1, MaxPages, func(s *Spec) *uint64 { return &s.Stride }).follows("8, or pages if that is less"))},
		complete: func(s *Spec, given map[string]bool) []error {
			if !given["stride"] {
				s.Stride = min(8, s.Pages)
			}
			if s.Stride > s.Pages {
				return []error{fmt.Errorf("stride: %d, want at most pages, %d", s.Stride, s.Pages)}
			}
			return nil
		},
		shape: newStrided},
	{Kind: Kind{Name: Training, About: "steps of training: data read in order, weights read layer by layer forward and backward, activations written and then read back like a stack, gradients, then optimizer state and weights written",
		Source: "our own shape; 2 + 2 + 12 bytes of weight, gradient and optimizer state a parameter as in ZeRO (Rajbhandari et al., SC 2020)",
		Keys: planned(wholeKey("layers", "layers of the model", 1, MaxLayers, func(s *Spec) *uint64 { return &s.Layers }).follows("12, or fewer if pages are few"),
			realKey("activations_percent", "share of the pages that are activations", 100, func(s *Spec) *float64 { return &s.ActivationsPercent }).or("20"),
			realKey("data_percent", "share of the pages that are data", 100, func(s *Spec) *float64 { return &s.DataPercent }).or("20"),
			wholeKey("batch", "pages of data that a step reads", 1, MaxPages, func(s *Spec) *uint64 { return &s.Batch }).follows("a hundredth of the data"))},
		complete: completeTraining,
		shape:    newTraining},
	{Kind: Kind{Name: WordCount, About: "pages of input in order, each followed by `words` updates (read, write) of a hash table by popularity; after the last the table is read in order, and it begins again",
		Source: "our own shape of counting words (Dean and Ghemawat, OSDI 2004, §2.1); words by Zipf's law",
		Keys: planned(realKey("input_percent", "share of the pages that are input, the others are the table", 100, func(s *Spec) *float64 { return &s.InputPercent }).or("50"),
			wholeKey("words", "updates of the table for a page of input", 0, MaxWords, func(s *Spec) *uint64 { return &s.Words }).or("64"), skewKey.or("1"))},
		complete: completeWordCount,
		shape:    newWordCount},
	{Kind: Kind{Name: YCSB, About: "operations on records of a table: read, update, insert, scan, read-modify-write in the shares of a core workload, a reference for each record that is read or written",
		Source: "core workloads A to F of YCSB (Cooper et al., SoCC 2010, table 2; F from its released source)",
		Keys: planned(choiceKey("workload", "a update heavy, b read heavy, c read only, d read latest, e short ranges, f read-modify-write", []string{"a", "b", "c", "d", "e", "f"}, func(s *Spec) *string { return &s.Workload }).needed("one of a, b, c, d, e, f"),
			wholeKey("record_bytes", "bytes of a record; as many as fit are in a page", 1, 4096, func(s *Spec) *uint64 { return &s.RecordBytes }).or("1000"),
			skewKey.or("0.99"),
			realKey("load_percent", "share of the room that has records at the start; when it is full an insert takes the place of the oldest", 100, func(s *Spec) *float64 { return &s.LoadPercent }).follows("90 of d and e, else 100"),
			wholeKey("scan", "records of the longest scan; lengths are even from 1 on", 1, MaxScan, func(s *Spec) *uint64 { return &s.Scan }).or("100"))},
		complete: func(s *Spec, given map[string]bool) []error {
			if !given["load_percent"] {
				if s.LoadPercent = 100; s.Workload == "d" || s.Workload == "e" {
					s.LoadPercent = 90
				}
			}
			return nil
		},
		shape: newYCSB},
	{Kind: Kind{Name: Zipf, About: "pages by popularity: page of rank k is referenced as often as 1 / k^skew; the ranks lie scattered",
		Source: "Zipf's law; drawn by rejection-inversion (Hörmann and Derflinger, ACM TOMACS 1996)", Keys: references(skewKey.or("0.99"))},
		shape: newZipfPages},
}
