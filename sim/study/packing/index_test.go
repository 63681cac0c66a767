package packing

import (
	"testing"

	"pgregory.net/rapid"

	"splitkernel/sim/tasks"
)

// naive chooses by looking at every host.
type naive struct {
	policy     string
	free, size []tasks.Size
}

func (n *naive) find(need tasks.Size) int {
	at, score := -1, 0.0
	var whole tasks.Size
	for _, s := range n.size {
		whole = whole.Max(s)
	}
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
			b := best{need: need}
			b.weigh(whole)
			v = b.of(free)
		}
		if at < 0 || v > score {
			at, score = i, v
		}
	}
	return at
}

// TestIndicesChooseAsAScanDoes: whatever is taken, given back, added and taken away.
func TestIndicesChooseAsAScanDoes(t *testing.T) {
	for _, policy := range Policies() {
		t.Run(policy, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				idx, n := newIndex(policy), &naive{policy: policy}
				amount := rapid.Int64Range(0, 8)
				for range rapid.IntRange(1, 120).Draw(t, "steps") {
					switch k := rapid.IntRange(0, 9).Draw(t, "what"); {
					case k < 3 || len(n.free) == 0:
						s := tasks.Size{Cores: 8, Memory: rapid.SampledFrom([]int64{8, 16}).Draw(t, "memory"), GPUs: 8 * int64(k%2)}
						idx.add(s, s)
						n.free, n.size = append(n.free, s), append(n.size, s)
					case k == 3:
						i := rapid.IntRange(0, len(n.free)-1).Draw(t, "gone")
						idx.set(i, nothing)
						n.free[i] = nothing
					case k == 4:
						i := rapid.IntRange(0, len(n.free)-1).Draw(t, "back")
						idx.set(i, n.size[i])
						n.free[i] = n.size[i]
					default:
						need := tasks.Size{Cores: amount.Draw(t, "cores"), Memory: amount.Draw(t, "memory"), GPUs: amount.Draw(t, "gpus") * int64(k%2)}
						got, want := idx.find(need), n.find(need)
						if got != want {
							t.Fatalf("%+v of %+v is placed at %d, want %d", need, n.free, got, want)
						}
						if got >= 0 {
							n.free[got] = n.free[got].Minus(need)
							idx.set(got, n.free[got])
						}
					}
					most := nothing
					for _, f := range n.free {
						most = most.Max(f)
					}
					if idx.most() != most {
						t.Fatalf("the most is %+v, want %+v", idx.most(), most)
					}
				}
			})
		})
	}
}
