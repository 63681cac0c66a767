package calibrate

import (
	"math/rand/v2"
	"time"

	"splitkernel/netlayer/wire"
)

// Memory is what the DRAM does, in ns.
type Memory struct {
	Copy float64 `json:"copy_page_ns"` // a page that no processor cache has, copied
	Load float64 `json:"load_ns"`      // a load that no processor cache has, which the next one waits for
}

// memorySize is what is copied and walked through: more than the processor caches of most machines.
const memorySize = 64 << 20

// loads is how many loads are timed together.
const loads = 1 << 14

// measureMemory measures it for about so long.
func measureMemory(limit time.Duration) (m Memory) {
	from, to := make([]byte, memorySize/2), make([]byte, memorySize/2)
	chance := rand.New(rand.NewPCG(1, 1)) // the order only has to be one that no processor foresees
	var copies, walks samples
	next := cycle(chance, memorySize/2/4096, 4096/4)
	at := uint32(0)
	for end := time.Now().Add(limit); len(walks) == 0 || time.Now().Before(end); {
		for range turn {
			a, b := chance.IntN(len(from)/wire.PageSize)*wire.PageSize, chance.IntN(len(to)/wire.PageSize)*wire.PageSize
			began := time.Now()
			copy(to[b:b+wire.PageSize], from[a:a+wire.PageSize])
			copies.add(time.Since(began))
		}
		began := time.Now()
		for range loads {
			at = next[at]
		}
		walks = append(walks, float64(time.Since(began))/loads)
	}
	if at == ^uint32(0) { // it never is: the walk must have a use
		walks = nil
	}
	return Memory{median(copies), median(walks)}
}

// cycle gives a permutation of one cycle over n places that are step apart: next[i] is where to go from i.
func cycle(chance *rand.Rand, n, step int) []uint32 {
	order := chance.Perm(n)
	next := make([]uint32, n*step)
	for i, p := range order {
		next[p*step] = uint32(order[(i+1)%n] * step)
	}
	return next
}
