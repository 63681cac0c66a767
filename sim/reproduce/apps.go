package reproduce

import (
	"fmt"

	"splitkernel/pcomponent/excache"
)

const mib = 1 << 20

// slowdowns are Figures 11 and 12.
var slowdowns = []struct {
	figure string
	app    string
	mib    [3]uint64
	rows   []struct {
		name string
		x    [3]float64
	}
}{
	{"Fig 11", "TensorFlow", [3]uint64{128, 256, 512}, []struct {
		name string
		x    [3]float64
	}{
		{"LegoOS", [3]float64{2.13, 1.68, 1.41}},
		{"Linux swap to NVMe", [3]float64{5.52, 2.50, 1.37}},
		{"Linux swap to ramdisk", [3]float64{4.48, 2.16, 1.27}},
		{"InfiniSwap", [3]float64{2.91, 2.55, 1.23}},
	}},
	{"Fig 12", "Phoenix", [3]uint64{256, 512, 1024}, []struct {
		name string
		x    [3]float64
	}{
		{"LegoOS", [3]float64{1.74, 1.34, 1.17}},
		{"Linux swap to NVMe", [3]float64{5.60, 2.38, 1.21}},
		{"Linux swap to ramdisk", [3]float64{1.47, 1.21, 1.09}},
		{"InfiniSwap", [3]float64{4.50, 2.50, 1.86}},
	}},
}

// paperCluster is LegoOS with one mComponent as in Figures 11, 12 and 14: of Figure 13's two, four workers are nearer to Figure 11.
var paperCluster = cluster{memory: 1, workers: 4}

func (r *run) figures11and12() error {
	for f := range slowdowns {
		s := &slowdowns[f]
		a := r.app(s.app)
		local, err := r.localSeconds(a)
		if err != nil {
			return err
		}
		for i, m := range s.mib {
			x, err := r.slowdown(a, paperCluster, legoCache(m*mib, r.o.Scale))
			if err != nil {
				return err
			}
			r.add(s.figure, sizeCase("LegoOS", m), "slowdown", s.rows[0].x[i], x, Fitted)
			for d := range disks {
				seconds, err := linuxSeconds(&r.o, a, &disks[d], m*mib, r.o.Scale)
				if err != nil {
					return err
				}
				r.add(s.figure, sizeCase(disks[d].Name, m), "slowdown", s.rows[1+d].x[i], seconds/local, Predicted)
			}
		}
	}
	return nil
}

func sizeCase(name string, mib uint64) string { return fmt.Sprintf("%s, %d MiB", name, mib) }

// wins counts the 18 comparisons of LegoOS with a baseline whose winner is the published one.
func (r *Result) wins() (right, all int) {
	for _, s := range slowdowns {
		for _, m := range s.mib {
			lego := r.find(s.figure, sizeCase("LegoOS", m))
			for _, b := range s.rows[1:] {
				other := r.find(s.figure, sizeCase(b.name, m))
				all++
				if (lego.Ours < other.Ours) == (lego.Published < other.Published) {
					right++
				}
			}
		}
	}
	return right, all
}

// figure10 is PARSEC, with 1 and 4 threads.
var figure10 = []struct {
	app string
	x   [2]float64
}{{"StreamCluster", [2]float64{1.11, 1.12}}, {"Freqmine", [2]float64{1.24, 1.43}}, {"BlackScholes", [2]float64{1.75, 1.88}}}

func (r *run) figure10() error {
	for _, c := range figure10 {
		for i, threads := range []int{1, 4} {
			a := *r.app(c.app)
			a.Name, a.Threads = fmt.Sprintf("%s, %d threads", a.Name, threads), threads
			x, err := r.slowdown(&a, cluster{memory: 1, workers: 1}, legoCache(128*mib, r.o.Scale))
			if err != nil {
				return err
			}
			r.add("Fig 10", a.Name, "slowdown", c.x[i], x, Predicted)
		}
	}
	return nil
}

// figure13 is the design of eviction, with 1 and 4 workers.
var figure13 = []struct {
	name        string
	noPiggyback bool
	set         func(e *excache.Options)
	x           [2]float64
}{
	{"piggyback + list + FIFO", false, func(*excache.Options) {}, [2]float64{1.738, 1.673}},
	{"list + FIFO", true, func(*excache.Options) {}, [2]float64{1.843, 1.715}},
	{"list + LRU", true, func(e *excache.Options) { e.Policy = "lru-sweep" }, [2]float64{2.012, 1.937}},
	{"bitmap + FIFO", true, func(e *excache.Options) { e.Mechanism = excache.MechanismWriteProtect }, [2]float64{2.064, 1.915}},
}

func (r *run) figure13() error {
	a := r.app("TensorFlow")
	for _, c := range figure13 {
		for i, workers := range []int{1, 4} {
			e := legoCache(256*mib, r.o.Scale)
			e.SweepEvery = r.sweepEvery(a)
			c.set(&e)
			x, err := r.slowdown(a, cluster{memory: 1, workers: workers, noPiggyback: c.noPiggyback}, e)
			if err != nil {
				return err
			}
			r.add("Fig 13", fmt.Sprintf("%s, %d workers", c.name, workers), "slowdown", c.x[i], x, Predicted)
		}
	}
	return nil
}

// sweepEvery is how many visits an App makes in LegoOS's sweep interval of 1000 ms, all memory local, for sets that are as many
// times fewer as the scale says.
func (r *run) sweepEvery(a *App) int {
	gap := r.o.Hardware.Processor.Instructions(a.Instructions).Duration().Seconds()
	return max(int(float64(a.Threads)/gap/float64(r.o.Scale)), 1)
}

// figure14 is the configuration of memory and replication.
var figure14 = []struct {
	name       string
	memory     int
	replicate  bool
	tensorFlow float64
	phoenix    float64
}{
	{"1M", 1, false, 1.68, 1.34}, {"2M", 2, false, 1.79, 1.33}, {"2M replicated", 2, true, 1.83, 1.33}, {"4M", 4, false, 1.78, 1.33}, {"4M replicated", 4, true, 2.19, 1.39},
}

func (r *run) figure14() error {
	for _, p := range []struct {
		app string
		mib uint64
	}{{"TensorFlow", 256}, {"Phoenix", 512}} {
		a := r.app(p.app)
		for _, c := range figure14 {
			published := c.tensorFlow
			if p.app == "Phoenix" {
				published = c.phoenix
			}
			x, err := r.slowdown(a, cluster{memory: c.memory, workers: paperCluster.workers, replicate: c.replicate}, legoCache(p.mib*mib, r.o.Scale))
			if err != nil {
				return err
			}
			r.add("Fig 14", p.app+", "+c.name, "slowdown", published, x, Predicted)
		}
	}
	return nil
}

// figure15 is two applications together. What is not published is how much ExCache the pComponents of 2P-1M have: it is taken as in
// Figures 13 and 14; that of 1P-2M is shared, half each.
var figure15 = []struct {
	name                string
	k                   cluster
	tensorFlow, phoenix uint64 // MiB of ExCache
	x                   [2]float64
}{
	{"2P-1M, 4 workers", cluster{compute: 2, memory: 1, workers: 4}, 256, 512, [2]float64{2.83, 4.98}},
	{"2P-1M, 8 workers", cluster{compute: 2, memory: 1, workers: 8}, 256, 512, [2]float64{2.80, 4.85}},
	{"1P-2M, 1 GB", cluster{compute: 1, memory: 2, workers: 4}, 512, 512, [2]float64{1.64, 1.29}},
	{"1P-2M, 0.5 GB", cluster{compute: 1, memory: 2, workers: 4}, 256, 256, [2]float64{2.54, 4.32}},
}

func (r *run) figure15() error {
	t, p := r.app("TensorFlow"), r.app("Phoenix")
	lt, err := r.localSeconds(t)
	if err != nil {
		return err
	}
	lp, err := r.localSeconds(p)
	if err != nil {
		return err
	}
	for _, c := range figure15 {
		a, b := &job{app: t, cache: legoCache(c.tensorFlow*mib, r.o.Scale)}, &job{app: p, cache: legoCache(c.phoenix*mib, r.o.Scale)}
		if err := play(&r.o, c.k, r.o.Scale, a, b); err != nil {
			return err
		}
		r.add("Fig 15", "TensorFlow, "+c.name, "slowdown", c.x[0], a.seconds/lt, Predicted)
		r.add("Fig 15", "Phoenix, "+c.name, "slowdown", c.x[1], b.seconds/lp, Predicted)
	}
	return nil
}
