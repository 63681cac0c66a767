// Package hardware is a hardware profile: the options of every model of virtual time, and where each value comes from.
//
// Profiles are files (configs/hardware), read and written by configs, which knows the keys. A profile gives every value with its unit
// and its source; there are no defaults to fall back on, since a cost that nobody wrote down would be a constant in the code.
// DefaultOptions is for tests and for those who write a profile.
//
// It is pure and, unlike other cores, composes those of several rooms. It imports no model of how components are wired, that is
// sim/vcluster. No goroutines.
package hardware

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"splitkernel/netlayer/link"
	"splitkernel/scomponent/device"
	"splitkernel/sim/hardware/endpoint"
	"splitkernel/sim/hardware/processor"
)

// Hardware are the options of every model.
type Hardware struct {
	// Link between any two components.
	Link link.Options
	// Endpoint is what messages cost at both ends.
	Endpoint endpoint.Options
	// Processor of every component.
	Processor processor.Options
	// Device of every sComponent.
	Device device.Options
}

// DefaultOptions are those of the models.
func DefaultOptions() Hardware {
	return Hardware{link.DefaultOptions(), endpoint.DefaultOptions(), processor.DefaultOptions(), device.DefaultOptions()}
}

// Validate returns every fault, by key.
func (h Hardware) Validate() error {
	var errs []error
	for _, s := range []struct {
		name string
		err  error
	}{
		{"link", h.Link.Validate()}, {"endpoint", h.Endpoint.Validate()}, {"processor", h.Processor.Validate()}, {"device", h.Device.Validate()},
	} {
		if s.err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.name, s.err))
		}
	}
	return errors.Join(errs...)
}

// Profile is a named Hardware with its sources.
type Profile struct {
	// Name of the profile, as in legoos-cx3.
	Name string
	// Description says in a sentence or two what it stands for.
	Description string
	// Host is the machine that was measured, as calibrate.Host names it; empty if the profile is not of measurements of ours.
	Host string
	Hardware
	sources []Source // ordered by key
}

// Source says where the value of a key comes from.
type Source struct {
	Key, Text string // "link.latency"
}

// MaxSource bounds the text of a source, in bytes.
const MaxSource = 1000

// SetSource says where the value of a key comes from.
func (p *Profile) SetSource(key, text string) {
	i, ok := p.find(key)
	if ok {
		p.sources[i].Text = text
		return
	}
	p.sources = slices.Insert(p.sources, i, Source{key, text})
}

// Source of a key, "" if none was given.
func (p *Profile) Source(key string) string {
	if i, ok := p.find(key); ok {
		return p.sources[i].Text
	}
	return ""
}

// Sources in the order of their keys; not to be changed.
func (p *Profile) Sources() []Source { return p.sources }

func (p *Profile) find(key string) (int, bool) {
	return slices.BinarySearchFunc(p.sources, key, func(s Source, key string) int { return strings.Compare(s.Key, key) })
}

// Fitted reports whether a value was fitted to published figures, so that a report does not call them predictions.
func (s Source) Fitted() bool { return strings.HasPrefix(s.Text, "fitted") }

// Guess reports whether nothing published gives the value.
func (s Source) Guess() bool { return strings.HasPrefix(s.Text, "guess") }
