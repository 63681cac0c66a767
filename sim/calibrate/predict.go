package calibrate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"reflect"
	"time"

	"splitkernel/configs"
	"splitkernel/sim/hardware"
	"splitkernel/sim/replay"
	"splitkernel/sim/trace"
)

// MaxRounds bounds the rounds of a comparison.
const MaxRounds = 99

// Case is a trace that is predicted and measured.
type Case struct {
	Name  string
	VNode configs.VNode // its trace is a path of this machine
}

// Prediction compares one trace over one transport: medians over the rounds.
type Prediction struct {
	Trace     string  `json:"trace"`
	Transport string  `json:"transport"`
	Rounds    int     `json:"rounds"`
	Predicted Outcome `json:"predicted"`
	Measured  Outcome `json:"measured"`
	// WallError, BusyError and FetchError are predicted over measured, less one; 0 if there was no fetch.
	WallError  float64 `json:"wall_error"`
	BusyError  float64 `json:"busy_error"`
	FetchError float64 `json:"fetch_p50_error"`
}

// Worst is the largest error of wall time and latency, without its sign.
func (p *Prediction) Worst() float64 { return max(math.Abs(p.WallError), math.Abs(p.FetchError)) }

// PredictOptions say what to compare.
type PredictOptions struct {
	Options
	Transports []string
	Rounds     int
	Cases      []Case
	// Hardware is a profile to predict with; nil calibrates anew in each round, for Options.Seconds in all.
	Hardware *hardware.Profile
	// Said hears what is done; may be nil.
	Said func(text string)
}

// Predict runs every case live and in virtual time, round by round, with calibrations before and after each live run, so that
// both meet the same load, and compares the medians.
func Predict(ctx context.Context, o PredictOptions) ([]Prediction, error) {
	if o.Rounds < 1 || o.Rounds > MaxRounds {
		return nil, fmt.Errorf("rounds: %d, want 1 to %d", o.Rounds, MaxRounds)
	}
	type pair struct{ live, virtual []Outcome }
	all := make([][]pair, len(o.Transports))
	for t := range all {
		all[t] = make([]pair, len(o.Cases))
	}
	for round := range o.Rounds {
		for t, transport := range o.Transports {
			if o.Said != nil {
				o.Said(fmt.Sprintf("round %d of %d, %s", round+1, o.Rounds, transport))
			}
			live, virtual, err := o.round(ctx, transport)
			if err != nil {
				return nil, fmt.Errorf("round %d over %s: %w", round+1, transport, err)
			}
			for c := range o.Cases {
				all[t][c].live = append(all[t][c].live, live[c])
				all[t][c].virtual = append(all[t][c].virtual, virtual[c])
			}
		}
	}
	var out []Prediction
	for t, transport := range o.Transports {
		for c := range o.Cases {
			p := Prediction{Trace: o.Cases[c].Name, Transport: transport, Rounds: o.Rounds, Predicted: middle(all[t][c].virtual), Measured: middle(all[t][c].live)}
			p.WallError = relative(p.Predicted.WallSeconds, p.Measured.WallSeconds)
			p.BusyError = relative(p.Predicted.BusySeconds, p.Measured.BusySeconds)
			p.FetchError = relative(p.Predicted.FetchP50US, p.Measured.FetchP50US)
			out = append(out, p)
		}
	}
	return out, nil
}

// round runs every case once live, calibrates before, between and after them, and then runs every case in virtual time.
func (o *PredictOptions) round(ctx context.Context, transport string) (live, virtual []Outcome, err error) {
	lo := o.Options
	lo.Transport, lo.Seconds = transport, max(lo.Seconds/float64(len(o.Cases)+1), MinSeconds)
	l, err := Start(ctx, lo)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	var around []Measured // before each case, and after the last
	measure := func() error {
		if o.Hardware != nil {
			return nil
		}
		m, err := l.Measure(ctx)
		around = append(around, m)
		if err == nil { // the traces leave the disk alone: once is enough
			o.Disk, l.o.Disk = &m.Disk, &m.Disk
		}
		return err
	}
	if err := measure(); err != nil {
		return nil, nil, err
	}
	for i := range o.Cases {
		m, err := l.Replay(ctx, &o.Cases[i].VNode)
		if err == nil {
			err = measure()
		}
		if err != nil {
			return nil, nil, err
		}
		live = append(live, m)
	}
	for i := range o.Cases {
		p, share := o.Hardware, 1.0
		if p == nil {
			m := between(around[i], around[i+1])
			p, share = Profile(&m, time.Now(), Host()), m.Share
		}
		x, err := Virtual(ctx, &p.Hardware, &o.Cases[i].VNode)
		if err != nil {
			return nil, nil, err
		}
		if x.Fetches != live[i].Fetches {
			return nil, nil, fmt.Errorf("%s: %d fetches in virtual time, %d live: law 1 does not hold", o.Cases[i].Name, x.Fetches, live[i].Fetches)
		}
		x.WallSeconds, x.ProcessorShare = x.BusySeconds/share, share // the load that calibration met is that of the run
		virtual = append(virtual, x)
	}
	return live, virtual, nil
}

// between gives the means of two measurements: what held half-way.
func between(a, b Measured) Measured {
	var mean func(into, other reflect.Value)
	mean = func(into, other reflect.Value) {
		switch into.Kind() {
		case reflect.Float64:
			into.SetFloat((into.Float() + other.Float()) / 2)
		case reflect.Struct:
			for i := range into.NumField() {
				mean(into.Field(i), other.Field(i))
			}
		}
	}
	mean(reflect.ValueOf(&a).Elem(), reflect.ValueOf(b))
	return a
}

// middle gives the medians.
func middle(all []Outcome) Outcome {
	pick := func(f func(Outcome) float64) float64 {
		var list []float64
		for _, x := range all {
			list = append(list, f(x))
		}
		return median(list)
	}
	return Outcome{
		WallSeconds:    pick(func(x Outcome) float64 { return x.WallSeconds }),
		BusySeconds:    pick(func(x Outcome) float64 { return x.BusySeconds }),
		FetchP50US:     pick(func(x Outcome) float64 { return x.FetchP50US }),
		ProcessorShare: pick(func(x Outcome) float64 { return x.ProcessorShare }),
		Fetches:        all[0].Fetches,
	}
}

func relative(predicted, measured float64) float64 {
	if measured == 0 {
		return 0
	}
	return predicted/measured - 1
}

// cluster is what Live is, as a cluster of virtual time: one component of each role, and a manager that does nothing while a process
// runs.
const cluster = `name: calibrate
region_bytes: 1GiB
pcomponent: {cores: 1, excache_bytes: 1GiB}
mcomponent: {memory_bytes: 1GiB}
nodes:
  - {id: g1, role: manager}
  - {id: m1, role: mcomponent}
  - {id: s1, role: scomponent}
  - {id: p1, role: pcomponent}
`

// Virtual predicts the live replay of the trace of a vNode on a machine with nothing else to do.
func Virtual(ctx context.Context, h *hardware.Hardware, v *configs.VNode) (Outcome, error) {
	c, err := configs.ParseCluster("calibrate", []byte(cluster), configs.Overrides{})
	if err != nil {
		return Outcome{}, err
	}
	prog, err := replay.NewProgram(ctx, v)
	if err != nil {
		return Outcome{}, err
	}
	sum, err := replay.RunVirtual(ctx, replay.VirtualOptions{
		Workload: &configs.Workload{Name: "calibrate", Seed: 1, Vnodes: []configs.VNode{*v}}, Cluster: c, Hardware: *h, HardwareName: ProfileName,
		Traces: []replay.Trace{prog.Trace()}, Replayed: true,
	})
	if err != nil {
		return Outcome{}, err
	}
	if len(sum.Failed) > 0 {
		return Outcome{}, errors.New(sum.Failed[0])
	}
	return Outcome{
		WallSeconds: sum.VNodes[0].Seconds, BusySeconds: sum.VNodes[0].Seconds, ProcessorShare: 1, FetchP50US: sum.Total.FaultLatency[fetchKind].P50, Fetches: sum.Total.Fetches,
	}, nil
}

// WithoutBlocks copies a trace into dir but for its block requests, which go to components that are not measured. It copies so many
// references, or a few more; 0 is all.
func WithoutBlocks(dir, name, path, format string, refs uint64) (to string, err error) {
	src, err := trace.OpenFormat(path, format)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	h := src.Header()
	h.Volumes = nil
	to = filepath.Join(dir, name+".skt")
	w, err := trace.Create(to, h)
	if err != nil {
		return "", err
	}
	for copied := uint64(0); ; {
		b, err := src.Next()
		if err == io.EOF || err == nil && refs > 0 && copied >= refs {
			return to, w.Close()
		}
		if err == nil {
			copied += uint64(len(b.Refs))
			err = copyBatch(w, b)
		}
		if err != nil {
			return "", errors.Join(err, w.Abort())
		}
	}
}

func copyBatch(w *trace.Writer, b *trace.Batch) error {
	at := 0
	refs := func(end int) error {
		for ; at < end; at++ {
			if err := w.Ref(b.Refs[at]); err != nil {
				return err
			}
		}
		return nil
	}
	for _, e := range b.Events {
		if err := refs(e.At); err != nil {
			return err
		}
		if e.Kind.IsMap() {
			if err := w.Event(e); err != nil {
				return err
			}
		}
	}
	return refs(len(b.Refs))
}
