package client

import (
	"errors"
	"fmt"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// Manager is one manager process.
type Manager struct {
	ID   wire.NodeID // as leaders are named in redirections
	Addr netlayer.Addr
}

// Options are the settings of a Client.
type Options struct {
	Managers []Manager        `mapstructure:"-" yaml:"-"` // every manager process of the cluster
	Net      netlayer.Options `mapstructure:"-" yaml:"-"` // identity and bounds of the connections; its retries are not used
	Seed     uint64           `mapstructure:"-" yaml:"-"` // of the jitter of retries

	// CallTimeoutMS bounds one attempt, in ms. A leader that was cut off answers only when its proposal expires, so an
	// attempt must not take all the time of the caller.
	CallTimeoutMS int `mapstructure:"call_timeout_ms" yaml:"call_timeout_ms"`
	// TimeoutMS bounds a command or query whose context has no deadline, in ms. Elections take up to 3.5 s on a loaded
	// machine (dependencies design notes), so the default waits for several.
	TimeoutMS int `mapstructure:"timeout_ms" yaml:"timeout_ms"`
	// RetryBaseMS is the first pause between attempts, in ms; it doubles up to RetryMaxMS.
	RetryBaseMS int `mapstructure:"retry_base_ms" yaml:"retry_base_ms"`
	// RetryMaxMS is the longest pause between attempts, in ms: short, because a new leader is to be found soon. An election
	// takes 200 to 400 ms, and an admission meets up to three of them one after the other.
	RetryMaxMS int `mapstructure:"retry_max_ms" yaml:"retry_max_ms"`
}

// maxTimeoutMS bounds every time of the options, in ms.
const maxTimeoutMS = 600_000

// maxManagers bounds the manager processes.
const maxManagers = 16

// DefaultOptions gives the settings without identity and managers.
func DefaultOptions() Options {
	return Options{Net: netlayer.DefaultOptions(), CallTimeoutMS: 1500, TimeoutMS: 15_000, RetryBaseMS: 10, RetryMaxMS: 100}
}

// Validate reports every fault by key.
func (o Options) Validate() error {
	var faults []error
	between := func(key string, v, lo, hi int) {
		if v < lo || v > hi {
			faults = append(faults, fmt.Errorf("%s: %d, want %d to %d", key, v, lo, hi))
		}
	}
	between("managers", len(o.Managers), 1, maxManagers)
	seen := map[wire.NodeID]bool{}
	for i, m := range o.Managers {
		if m.ID == "" || seen[m.ID] {
			faults = append(faults, fmt.Errorf("managers[%d].id: %q, want an id that no other has", i, m.ID))
		}
		seen[m.ID] = true
		if err := m.Addr.Validate(); err != nil {
			faults = append(faults, fmt.Errorf("managers[%d].addr: %w", i, err))
		}
	}
	between("call_timeout_ms", o.CallTimeoutMS, 1, maxTimeoutMS)
	between("timeout_ms", o.TimeoutMS, 1, maxTimeoutMS)
	between("retry_base_ms", o.RetryBaseMS, 1, maxTimeoutMS)
	between("retry_max_ms", o.RetryMaxMS, o.RetryBaseMS, maxTimeoutMS)
	if err := o.Net.Validate(); err != nil {
		faults = append(faults, fmt.Errorf("net: %w", err))
	}
	return errors.Join(faults...)
}
