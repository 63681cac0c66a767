package fuzz

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"splitkernel/sim/faults"
)

const (
	// MaxSeeds bounds the seeds of one run.
	MaxSeeds = 1_000_000_000
	// MaxJobs bounds the worlds that are played at once.
	MaxJobs = 1024
	// DefaultMaxFailures is after how many seeds that failed a run ends: more would say the same.
	DefaultMaxFailures = 20
)

// RunOptions say which seeds to play.
type RunOptions struct {
	First   uint64
	Seeds   uint64        // 0: until Minutes have passed
	Minutes time.Duration // 0: until all seeds are played
	Jobs    int           // worlds at once; 0 is a processor each
	// MaxFailures is after how many seeds that failed the run ends; 0 is DefaultMaxFailures.
	MaxFailures int
	// Failed hears of every seed that fails, in no order; one call at a time. May be nil.
	Failed func(seed uint64, w *World, out *Outcome)
	// Told hears of progress after every world; one call at a time. May be nil.
	Told func(r *Report)
	// Play plays a world; nil is Play.
	Play func(w *World) *Outcome
}

// Report is what became of many seeds.
type Report struct {
	First          uint64         `json:"first_seed"`
	Seeds          uint64         `json:"seeds"`
	Failures       int            `json:"failures"`
	Operations     uint64         `json:"operations"`
	ClusterSeconds float64        `json:"cluster_seconds"`
	Events         uint64         `json:"events"`
	Ended          uint64         `json:"processes_ended"`
	Lost           uint64         `json:"processes_lost"` // by name, within what their world's faults may cost
	Moved          uint64         `json:"moves"`
	WallSeconds    float64        `json:"wall_seconds"`
	Jobs           int            `json:"jobs"`
	CoreSeconds    float64        `json:"core_seconds"` // of processors, with what collects garbage
	PerCore        float64        `json:"operations_per_second_and_core"`
	Coverage       map[string]Row `json:"coverage"`              // by fault
	Thin           []Cell         `json:"coverage_below_wanted"` // the faults and phases that came together less often than CoverageWanted
	Skipped        uint64         `json:"pages_skipped"`         // by full logs of memory
	Restarts       uint64         `json:"processes_restarted"`   // from checkpoints
	FailedSeeds    []FailedSeed   `json:"failed_seeds"`
	Digest         string         `json:"digest,omitempty"` // of one world: the same seed gives the same
	coverage       Coverage
}

// CoverageWanted is how often each kind of fault must happen in each phase in the run before a release.
const CoverageWanted = 100

// Cell is a kind of fault in a phase.
type Cell struct {
	Fault string `json:"fault"`
	Phase string `json:"phase"`
	Times uint64 `json:"times"`
}

// Row is how often a fault happened in each phase.
type Row map[string]uint64

// FailedSeed is a seed that did not hold.
type FailedSeed struct {
	Seed    uint64 `json:"seed"`
	What    string `json:"what"`
	Text    string `json:"text"`
	Command string `json:"command"`          // that repeats it
	Script  string `json:"script,omitempty"` // shrunk
}

// Command is the command line that plays one seed again.
func Command(seed uint64) string { return fmt.Sprintf("splitkernel fuzz --seeds 1 --seed %d", seed) }

// Add takes down one more world.
func (r *Report) Add(seed uint64, out *Outcome) {
	r.Seeds++
	r.Operations += out.Operations
	r.ClusterSeconds += out.Cluster.Seconds()
	r.Events += out.Events
	r.Ended += uint64(out.Ended)
	r.Lost += uint64(len(out.Lost))
	r.Moved += out.Moved
	r.Skipped += out.Skipped
	r.Restarts += out.Restarts
	r.coverage.Add(&out.Coverage)
	if r.Digest = ""; r.Seeds == 1 {
		r.Digest = fmt.Sprintf("%016x", out.Digest)
	}
	if out.Failure != nil {
		r.Failures++
		r.FailedSeeds = append(r.FailedSeeds, FailedSeed{Seed: seed, What: out.Failure.What, Text: out.Failure.Error(), Command: Command(seed)})
	}
}

// finish sums up.
func (r *Report) finish(wall time.Duration) {
	r.WallSeconds = wall.Seconds()
	if r.CoreSeconds > 0 {
		r.PerCore = float64(r.Operations) / r.CoreSeconds
	}
	r.Coverage, r.Thin = map[string]Row{}, []Cell{}
	for k := faults.Kill; k <= faults.DiskFull; k++ {
		row := Row{}
		for p := range faults.Phases {
			n := r.coverage[k][p]
			if row[faults.Phase(p).String()] = n; n < CoverageWanted {
				r.Thin = append(r.Thin, Cell{k.String(), faults.Phase(p).String(), n})
			}
		}
		r.Coverage[k.String()] = row
	}
	slices.SortFunc(r.FailedSeeds, func(a, b FailedSeed) int {
		if a.Seed < b.Seed {
			return -1
		}
		return 1
	})
	if r.FailedSeeds == nil {
		r.FailedSeeds = []FailedSeed{}
	}
}

// Run plays seeds until they are played, the time has passed, too many have failed, or ctx ends. What became of a seed does not depend
// on how many are played at once.
func Run(ctx context.Context, o RunOptions) *Report {
	if o.Jobs <= 0 {
		o.Jobs = runtime.GOMAXPROCS(0)
	}
	if o.MaxFailures <= 0 {
		o.MaxFailures = DefaultMaxFailures
	}
	if o.Play == nil {
		o.Play = Play
	}
	if o.Minutes > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.Minutes)
		defer cancel()
	}
	r, began, used := &Report{First: o.First, Jobs: o.Jobs}, time.Now(), processor()
	var mu sync.Mutex
	var next atomic.Uint64
	var enough atomic.Bool
	var workers sync.WaitGroup
	for range o.Jobs {
		workers.Go(func() {
			for ctx.Err() == nil && !enough.Load() {
				n := next.Add(1) - 1
				if o.Seeds > 0 && n >= o.Seeds {
					return
				}
				seed := o.First + n
				w := Draw(seed)
				out := o.Play(w)
				mu.Lock()
				r.Add(seed, out)
				enough.Store(r.Failures >= o.MaxFailures)
				if out.Failure != nil && o.Failed != nil {
					o.Failed(seed, w, out)
				}
				if o.Told != nil {
					o.Told(r)
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	r.CoreSeconds = (processor() - used).Seconds()
	r.finish(time.Since(began))
	return r
}

// RunOne plays one world.
func RunOne(w *World) *Report {
	r, began, used := &Report{First: w.Seed, Jobs: 1}, time.Now(), processor()
	r.Add(w.Seed, Play(w))
	r.CoreSeconds = (processor() - used).Seconds()
	r.finish(time.Since(began))
	return r
}

// processor is the processor time of this program so far: on a machine that others use, too, wall time would say how busy they are.
func processor() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0 // then there is no figure of speed
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
