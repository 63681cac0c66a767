package reproduce

import (
	"fmt"
	"time"

	"splitkernel/netlayer/wire"
	"splitkernel/pcomponent/excache"
	"splitkernel/sim/vcluster"
	"splitkernel/sim/vtime"
)

// job is an App on a cluster.
type job struct {
	app     *App
	cache   excache.Options
	local   bool
	seconds float64
	process *vcluster.Process
	err     error
}

// play runs jobs together on a cluster and sets their seconds.
func play(o *Options, k cluster, scale int, jobs ...*job) error {
	c, err := k.new(o, scale)
	if err != nil {
		return err
	}
	defer c.Close()
	c.Go("admission", func(y *vtime.Proc) {
		for _, j := range jobs {
			p, err := open(y, c, j.app.Name, j.app.Threads, j.cache, j.local)
			if err != nil {
				j.err = err
				return
			}
			j.process = p
		}
		for _, j := range jobs {
			c.Go(j.app.Name, func(y *vtime.Proc) { j.err = j.run(y, o, c, scale) })
		}
	})
	if err := c.Run(0); err != nil {
		return err
	}
	for _, j := range jobs {
		if j.err != nil {
			return fmt.Errorf("%s: %w", j.app.Name, j.err)
		}
	}
	return nil
}

// run makes all visits of a job and gives its memory back.
func (j *job) run(y *vtime.Proc, o *Options, c *vcluster.Cluster, scale int) error {
	p, l := j.process, j.app.layout(o, scale)
	file := uint64(0) // bytes
	if j.app.Once {
		file = uint64(l.cold) * wire.PageSize
		if err := p.Map(y, base, file, false, true, "file"); err != nil {
			return err
		}
	}
	if err := p.Map(y, base+file, l.bytes()-file, true, true, ""); err != nil {
		return err
	}
	threads := newCrew(j.app, y.Now())
	ended := vtime.Signal{Name: "the threads of " + j.app.Name}
	left := j.app.Threads
	var failed error
	for i := range j.app.Threads {
		t, w := p.Thread(i), l.walker(o, i)
		c.Go(fmt.Sprintf("%s, thread %d", j.app.Name, i), func(y *vtime.Proc) {
			t.Begin(y)
			for {
				if threads.due(w) {
					t.Sync()
					threads.wait(y, w)
				}
				page, write, instructions, ok := w.next()
				if !ok {
					break
				}
				t.Compute(instructions)
				if _, err := t.Access(base/wire.PageSize+uint64(page), write); err != nil {
					failed = err
					break
				}
			}
			t.Sync()
			left--
			ended.Wake()
		})
	}
	for left > 0 {
		y.Wait(&ended)
	}
	j.seconds = float64(y.Now()-threads.began) / float64(time.Second)
	if failed != nil {
		return failed
	}
	return p.Close(y)
}

// localSeconds is how long an App takes with all its memory at hand.
func (r *run) localSeconds(a *App) (float64, error) {
	if s, ok := r.local[a.Name]; ok {
		return s, nil
	}
	if err := r.stop(); err != nil {
		return 0, err
	}
	j := &job{app: a, local: true}
	l := a.layout(&r.o, r.o.Scale)
	j.cache = excache.DefaultOptions()
	j.cache.Lines, j.cache.Ways = l.pages+l.fresh, 0
	if err := play(&r.o, cluster{memory: 1, workers: 1, linux: true}, r.o.Scale, j); err != nil {
		return 0, err
	}
	r.local[a.Name] = j.seconds
	return j.seconds, nil
}

// slowdown is that of one App alone.
func (r *run) slowdown(a *App, k cluster, e excache.Options) (float64, error) {
	local, err := r.localSeconds(a)
	if err == nil {
		err = r.stop()
	}
	if err != nil {
		return 0, err
	}
	j := &job{app: a, cache: e}
	if err := play(&r.o, k, r.o.Scale, j); err != nil {
		return 0, err
	}
	return j.seconds / local, nil
}
