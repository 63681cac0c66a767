package erasure

import (
	"errors"
	"fmt"
	"time"

	"splitkernel/netlayer/wire"
)

// Options bounds the reading of shares.
type Options struct {
	// HedgeMS is after how long one more holder is asked for a share, in ms.
	HedgeMS int `yaml:"share_hedge_ms"`
	// RetryMS is the first pause before holders that did not answer are asked again, in ms; it doubles up to MaxRetryMS.
	RetryMS    int `yaml:"share_retry_ms"`
	MaxRetryMS int `yaml:"share_max_retry_ms"`
}

// DefaultOptions returns the defaults.
func DefaultOptions() Options { return Options{HedgeMS: 20, RetryMS: 2, MaxRetryMS: 200} }

// Validate returns every fault, by key.
func (o Options) Validate() error {
	var errs []error
	for _, b := range []struct {
		key      string
		v, least int
	}{{"share_hedge_ms", o.HedgeMS, 1}, {"share_retry_ms", o.RetryMS, 1}, {"share_max_retry_ms", o.MaxRetryMS, o.RetryMS}} {
		if b.v < b.least || b.v > 60_000 {
			errs = append(errs, fmt.Errorf("%s: %d, want %d to %d", b.key, b.v, b.least, 60_000))
		}
	}
	return errors.Join(errs...)
}

func (o Options) hedge() time.Duration { return time.Duration(o.HedgeMS) * time.Millisecond }

func (o Options) pause(attempts int) time.Duration {
	d := o.RetryMS
	for i := 1; i < attempts && d < o.MaxRetryMS; i++ {
		d *= 2
	}
	return time.Duration(min(d, o.MaxRetryMS)) * time.Millisecond
}

// EffectKind says what the driver of a Coordinator must do.
type EffectKind uint8

// The effects. An Ask is a message and is answered by Coordinator.Answered with its ID, a Decode at once by Decoded.
const (
	Ask    EffectKind = 1
	Decode EffectKind = 2
	Page   EffectKind = 3
	Again  EffectKind = 4
	Fail   EffectKind = 5
	Whole  EffectKind = 6
)

func (k EffectKind) String() string {
	return [...]string{"?", "ask", "decode", "page", "again", "fail", "whole"}[min(int(k), 6)]
}

// Effect is one thing that the driver must do. Only the fields of its kind are set.
type Effect struct {
	Kind   EffectKind
	ID     uint64
	Slot   uint32
	To     wire.Holder
	Read   wire.ReplicaRead
	Waiter uint64
	Err    *wire.Error

	// Of a Decode, and of the Page that follows.
	Page    wire.PageNo
	Epoch   wire.Epoch // of the process
	Version uint64
	Sum     uint32 // of the page
	Index   []uint32
	Shares  []any // as they came in answers, in the order of Index
}

// Answer is what came back for an Ask: of one for a page whether the holder has a share of it, and which; of one for a list its entries.
type Answer struct {
	Err     *wire.Error
	Have    bool
	Epoch   wire.Epoch
	Version uint64
	Sum     uint32
	Share   any // is given back as it is

	Pages []wire.PageEntry
	Next  wire.PageNo
	More  bool
}
