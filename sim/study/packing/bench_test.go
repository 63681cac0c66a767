package packing

import (
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"splitkernel/sim/tasks"
)

// drawn is tasks that keep about 50 000 servers as full as they get, made as they are read.
type drawn struct {
	mean float64 // seconds that a task lasts
	rng  *rand.Rand
	n    int
	at   time.Duration
	sent uint64
}

func (d *drawn) Units() tasks.Units { return tasks.Units{} }

func (d *drawn) Next() (tasks.Event, error) {
	if d.n == 0 {
		return tasks.Event{}, io.EOF
	}
	d.n--
	d.sent++
	d.at += time.Duration(d.rng.ExpFloat64() * float64(time.Second))
	return tasks.Event{
		Kind: tasks.TaskComes, At: d.at, Lasts: time.Duration(d.rng.ExpFloat64() * d.mean * float64(time.Second)), ID: tasks.ID{Job: d.sent},
		Size: tasks.Size{Cores: int64(1+d.rng.IntN(24)) * tasks.One, Memory: int64(1+d.rng.IntN(96)) << 30},
	}, nil
}

// BenchmarkMillion places a million tasks on 50 000 servers that fill up to six sevenths, or beyond what they have.
func BenchmarkMillion(b *testing.B) {
	million(b, "", 350_000)
	million(b, "/overload", 700_000)
}

func million(b *testing.B, name string, mean float64) {
	for _, policy := range Policies() {
		b.Run(policy+name, func(b *testing.B) {
			for range b.N {
				o := DefaultOptions()
				o.Policy = policy
				o.Layout.Server = Part{tasks.Size{Cores: 96 * tasks.One, Memory: 384 << 30}, 50_000}
				r, err := Run(&drawn{mean: mean, rng: rand.New(rand.NewPCG(1, 2)), n: 1_000_000}, o, nil)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(100*r.Utilisation.Cores, "%cores")
				b.ReportMetric(100*r.Peak.Cores, "%peak")
				b.ReportMetric(float64(r.Rejected.Tasks), "rejected")
			}
		})
	}
}
