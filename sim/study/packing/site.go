package packing

import "splitkernel/sim/tasks"

// piece is what a task has of the memory of one mComponent.
type piece struct {
	host  int32
	bytes int64
}

// place is where a task is.
type place struct {
	host, gpu int32 // in hosts and in gpus, or -1
	pieces    []piece
}

// site is all servers, or all pools.
type site struct {
	layout Layout
	hosts  *pool // servers, machines of the trace, or pComponents
	memory *pool // mComponents, nil with servers
	gpus   *pool // nil if there are none of their own
	asks   tasks.Size
}

// newSite makes the site. In asks, a dimension that nobody offers is 0: it is not asked for.
func newSite(o Options) *site {
	l := o.Layout
	s := &site{layout: l}
	switch {
	case l.Own:
		s.hosts, s.asks = newPool(o.Policy, Part{}, o.Full), tasks.Size{Cores: 1, Memory: 1, GPUs: 1}
	case l.Pools:
		s.hosts = newPool(o.Policy, l.P, o.Full)
		s.memory = newPool(o.Policy, Part{tasks.Size{Memory: l.M.Size.Memory}, l.M.Count}, o.Full)
		s.asks = tasks.Size{Cores: 1, Memory: 1}
		if l.G.Size.GPUs > 0 {
			s.gpus, s.asks.GPUs = newPool(o.Policy, Part{tasks.Size{GPUs: l.G.Size.GPUs}, l.G.Count}, o.Full), 1
		}
	default:
		s.hosts = newPool(o.Policy, l.Server, o.Full)
		s.asks = tasks.Size{Cores: l.Server.Size.Cores, Memory: l.Server.Size.Memory, GPUs: l.Server.Size.GPUs}
	}
	return s
}

// need is what a task takes of a server or pComponent, of mComponents, and of GPUs.
func (s *site) need(ask tasks.Size) (host tasks.Size, memory, gpus int64) {
	if s.asks.Cores == 0 {
		ask.Cores = 0
	}
	if s.asks.Memory == 0 {
		ask.Memory = 0
	}
	if s.asks.GPUs == 0 {
		ask.GPUs = 0
	}
	if s.memory == nil {
		return ask, 0, 0
	}
	cached := tasks.Scaled(s.layout.ExCache, ask.Memory)
	memory = ask.Memory
	if s.layout.Exclusive {
		memory -= cached
	}
	if r := s.layout.Region; r > 0 {
		memory = (memory + r - 1) / r * r
	}
	return tasks.Size{Cores: ask.Cores, Memory: cached}, memory, ask.GPUs
}

// tooLarge reports whether a task would not fit if everything were empty.
func (s *site) tooLarge(ask tasks.Size) bool {
	host, memory, gpus := s.need(ask)
	if s.layout.Own {
		return false // machines of another size may come
	}
	return !host.Fits(s.hosts.part.Size) || s.gpus != nil && gpus > s.gpus.part.Size.GPUs ||
		s.memory != nil && s.tooMuch(memory)
}

// tooMuch is tooLarge for memory at mComponents: of a fixed number of them, or of those over which one task may be spread.
func (s *site) tooMuch(memory int64) bool {
	most := int64(MaxPieces)
	if c := s.memory.part.Count; c > 0 {
		most = min(most, int64(c))
	}
	if s.layout.Whole {
		most = 1
	}
	each := s.usable(s.memory.part.Size.Memory)
	return each == 0 && memory > 0 || each > 0 && memory > most*each
}

// usable is how much of free memory can be given in whole regions.
func (s *site) usable(free int64) int64 {
	if r := s.layout.Region; r > 0 {
		return free / r * r
	}
	return free
}

// put places a task, or changes nothing. Nothing is opened for it before it is known that it fits where there is no more to open.
func (s *site) put(ask tasks.Size) (at place, ok bool) {
	host, memory, gpus := s.need(ask)
	at = place{host: int32(s.hosts.idx.find(host)), gpu: -1}
	if at.host < 0 && !s.hosts.grows(host) {
		return at, false
	}
	onGPU := gpus > 0 && s.gpus != nil
	if onGPU {
		at.gpu = int32(s.gpus.idx.find(tasks.Size{GPUs: gpus}))
		if at.gpu < 0 && !s.gpus.grows(tasks.Size{GPUs: gpus}) {
			return at, false
		}
	}
	if memory > 0 && s.memory != nil {
		if at.pieces, ok = s.spread(memory); !ok {
			return at, false
		}
	}
	if at.host < 0 {
		at.host = int32(s.hosts.add(s.hosts.part.Size))
	}
	s.hosts.take(int(at.host), host)
	if onGPU {
		if at.gpu < 0 {
			at.gpu = int32(s.gpus.add(s.gpus.part.Size))
		}
		s.gpus.take(int(at.gpu), tasks.Size{GPUs: gpus})
	}
	return at, true
}

// spread takes memory at one mComponent by the policy. If it fits nowhere, the one with the most gives all that it has, and so on: as few pieces as
// can be.
func (s *site) spread(memory int64) ([]piece, bool) {
	var pieces []piece
	for memory > 0 {
		want := memory
		i := s.memory.idx.find(tasks.Size{Memory: memory})
		if i < 0 && !s.layout.Whole {
			if most := s.usable(s.memory.idx.most().Memory); most > 0 {
				want = most
				i = s.memory.idx.find(tasks.Size{Memory: most})
			}
		}
		if i < 0 {
			want = min(memory, s.usable(s.memory.part.Size.Memory))
			if s.memory.grows(tasks.Size{Memory: want}) {
				i = s.memory.add(s.memory.part.Size)
			}
		}
		if i < 0 || len(pieces) == MaxPieces {
			s.giveBack(pieces)
			return nil, false
		}
		s.memory.take(i, tasks.Size{Memory: want})
		pieces = append(pieces, piece{int32(i), want})
		memory -= want
	}
	return pieces, true
}

func (s *site) giveBack(pieces []piece) {
	for _, p := range pieces {
		s.memory.giveBack(int(p.host), tasks.Size{Memory: p.bytes})
	}
}

// remove undoes put.
func (s *site) remove(ask tasks.Size, at place) {
	host, _, gpus := s.need(ask)
	s.hosts.giveBack(int(at.host), host)
	if at.gpu >= 0 {
		s.gpus.giveBack(int(at.gpu), tasks.Size{GPUs: gpus})
	}
	s.giveBack(at.pieces)
}
