package reproduce

import (
	"fmt"
	"time"

	"splitkernel/gmanagers/admission"
	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/excache"
	"splitkernel/sim/vcluster"
	"splitkernel/sim/vtime"
)

// figure8Threads, figure8Rows: thousand accesses a second by threads.
var figure8Threads = []int{1, 4, 8}

var figure8Rows = []struct {
	name                   string
	memory, workers        int
	local, pLocal, measure bool
	k                      [3]float64
}{
	{name: "Linux, local", memory: 1, workers: 1, local: true, pLocal: true, k: [3]float64{1040, 3900, 7130}},
	{name: "p-local lines", memory: 1, workers: 1, pLocal: true, k: [3]float64{588, 1941, 3370}},
	{name: "1 mComponent × 4 workers", memory: 1, workers: 4, k: [3]float64{126, 427, 669}},
	{name: "2 mComponents × 2 workers", memory: 2, workers: 2, k: [3]float64{121, 432, 574}},
	{name: "1 × 2 workers", memory: 1, workers: 2, k: [3]float64{126, 377, 386}},
	{name: "1 × 1 worker", memory: 1, workers: 1, k: [3]float64{126, 203, 203}},
}

// figure8Pages are the cold misses of each thread, and figure8Scale makes the vRegions small, so that each thread has its own.
const (
	figure8Pages = 1000
	figure8Scale = 256
)

func (r *run) figure8() error {
	for _, row := range figure8Rows {
		for i, threads := range figure8Threads {
			k, err := coldMisses(&r.o, cluster{memory: row.memory, workers: row.workers, spread: true}, threads, row.pLocal, row.local)
			if err != nil {
				return fmt.Errorf("figure 8, %s: %w", row.name, err)
			}
			r.add("Fig 8", fmt.Sprintf("%s, %d threads", row.name, threads), "k/s", row.k[i], k, Predicted)
		}
	}
	return nil
}

// coldMisses is the rate of threads that touch one page after the other, each for the first time, in thousands a second.
func coldMisses(o *Options, k cluster, threads int, pLocal, local bool) (float64, error) {
	k.linux = local
	c, err := k.new(o, figure8Scale)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	const region = regionBytes / figure8Scale
	var failed error
	var took time.Duration
	c.Go("figure 8", func(y *vtime.Proc) {
		e := excache.DefaultOptions()
		e.Lines, e.Ways = threads*figure8Pages, 0
		p, err := open(y, c, "figure 8", threads, e, local)
		for t := 0; err == nil && t < threads; t++ {
			err = p.Map(y, base+uint64(t)*region, figure8Pages*wire.PageSize, pLocal, true, "")
		}
		if failed = err; err != nil {
			return
		}
		began := y.Now()
		for i := range threads {
			t := p.Thread(i)
			c.Go(fmt.Sprintf("thread %d", i), func(y *vtime.Proc) {
				t.Begin(y)
				first := (base + uint64(i)*region) / wire.PageSize
				for n := range uint64(figure8Pages) {
					if _, err := t.Access(first+n, true); err != nil {
						failed = err
						return
					}
				}
				t.Sync()
				took = max(took, y.Now()-began)
			})
		}
	})
	if err := c.Run(0); err != nil {
		return 0, err
	}
	return float64(threads) * figure8Pages / took.Seconds() / 1000, failed
}

// figure9 is the LegoOS row of Figure 9, in thousand operations a second.
var figure9 = []struct {
	name              string
	write, sequential bool
	k                 float64
}{{"random write", true, false, 17.1}, {"random read", false, false, 8.9}, {"sequential write", true, true, 17.4}, {"sequential read", false, true, 25.3}}

func (r *run) figure9() error {
	for _, c := range figure9 {
		k, err := blocks(&r.o, c.write, c.sequential)
		if err != nil {
			return fmt.Errorf("figure 9, %s: %w", c.name, err)
		}
		r.add("Fig 9", "LegoOS, "+c.name, "k/s", c.k, k, Predicted)
	}
	return nil
}

// blocks is the rate of one thread with 4 KiB each, a flush after each write, on a file of 25 GB of which 1 GB is accessed.
func blocks(o *Options, write, sequential bool) (float64, error) {
	const size, requests, fileBytes, accessed = wire.PageSize, 2000, 25 << 30, 1 << 30 / wire.PageSize
	c, err := cluster{memory: 1, workers: 1}.new(o, 1<<8)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	var failed error
	var took time.Duration
	c.Go("figure 9", func(y *vtime.Proc) {
		failed = func() error {
			place, err := c.Admit(y, admission.VNodeSpec{Name: "figure 9", Threads: 1, ExCacheLines: 64, Volumes: []admission.VolumeSpec{{Name: "file", SizeBytes: fileBytes}}})
			if err != nil {
				return err
			}
			v := place.Volumes[0]
			vo := vcluster.VolumeOptions{ID: v.Volume, Epoch: v.Epoch, Name: "file", SizeBytes: v.SizeBytes, Storage: v.Storage, Cache: v.Cache}
			if err := c.CreateVolume(y, place.Node, vo); err != nil {
				return err
			}
			e := excache.DefaultOptions()
			e.Lines = 64
			p, err := c.Open(y, vcluster.ProcessOptions{PID: place.PID, Epoch: place.Epoch, Name: "figure 9", Node: place.Node, Threads: 1, ExCache: e, Home: place.Home.Owner()})
			if err != nil {
				return err
			}
			file, err := p.Attach(y, vo)
			if err != nil {
				return err
			}
			rng := vtime.Stream(o.Seed, "figure 9", 0)
			data := make([]byte, size)
			began := y.Now()
			for i := range uint64(requests) {
				at := i * size
				if !sequential {
					at = 2 * rng.Uint64N(accessed/2) * size // even blocks: never one after the other
				}
				if write {
					if err := file.Write(y, at, data); err != nil {
						return err
					}
					err = file.Flush(y)
				} else {
					err = file.Read(y, at, data)
				}
				if err != nil {
					return err
				}
			}
			took = y.Now() - began
			return p.Close(y)
		}()
	})
	if err := c.Run(0); err != nil {
		return 0, err
	}
	return requests / took.Seconds() / 1000, failed
}
