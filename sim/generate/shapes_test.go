package generate

import (
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"testing"
)

// digest is a checksum of the first references of a spec.
func digest(s Spec) string {
	h, g := fnv.New64a(), New(s)
	for range min(s.Refs, 20_000) {
		p, w := g.Next()
		fmt.Fprintln(h, p, w)
	}
	return fmt.Sprintf("%016x", h.Sum64())
}

// TestSequencesStay: a text is the same references in every version, for results are compared by the digest of the text.
func TestSequencesStay(t *testing.T) {
	for text, want := range pinned {
		if got := digest(mustParse(t, text)); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

// TestEveryKindIsTold: what the list prints is complete, and the names stand in order.
func TestEveryKindIsTold(t *testing.T) {
	list := Kinds()
	if !slices.IsSortedFunc(list, func(a, b Kind) int { return map[bool]int{true: -1, false: 1}[a.Name < b.Name] }) {
		t.Error("kinds are not in order")
	}
	for _, k := range list {
		if k.About == "" || k.Source == "" || len(k.Keys) < 3 {
			t.Errorf("%+v: incomplete", k)
		}
		for _, key := range k.Keys {
			if key.About == "" || key.Range == "" || (key.Default == "") != key.Needed {
				t.Errorf("%s.%s: %+v", k.Name, key.Name, key)
			}
		}
	}
}

// near fails if n of all is not about share, by five standard deviations of a binomial.
func near(t *testing.T, what string, n, all int, share float64) {
	t.Helper()
	if d := math.Abs(float64(n) - float64(all)*share); d > 5*math.Sqrt(float64(all)*share*(1-share))+1 {
		t.Errorf("%s: %d of %d, want about %.1f %%", what, n, all, 100*share)
	}
}

func TestHotAndCold(t *testing.T) {
	const refs = 100_000
	g, hot := New(mustParse(t, "generator:hotcold?pages=1000&refs=1&hot=100&hot_percent=80&seed=2")), 0
	seen := [1000]int{}
	for range refs {
		p, _ := g.Next()
		seen[p]++
		if p < 100 {
			hot++
		}
	}
	near(t, "hot references", hot, refs, 0.8)
	near(t, "references to one hot page", seen[7], refs, 0.8/100)
	near(t, "references to one cold page", seen[777], refs, 0.2/900)
}

// TestEveryPageOnce: a walk by strides and a chase pass every page once before any comes again.
func TestEveryPageOnce(t *testing.T) {
	for _, text := range []string{"strided?pages=1000&refs=1&stride=7", "strided?pages=1000&refs=1&stride=8", "strided?pages=9&refs=1&stride=9", "strided?pages=1&refs=1",
		"chase?pages=1&refs=1", "chase?pages=2&refs=1&seed=1", "chase?pages=1025&refs=1&seed=3", "chase?pages=4096&refs=1"} {
		s := mustParse(t, Prefix+text)
		g := New(s)
		var first []uint64
		for pass := range 3 {
			seen := make([]bool, s.Pages)
			for i := range s.Pages {
				p, _ := g.Next()
				if seen[p] {
					t.Fatalf("%s: pass %d: page %d comes twice", text, pass, p)
				}
				seen[p] = true
				if pass == 0 {
					first = append(first, p)
				} else if p != first[i] {
					t.Fatalf("%s: pass %d differs from the first at %d", text, pass, i)
				}
			}
		}
	}
	g := New(mustParse(t, "generator:strided?pages=1000&refs=1&stride=8"))
	for i := range uint64(100) {
		if p, _ := g.Next(); p != 8*i {
			t.Fatalf("reference %d is page %d, want %d", i, p, 8*i)
		}
	}
}

// TestChaseIsRandom: the distance from a page to the next is spread evenly, and another seed is another cycle.
func TestChaseIsRandom(t *testing.T) {
	const pages = 100_000
	g := New(mustParse(t, "generator:chase?pages=100000&refs=1&seed=1"))
	other := New(mustParse(t, "generator:chase?pages=100000&refs=1&seed=2"))
	last, forward, small, same := uint64(0), 0, 0, 0
	for range pages {
		p, _ := g.Next()
		q, _ := other.Next()
		if p > last {
			forward++
		}
		if d := int64(p - last); d > -pages/100 && d < pages/100 {
			small++
		}
		if p == q {
			same++
		}
		last = p
	}
	near(t, "steps forward", forward, pages, 0.5)
	near(t, "steps of less than a hundredth", small, pages, 1-0.99*0.99)
	if same > 20 {
		t.Errorf("two seeds share %d of %d steps", same, pages)
	}
}

func TestDriftMoves(t *testing.T) {
	g := New(mustParse(t, "generator:drift?pages=100&refs=1&hot=10&drift=50&seed=1"))
	for n := range uint64(10_000) {
		p, _ := g.Next()
		if from := n / 50 % 100; (p+100-from)%100 >= 10 {
			t.Fatalf("reference %d is page %d, want one of 10 from %d on", n, p, from)
		}
	}
}

// TestYCSBShares: reads, writes and scans are in the shares of the paper, and what is popular is what the workload says.
func TestYCSBShares(t *testing.T) {
	const refs = 100_000
	for workload, want := range map[string]float64{"a": 0.5, "b": 0.05, "c": 0, "d": 0.05, "f": 1.0 / 3} {
		g, writes := New(mustParse(t, "generator:ycsb?workload="+workload+"&pages=1000&refs=1&seed=4")), 0
		for range refs {
			if _, w := g.Next(); w {
				writes++
			}
		}
		near(t, "writes of "+workload, writes, refs, want)
	}
	g, writes, ops := New(mustParse(t, "generator:ycsb?workload=e&pages=1000&refs=1&scan=10&seed=4")), 0, 0
	y := g.shape.(*ycsb)
	for range refs {
		if y.left == 0 {
			ops++
		}
		if _, w := g.Next(); w {
			writes++
		}
	}
	near(t, "inserts of e", writes, ops, 0.05)
	if mean := float64(refs-writes) / float64(ops-writes); mean < 5.3 || mean > 5.6 {
		t.Errorf("scans read %.2f records, want 5.5 of 1 to 10", mean)
	}
}

// TestYCSBLatest: in d the newest record is read most often, also when the ring has gone round.
func TestYCSBLatest(t *testing.T) {
	g := New(mustParse(t, "generator:ycsb?workload=d&pages=20&record_bytes=4096&refs=1&seed=4"))
	y := g.shape.(*ycsb)
	newest, reads := 0, 0
	for range 50_000 {
		last := y.page(y.count - 1)
		if p, w := g.Next(); !w {
			reads++
			if p == last {
				newest++
			}
		}
	}
	sum := 0.0
	for k := 1; k <= 20; k++ {
		sum += math.Pow(float64(k), -0.99)
	}
	if y.count < 1000 {
		t.Errorf("%d records, want the ring of 20 gone round", y.count)
	}
	near(t, "reads of the newest", newest, reads, 1/sum)
}

// TestTrainingStep: the order of a step, by hand: 16 pages of state are 2 of weights (0, 1), 2 of gradients (2, 3), 12 of the optimizer
// (4-15), then 2 of activations and 2 of data.
func TestTrainingStep(t *testing.T) {
	g := New(mustParse(t, "generator:training?pages=20&refs=1&layers=2&activations_percent=10&data_percent=10&batch=1"))
	want := "18r 0r 16w 1r 17w " + // forward
		"17r 1r 3w 16r 0r 2w " + // backward
		"2r 4r 4w 5r 5w 6r 6w 7r 7w 8r 8w 9r 9w 0w " + // optimizer, layer 0
		"3r 10r 10w 11r 11w 12r 12w 13r 13w 14r 14w 15r 15w 1w " +
		"19r 0r 16w 1r " // the next step, and the next page of data
	got := ""
	for len(got) < len(want) {
		p, w := g.Next()
		got += fmt.Sprintf("%d%s ", p, map[bool]string{true: "w", false: "r"}[w])
	}
	if got != want {
		t.Errorf("the steps are\n%s, want\n%s", got, want)
	}
}

// TestWordCountPasses: input in order with its updates, then the table in order, then again; words by popularity.
func TestWordCountPasses(t *testing.T) {
	g := New(mustParse(t, "generator:wordcount?pages=100&refs=1&input_percent=40&words=500&seed=1"))
	n := [60]int{}
	for pass := range 2 {
		for page := range uint64(40) {
			if p, w := g.Next(); p != page || w {
				t.Fatalf("pass %d: page %d of the input is %d, write %v", pass, page, p, w)
			}
			for range 500 {
				p, w := g.Next()
				q, v := g.Next()
				if p < 40 || p != q || w || !v {
					t.Fatalf("an update of %d (%v) and %d (%v), want a read and a write of one page of the table", p, w, q, v)
				}
				n[p-40]++
			}
		}
		for page := range uint64(60) {
			if p, w := g.Next(); p != 40+page || w {
				t.Fatalf("pass %d: page %d of the table is %d, write %v", pass, page, p, w)
			}
		}
	}
	sum := 0.0
	for k := 1; k <= 60; k++ {
		sum += 1 / float64(k)
	}
	near(t, "updates of the most frequent", slices.Max(n[:]), 2*40*500, 1/sum)
}

// TestWhatDoesNotFit is refused, by key.
func TestWhatDoesNotFit(t *testing.T) {
	for text, want := range map[string]string{
		"training?pages=5&refs=1":                                   "pages: 5, want so many",
		"training?pages=20&refs=1&layers=3&activations_percent=10":  "layers: 3, want at most 1",
		"wordcount?pages=1&refs=1":                                  "input_percent: 50 of 1 pages",
		"wordcount?pages=10&refs=1&input_percent=100":               "input_percent: 100 of 10 pages",
		"strided?pages=4&refs=1&stride=5":                           "stride: 5, want at most pages, 4",
		"hotcold?pages=4&refs=1&hot=5":                              "hot: 5, want at most pages, 4",
		"ycsb?pages=4&refs=1":                                       "workload: missing, want one of a, b, c, d, e, f",
		"ycsb?pages=4&refs=1&workload=g&record_bytes=4097":          "workload: \"g\", want one of a, b, c, d, e, f\nrecord_bytes: \"4097\", want a whole number of 1 to 4096",
		"block?size=1m":                                             "number_ios: missing",
		"block?size=1000&number_ios=1":                              "size: \"1000\", want a multiple of 512",
		"block?size=4k&number_ios=1&bs=8k":                          "size: 4096, want at least the largest request, 8192",
		"block?size=4k&number_ios=1&bssplit=4k/60:8k/40":            "size: 4096, want at least the largest request, 8192",
		"block?size=1m&number_ios=1&bssplit=4k/60:8k/30":            "whose sum is 100 %, not 90",
		"block?size=1m&number_ios=1&bssplit=4k":                     "want sizes with percentages",
		"block?size=1m&number_ios=1&random_distribution=zoned:60/0": "want zones as",
		"block?size=1m&number_ios=1&random_distribution=zipf:x":     "want a number of 0 to 10",
		"block?size=1m&number_ios=1&random_distribution=pareto:1":   "want random, zipf:THETA or zoned",
		"block?size=1m&number_ios=1&rate_iops=0&rw=readwrite":       "rw: \"readwrite\", want one of read, write",
		"block?size=1m&number_ios=1&rate_iops=0":                    "rate_iops: 0, want a number above 0",
		"block?size=99999999999999999g&number_ios=1":                "size: \"99999999999999999g\"",
	} {
		fails(t, Prefix+text, want)
	}
}
