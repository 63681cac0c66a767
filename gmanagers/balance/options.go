package balance

import (
	"errors"
	"fmt"
	"time"
)

// Options are the settings of the balancing of one manager.
type Options struct {
	// Auto balances by itself. Without it only what drains is moved.
	Auto bool `mapstructure:"auto" yaml:"auto"`
	// Measure is what is to be spread evenly, one of Measures. Default: rate; the managers choose their own.
	Measure Measure `mapstructure:"measure" yaml:"measure"`
	// Second is another of Measures that counts beside Measure, empty for none; not queue_delay, which has a weight of its own.
	Second Measure `mapstructure:"second" yaml:"second"`
	// SecondWeight is how much of Measure one unit of Second counts as. With bytes as Measure it is in parts of a component
	// of mean capacity: at 0.0001, 10 000 operations a second count as much as one that is full.
	SecondWeight float64 `mapstructure:"second_weight" yaml:"second_weight"`
	// QueueWeight is by which part more a component counts as bearing when its requests wait QueueFullUS or longer for a
	// worker, in proportion below that. 0 does not look at it. It begins balancing and chooses between givers and takers,
	// but a move must also lower the spread without it: waiting is no property of a thing, so else things could go in circles.
	QueueWeight float64 `mapstructure:"queue_weight" yaml:"queue_weight"`
	// QueueFullUS is the wait at which QueueWeight counts in full, in µs.
	QueueFullUS int `mapstructure:"queue_full_us" yaml:"queue_full_us"`
	// MinLoad is what the components must bear in the mean, by their power and in the unit of Measure, before anything is
	// balanced: the spread of next to nothing says nothing. Default 0.
	MinLoad float64 `mapstructure:"min_load" yaml:"min_load"`
	// SettleMS is how long a thing stays where it was placed, in ms, unless that drains. Default: 20 s, so that short runs
	// end where they began.
	SettleMS int `mapstructure:"settle_ms" yaml:"settle_ms"`
	// High is the spread (coefficient of variation, 0 when all bear the same) above which balancing starts. Default 0.25:
	// of two components one bears 1.7 times as much as the other.
	High float64 `mapstructure:"high" yaml:"high"`
	// Low is the spread at which it ends; less than High, so that it does not start again at once. Default 0.1.
	Low float64 `mapstructure:"low" yaml:"low"`
	// IntervalMS is the time between two looks, in ms. Default: four heartbeats.
	IntervalMS int `mapstructure:"interval_ms" yaml:"interval_ms"`
	// MaxMoves bounds the moves that are under way at a time, of one manager, for balance.
	MaxMoves int `mapstructure:"max_moves" yaml:"max_moves"`
	// MaxComponentMoves bounds those from and to one component: copies share its link with what it serves.
	MaxComponentMoves int `mapstructure:"max_component_moves" yaml:"max_component_moves"`
	// MaxDrainMoves bounds the moves under way, of one manager, up to which more are ordered of what drains; if it is less
	// than MaxMoves, that counts. Default 16: of small things most of a move is waiting for answers and for Raft.
	MaxDrainMoves int `mapstructure:"max_drain_moves" yaml:"max_drain_moves"`
	// MinGain is by how much of the mean the higher of the two ends must fall with a move. Default 0.01: less is not worth
	// a pause. 0 takes any gain.
	MinGain float64 `mapstructure:"min_gain" yaml:"min_gain"`
	// CoolDownMS is how long a thing stays where it moved to, in ms, unless that drains.
	CoolDownMS int `mapstructure:"cool_down_ms" yaml:"cool_down_ms"`
	// SmoothingMS is the time constant of rates and delays, in ms: a step is followed to 63 % after it. 0 takes each
	// reading as it is.
	SmoothingMS int `mapstructure:"smoothing_ms" yaml:"smoothing_ms"`
}

// DefaultOptions gives the settings.
func DefaultOptions() Options {
	return Options{Auto: true, Measure: Rate, SettleMS: 20_000, High: 0.25, Low: 0.1, IntervalMS: 2000, MaxMoves: 4, MaxComponentMoves: 2, MaxDrainMoves: 16, MinGain: 0.01, QueueFullUS: 1000, CoolDownMS: 60_000, SmoothingMS: 5000}
}

// Validate reports every fault by key.
func (o Options) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	between := func(key string, v, lo, hi int) {
		if v < lo || v > hi {
			fault("%s: %d, want %d to %d", key, v, lo, hi)
		}
	}
	if _, err := ParseMeasure(string(o.Measure)); err != nil {
		fault("measure: %q, want one of %v", o.Measure, Measures)
	}
	if _, err := ParseMeasure(string(o.Second)); o.Second != "" && (err != nil || o.Second == o.Measure || o.Second == QueueDelay) {
		fault("second: %q, want none or one of %v that is neither measure nor %s", o.Second, Measures, QueueDelay)
	}
	if !(o.SecondWeight >= 0 && o.SecondWeight <= 1e12) {
		fault("second_weight: %g, want 0 to 1e12", o.SecondWeight)
	}
	if !(o.QueueWeight >= 0 && o.QueueWeight <= MaxQueueWeight) {
		fault("queue_weight: %g, want 0 to %d", o.QueueWeight, MaxQueueWeight)
	}
	between("queue_full_us", o.QueueFullUS, 1, 60_000_000)
	if !(o.MinLoad >= 0 && o.MinLoad <= 1e18) {
		fault("min_load: %g, want 0 to 1e18", o.MinLoad)
	}
	between("settle_ms", o.SettleMS, 0, 86_400_000)
	if !(o.High >= 0.01 && o.High <= 10) { // also not a number
		fault("high: %g, want 0.01 to 10", o.High)
	}
	if !(o.Low >= 0 && o.Low < o.High) {
		fault("low: %g, want 0 to less than high, which is %g", o.Low, o.High)
	}
	if !(o.MinGain >= 0 && o.MinGain <= 1) {
		fault("min_gain: %g, want 0 to 1", o.MinGain)
	}
	between("interval_ms", o.IntervalMS, 100, 3_600_000)
	between("max_moves", o.MaxMoves, 1, 1024)
	between("max_component_moves", o.MaxComponentMoves, 1, 1024)
	between("max_drain_moves", o.MaxDrainMoves, 1, 1024)
	between("cool_down_ms", o.CoolDownMS, 0, 86_400_000)
	between("smoothing_ms", o.SmoothingMS, 0, 3_600_000)
	return errors.Join(faults...)
}

// MaxQueueWeight is the highest QueueWeight: a component whose requests wait counts as bearing at most eleven times as much.
const MaxQueueWeight = 10

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }
