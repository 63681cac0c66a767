package excache

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// benchRefs is how many references a benchmark cycles through: enough that no
// branch predictor learns them by heart.
const benchRefs = 1 << 20

// zipfPages are pages of a Zipf distribution with exponent 1.01, spread over the
// number space so that popular pages are not neighbours.
func zipfPages(pages uint64) []uint64 {
	rng := rand.New(rand.NewPCG(1, 2))
	z := rand.NewZipf(rng, 1.01, 1, pages-1)
	names := rng.Perm(int(pages))
	refs := make([]uint64, benchRefs)
	for i := range refs {
		refs[i] = uint64(names[z.Uint64()])
	}
	return refs
}

func uniformPages(pages uint64) []uint64 {
	rng := rand.New(rand.NewPCG(1, 2))
	refs := make([]uint64, benchRefs)
	for i := range refs {
		refs[i] = rng.Uint64N(pages)
	}
	return refs
}

// BenchmarkHit is one access that hits, one in four of them a write. ns/op is ns
// per hit.
func BenchmarkHit(b *testing.B) {
	for _, geometry := range []struct{ lines, ways int }{{100_000, 0}, {1 << 17, 64}, {4096, 64}} {
		for _, policy := range policyNames() {
			for _, refs := range []struct {
				name  string
				pages func(uint64) []uint64
			}{{"zipf", zipfPages}, {"uniform", uniformPages}} {
				b.Run(fmt.Sprintf("%s/%dx%d/%s", policy, geometry.lines, geometry.ways, refs.name), func(b *testing.B) {
					o := fullyAssociative(policy, geometry.lines)
					o.Ways = geometry.ways
					c := mustNew(b, o)
					for page := range uint64(geometry.lines) {
						access(c, page, false)
					}
					pages := refs.pages(uint64(geometry.lines))
					b.ReportAllocs()
					b.ResetTimer()
					for i := range b.N {
						if _, ok := c.Hit(pages[i&(benchRefs-1)], i&3 == 0); !ok {
							b.Fatal("a page that was filled is not hit")
						}
					}
				})
			}
		}
	}
}

// BenchmarkMiss is one access that misses in a full cache: Hit, Miss with its
// eviction, flush, acknowledgement, fill and completion. Every page is written,
// so every victim is dirty.
func BenchmarkMiss(b *testing.B) {
	for _, geometry := range []struct{ lines, ways int }{{100_000, 0}, {1 << 17, 64}} {
		for _, mechanism := range Mechanisms() {
			for _, policy := range policyNames() {
				b.Run(fmt.Sprintf("%s/%s/%dx%d", mechanism, policy, geometry.lines, geometry.ways), func(b *testing.B) {
					o := fullyAssociative(policy, geometry.lines)
					o.Ways, o.Mechanism = geometry.ways, mechanism
					c := mustNew(b, o)
					for page := range uint64(2 * geometry.lines) {
						access(c, page, true)
					}
					b.ReportAllocs()
					b.ResetTimer()
					for i := range b.N {
						access(c, uint64(2*geometry.lines+i), true)
					}
				})
			}
		}
	}
}
