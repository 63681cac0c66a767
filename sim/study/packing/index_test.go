package packing

import (
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"splitkernel/sim/tasks"
)

// naive chooses by looking at every host.
type naive struct {
	policy     string
	free, size []tasks.Size
	whole      tasks.Size
}

func (n *naive) set(i int, free, size tasks.Size) {
	if i == len(n.free) {
		n.free, n.size = append(n.free, free), append(n.size, size)
	}
	n.free[i], n.size[i], n.whole = free, size, n.whole.Max(size)
}

func (n *naive) find(need tasks.Size) int {
	at, score := -1, 0.0
	p := product{need: need}
	p.weigh(n.whole)
	for i, free := range n.free {
		if !need.Fits(free) {
			continue
		}
		var v float64
		switch n.policy {
		case "best-fit":
			v = -share(free, n.size[i])
		case "worst-fit":
			v = share(free, n.size[i])
		case "dot-product":
			v = p.of(free)
		}
		if at < 0 || v > score {
			at, score = i, v
		}
	}
	return at
}

func (n *naive) most() tasks.Size {
	if len(n.free) == 0 {
		return nothing
	}
	most := n.free[0]
	for _, f := range n.free {
		most = most.Max(f)
	}
	return most
}

// TestIndicesChooseAsAScanDoes: whatever is taken, given back, added, taken away and made larger or smaller.
func TestIndicesChooseAsAScanDoes(t *testing.T) {
	for _, policy := range Policies() {
		t.Run(policy, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				idx, n := newIndex(policy), &naive{policy: policy}
				set := func(i int, free, size tasks.Size) { idx.set(i, free, size); n.set(i, free, size) }
				amount := rapid.Int64Range(0, 8)
				sizes := rapid.Custom(func(t *rapid.T) tasks.Size {
					return tasks.Size{Cores: 8, Memory: rapid.SampledFrom([]int64{8, 16}).Draw(t, "memory"), GPUs: rapid.SampledFrom([]int64{0, 8}).Draw(t, "gpus")}
				})
				for range rapid.IntRange(1, 120).Draw(t, "steps") {
					some := func(what string) int { return rapid.IntRange(0, len(n.free)-1).Draw(t, what) }
					switch k := rapid.IntRange(0, 9).Draw(t, "what"); {
					case k < 3 || len(n.free) == 0:
						s := sizes.Draw(t, "size")
						set(len(n.free), s, s)
					case k == 3:
						i := some("gone")
						set(i, nothing, n.size[i])
					case k == 4:
						i, s := some("back"), sizes.Draw(t, "size")
						set(i, s, s)
					case k == 5: // less than what its tasks have
						i := some("smaller")
						size := tasks.Size{Cores: 4, Memory: 4}
						set(i, size.Minus(n.size[i].Minus(n.free[i])), size)
					default:
						need := tasks.Size{Cores: amount.Draw(t, "cores"), Memory: amount.Draw(t, "memory"), GPUs: amount.Draw(t, "gpus") * int64(k%2)}
						got, want := idx.find(need), n.find(need)
						if got != want {
							t.Fatalf("%+v of %+v is placed at %d, want %d", need, n.free, got, want)
						}
						if got >= 0 {
							set(got, n.free[got].Minus(need), n.size[got])
						}
					}
					if got, want := idx.most(), n.most(); got != want {
						t.Fatalf("the most is %+v, want %+v", got, want)
					}
				}
			})
		})
	}
}

// TestIndicesChooseAsAScanDoesAtLoad: on hundreds of hosts of odd sizes, from empty ones to ones where most tasks find no room.
func TestIndicesChooseAsAScanDoesAtLoad(t *testing.T) {
	const hosts, steps = 400, 4000
	for _, policy := range Policies() {
		t.Run(policy, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(3, 4))
			idx, n := newIndex(policy), &naive{policy: policy}
			set := func(i int, free, size tasks.Size) { idx.set(i, free, size); n.set(i, free, size) }
			for i := range hosts {
				s := tasks.Size{Cores: 96*tasks.One - rng.Int64N(3)*7, Memory: 384<<30 + rng.Int64N(2)*12345, GPUs: rng.Int64N(2) * 8 * tasks.One}
				set(i, s, s)
			}
			type taken struct {
				host int
				size tasks.Size
			}
			var all []taken
			refused := 0
			for step := range steps {
				if len(all) > 0 && rng.IntN(steps) > 2*(steps-step) { // more and more end, once most are there
					k := rng.IntN(len(all))
					e := all[k]
					all[k] = all[len(all)-1]
					all = all[:len(all)-1]
					set(e.host, n.free[e.host].Plus(e.size), n.size[e.host])
				}
				need := tasks.Size{Cores: rng.Int64N(48 * tasks.One), Memory: rng.Int64N(96 << 30), GPUs: max(rng.Int64N(8)-5, 0) * tasks.One / 2}
				got, want := idx.find(need), n.find(need)
				if got != want {
					t.Fatalf("step %d: %+v is placed at %d, want %d", step, need, got, want)
				}
				if got < 0 {
					refused++
					continue
				}
				set(got, n.free[got].Minus(need), n.size[got])
				all = append(all, taken{got, need})
			}
			if refused == 0 || len(all) < hosts {
				t.Errorf("%d tasks found no room and %d have some: it was to be tried both empty and full", refused, len(all))
			}
		})
	}
}

// TestTreeKeepsItsOrder: what a node knows of what is below it is so, and hosts are in the order of their places.
func TestTreeKeepsItsOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := &ranked{tree: tree{root: none}, rank: share}
		amount, size := rapid.Int64Range(-3, 1<<40), tasks.Size{Cores: 1 << 38, Memory: 1 << 40, GPUs: 3}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			i := rapid.IntRange(0, len(x.nodes)).Draw(t, "host")
			x.set(i, tasks.Size{Cores: amount.Draw(t, "cores"), Memory: amount.Draw(t, "memory")}, size)
			last := int32(none)
			if n := below(t, &x.tree, x.root, &last); n != len(x.nodes) {
				t.Fatalf("%d hosts in the tree, want %d", n, len(x.nodes))
			}
		}
	})
}

// below checks what is below node i and counts it. last is the host before it in order.
func below(t *rapid.T, x *tree, i int32, last *int32) int {
	if i == none {
		return 0
	}
	n := x.nodes[i]
	count := below(t, x, n.left, last)
	if *last != none && !x.before(*last, i) {
		t.Fatalf("host %d comes before %d", *last, i)
	}
	*last = i
	count += 1 + below(t, x, n.right, last)
	most, lowest, first := n.free, n.rank, i
	for _, c := range []int32{n.left, n.right} {
		if c == none {
			continue
		}
		if priority(c) > priority(i) {
			t.Fatalf("%d is above %d", i, c)
		}
		m := x.nodes[c]
		most, lowest, first = most.Max(m.most), min(lowest, m.lowest), min(first, m.first)
	}
	if n.most != most || n.lowest != lowest || n.first != first {
		t.Fatalf("node %d says %+v, %v, %d of what is below, want %+v, %v, %d", i, n.most, n.lowest, n.first, most, lowest, first)
	}
	return count
}
