package generate

import (
	"fmt"
	"math/rand/v2"
)

// Bytes of a parameter in training with mixed precision: weight and gradient in 16 bits, and in 32 bits the optimizer's copy of the weight,
// momentum and variance.
const (
	weightBytes    = 2
	gradientBytes  = 2
	parameterBytes = 16
)

// region is a run of pages.
type region struct{ first, pages uint64 }

// of gives layer l's share of n.
func (r region) of(l, n uint64) region {
	from, to := r.pages*l/n, r.pages*(l+1)/n
	return region{r.first + from, to - from}
}

// training is a step after the other. A step is a list of runs over regions: the data, then two runs a layer forward, three backward, three
// of the optimizer.
type training struct {
	layers, batch                                      uint64
	weights, gradients, optimizer, activations, inputs region

	run  uint64 // of the step
	now  region
	mode mode
	at   uint64 // page of the run
	back bool   // the write of a page that was read is due
	data uint64 // pages of data read
}

type mode uint8

const (
	reads mode = iota
	writes
	updates // reads, then writes, page by page
)

func completeTraining(s *Spec, given map[string]bool) (errs []error) {
	t := regionsOf(*s)
	most := min(t.weights.pages, t.gradients.pages, t.optimizer.pages, t.activations.pages)
	if most < 1 || t.inputs.pages < 1 {
		return []error{fmt.Errorf("pages: %d, want so many that weights, activations (%v %%) and data (%v %%) have a page each", s.Pages, s.ActivationsPercent, s.DataPercent)}
	}
	if !given["layers"] {
		s.Layers = min(12, most)
	}
	if s.Layers > most {
		errs = append(errs, fmt.Errorf("layers: %d, want at most %d, so that each has a page of weights and of activations", s.Layers, most))
	}
	if !given["batch"] {
		s.Batch = max(t.inputs.pages/100, 1)
	}
	return errs
}

// regionsOf divides the pages.
func regionsOf(s Spec) training {
	t := training{layers: s.Layers, batch: s.Batch}
	t.activations.pages = part(s.Pages, s.ActivationsPercent)
	t.inputs.pages = min(part(s.Pages, s.DataPercent), s.Pages-t.activations.pages)
	state := s.Pages - t.activations.pages - t.inputs.pages
	t.weights.pages = state * weightBytes / parameterBytes
	t.gradients.pages = state * gradientBytes / parameterBytes
	t.optimizer.pages = state - t.weights.pages - t.gradients.pages
	first := uint64(0)
	for _, r := range []*region{&t.weights, &t.gradients, &t.optimizer, &t.activations, &t.inputs} {
		r.first = first
		first += r.pages
	}
	return t
}

func newTraining(s Spec) shape {
	t := regionsOf(s)
	t.begin()
	return &t
}

// begin begins the run that is due.
func (t *training) begin() {
	t.at = 0
	if t.run == 0 {
		t.now, t.mode = region{pages: t.batch}, reads
		return
	}
	r := t.run - 1
	forward, backward := 2*t.layers, 5*t.layers
	switch {
	case r < forward:
		l := r / 2
		t.now, t.mode = t.weights.of(l, t.layers), reads
		if r%2 == 1 {
			t.now, t.mode = t.activations.of(l, t.layers), writes
		}
	case r < backward:
		l := t.layers - 1 - (r-forward)/3
		switch (r - forward) % 3 {
		case 0:
			t.now, t.mode = t.activations.of(l, t.layers), reads
		case 1:
			t.now, t.mode = t.weights.of(l, t.layers), reads
		default:
			t.now, t.mode = t.gradients.of(l, t.layers), writes
		}
	default:
		l := (r - backward) / 3
		switch (r - backward) % 3 {
		case 0:
			t.now, t.mode = t.gradients.of(l, t.layers), reads
		case 1:
			t.now, t.mode = t.optimizer.of(l, t.layers), updates
		default:
			t.now, t.mode = t.weights.of(l, t.layers), writes
		}
	}
}

func (t *training) next(uint64, *rand.Rand) (page uint64, write bool) {
	for t.at == t.now.pages {
		t.run = (t.run + 1) % (8*t.layers + 1)
		t.begin()
	}
	page, write = t.now.first+t.at, t.mode == writes || t.back
	if t.run == 0 { // the data goes on where the step before ended
		page = t.inputs.first + t.data%t.inputs.pages
		t.data++
	}
	if t.mode == updates && !t.back {
		t.back = true
		return page, false
	}
	t.back = false
	t.at++
	return page, write
}
