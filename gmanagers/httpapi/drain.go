package httpapi

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"splitkernel/gmanagers/client"
	"splitkernel/gmanagers/membership"
)

// Draining is how far a component is with draining.
type Draining struct {
	Left   uint64     `json:"left"`   // things that it has or that are on their way there; with 0 it can be removed
	Moving uint64     `json:"moving"` // of these on their way from there
	Things []Leftover `json:"things"` // by kind
	Stuck  []string   `json:"stuck"`  // why something could not leave when it was looked at last
}

// Leftover is what a draining component has of one kind.
type Leftover struct {
	Kind     string `json:"kind"`
	Things   uint64 `json:"things"` // those that are leaving included
	Leaving  uint64 `json:"leaving"`
	Arriving uint64 `json:"arriving"`
}

func (d *Draining) String() string {
	parts := []string{fmt.Sprintf("%d things are left, %d are moving", d.Left, d.Moving)}
	for _, why := range d.Stuck {
		parts = append(parts, "stuck: "+why)
	}
	return strings.Join(parts, "; ")
}

func drainingOf(d client.Drained) *Draining {
	out := &Draining{Left: d.Left, Things: []Leftover{}, Stuck: append([]string{}, d.Stuck...)}
	for _, t := range d.Things {
		out.Moving += t.Leaving
		out.Things = append(out.Things, Leftover{t.Kind.String(), t.Things, t.Leaving, t.Arriving})
	}
	return out
}

// maxDraining bounds the draining components of which a status tells how far they are.
const maxDraining = 8

// draining asks how far the components are that drain, up to maxDraining of them. What is not answered is nil.
func (a *API) draining(ctx context.Context, of []membership.Status) map[string]*Draining {
	var mu sync.Mutex
	var asking sync.WaitGroup
	out := map[string]*Draining{}
	asked := 0
	for _, s := range of {
		if s.State != membership.Draining {
			continue
		}
		if asked++; asked > maxDraining {
			break
		}
		asking.Go(func() {
			if d, err := a.o.Client.DrainStatus(ctx, s.Member.Role, s.Member.ID); err == nil {
				mu.Lock()
				out[string(s.Member.ID)] = drainingOf(d)
				mu.Unlock()
			}
		})
	}
	asking.Wait()
	return out
}
