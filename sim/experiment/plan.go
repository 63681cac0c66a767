package experiment

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"splitkernel/configs"
	"splitkernel/sim/replay"
)

// Run is one run of a plan.
type Run struct {
	configs.SweepRun
	Index        int
	Digest       string // of everything that the result depends on, but for the program itself
	ConfigDigest string // as a report has it
	Traces       []replay.Trace
}

// idDigits is how much of a digest names the folder of a run: 64 bits tell the runs of a sweep apart.
const idDigits = 16

// ID names the folder of the run.
func (r *Run) ID() string { return r.Digest[:idDigits] }

// Plan is all runs of a sweep, in the order of its table.
type Plan struct {
	Sweep  *configs.Sweep
	Runs   []Run
	VNodes []string // of all its workloads, in the order in which they come first
	// Config is what the runs have in common, by key.
	Config map[string]any
}

// NewPlan loads what every run needs. env lies over the files, as everywhere; bundled traces are written to temp. Faults of the
// configurations are a *configs.FaultsError.
func NewPlan(ctx context.Context, s *configs.Sweep, env []string, temp string) (*Plan, error) {
	runs, err := s.Runs(env)
	if err != nil {
		return nil, err
	}
	p := &Plan{Sweep: s}
	traces := map[*configs.VNode][]replay.Trace{} // runs of one workload share its vNodes
	common := common{seen: map[parts]bool{}}
	named := map[string]bool{}
	for i, r := range runs {
		first := &r.Workload.Vnodes[0]
		if traces[first] == nil {
			if traces[first], err = readTraces(ctx, r.Workload, temp); err != nil {
				return nil, err
			}
			for j := range r.Workload.Vnodes {
				if name := r.Workload.Vnodes[j].Name; !named[name] {
					named[name] = true
					p.VNodes = append(p.VNodes, name)
				}
			}
		}
		run := Run{SweepRun: r, Index: i, Traces: traces[first]}
		run.digests(s)
		common.add(&run)
		p.Runs = append(p.Runs, run)
	}
	delete(common.config, "workload.seed") // the seeds are told apart
	p.Config = common.config
	return p, nil
}

// readTraces reads the traces of a workload; a trace that is none is a fault of the configuration.
func readTraces(ctx context.Context, w *configs.Workload, temp string) ([]replay.Trace, error) {
	traces, err := replay.ReadTraces(ctx, w, temp)
	if err == nil {
		return traces, nil
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	var lines []string
	for line := range strings.SplitSeq(err.Error(), "\n") {
		lines = append(lines, w.Name+": "+line)
	}
	return nil, &configs.FaultsError{Faults: lines}
}

// digests fills in what identifies the run.
func (r *Run) digests(s *configs.Sweep) {
	if r.Hardware != nil {
		r.ConfigDigest = configs.SimulationDigest(r.Cluster, r.Workload, r.Hardware)
	} else {
		r.ConfigDigest = configs.RunDigest(r.Cluster, r.Workload)
	}
	of := struct {
		Schema, Engine, Config string
		Slowdown               bool
		Traces                 []string
	}{Schema: schemaResult, Engine: s.Engine, Config: r.ConfigDigest, Slowdown: s.Slowdown && s.Engine == configs.EngineVirtual}
	for _, t := range r.Traces {
		of.Traces = append(of.Traces, t.Digest)
	}
	text, err := json.Marshal(of)
	if err != nil {
		panic(err) // texts only
	}
	sum := sha256.Sum256(text)
	r.Digest = hex.EncodeToString(sum[:])
}

// parts are the configurations that runs share.
type parts struct {
	cluster  *configs.Cluster
	vnodes   *configs.VNode
	hardware any
}

// common finds the keys that all runs have with one value.
type common struct {
	seen   map[parts]bool
	config map[string]any
}

func (c *common) add(r *Run) {
	at := parts{r.Cluster, &r.Workload.Vnodes[0], r.Hardware}
	if c.seen[at] {
		return
	}
	c.seen[at] = true
	config := configs.Flat(r.Cluster, r.Workload, r.Hardware)
	if c.config == nil {
		c.config = config
		return
	}
	for k, v := range c.config {
		if w, ok := config[k]; !ok || !reflect.DeepEqual(v, w) {
			delete(c.config, k)
		}
	}
}

// digest identifies the whole plan.
func (p *Plan) digest() string {
	h := sha256.New()
	for i := range p.Runs {
		fmt.Fprintln(h, p.Runs[i].Digest)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Shard is a share of the runs: those whose index is Index modulo Of. The zero value is all.
type Shard struct{ Index, Of int }

// MaxShards bounds the shards of a sweep.
const MaxShards = configs.MaxSweepRuns

// ParseShard reads "0/4" to "3/4".
func ParseShard(text string) (Shard, error) {
	first, second, ok := strings.Cut(text, "/")
	i, err1 := strconv.Atoi(first)
	n, err2 := strconv.Atoi(second)
	if !ok || err1 != nil || err2 != nil || n < 1 || n > MaxShards || i < 0 || i >= n {
		if ok && err2 == nil && n >= 1 && n <= MaxShards {
			return Shard{}, fmt.Errorf("%q, want 0/%d to %d/%d: shards are counted from 0", text, n, n-1, n)
		}
		return Shard{}, fmt.Errorf("%q, want I/N with N of 1 to %d and I from 0 to N-1, as in 0/4", text, MaxShards)
	}
	return Shard{i, n}, nil
}

func (s Shard) has(index int) bool { return s.Of == 0 || index%s.Of == s.Index }

// whole reports whether a shard is everything.
func (s Shard) whole() bool { return s.Of <= 1 }
