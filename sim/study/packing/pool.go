package packing

import "splitkernel/sim/tasks"

// pool is the servers of a run, or the components of one kind.
type pool struct {
	part Part // what is added if it grows
	full int64
	idx  index

	size, free []tasks.Size
	tasks      []int32 // that are at each host
	gone       []bool  // machines of the trace that left

	present, active int        // hosts that are there, and those of them with a task
	capacity, taken tasks.Size // of those that are there
	peak            tasks.Size // of taken
	stranded        tasks.Size // of Cores, those free where memory is full; of Memory, what is free where processors are
}

func newPool(policy string, part Part, full int64) *pool {
	p := &pool{part: part, full: full, idx: newIndex(policy)}
	for range part.Count {
		p.add(part.Size)
	}
	return p
}

// add adds a host of a size and gives its number.
func (p *pool) add(size tasks.Size) int {
	i := len(p.size)
	p.size, p.free = append(p.size, size), append(p.free, size)
	p.tasks, p.gone = append(p.tasks, 0), append(p.gone, false)
	p.present++
	p.capacity = p.capacity.Plus(size)
	p.stranded = p.stranded.Plus(p.strandedAt(i))
	p.idx.set(i, size, size)
	return i
}

// grows reports whether one more host may be added, and whether it has room for a need.
func (p *pool) grows(need tasks.Size) bool {
	return p.part.Count == 0 && p.part.Size != (tasks.Size{}) && need.Fits(p.part.Size) && len(p.size) < MaxHosts
}

// take gives a task of a host.
func (p *pool) take(i int, need tasks.Size) {
	if p.tasks[i]++; p.tasks[i] == 1 {
		p.active++
	}
	p.taken = p.taken.Plus(need)
	p.peak = p.peak.Max(p.taken)
	p.change(i, p.free[i].Minus(need))
}

// giveBack undoes take.
func (p *pool) giveBack(i int, need tasks.Size) {
	if p.tasks[i]--; p.tasks[i] == 0 {
		p.active--
	}
	p.taken = p.taken.Minus(need)
	if p.gone[i] {
		return
	}
	p.change(i, p.free[i].Plus(need))
}

func (p *pool) change(i int, free tasks.Size) {
	p.stranded = p.stranded.Minus(p.strandedAt(i))
	p.free[i] = free
	p.stranded = p.stranded.Plus(p.strandedAt(i))
	p.idx.set(i, free, p.size[i])
}

// strandedAt is what nobody can use at host i, because the other is full.
func (p *pool) strandedAt(i int) (s tasks.Size) {
	size, free := p.size[i], p.free[i]
	if p.gone[i] || size.Cores == 0 || size.Memory == 0 {
		return s
	}
	if free.Cores <= tasks.Scaled(p.full, size.Cores) {
		s.Memory = max(free.Memory, 0)
	}
	if free.Memory <= tasks.Scaled(p.full, size.Memory) {
		s.Cores = max(free.Cores, 0)
	}
	return s
}

// leave takes host i away. Its tasks must have been taken from it before.
func (p *pool) leave(i int) {
	p.stranded = p.stranded.Minus(p.strandedAt(i))
	p.gone[i] = true
	p.present--
	p.capacity = p.capacity.Minus(p.size[i])
	p.idx.set(i, nothing, p.size[i])
}

// back brings host i back, or gives it another size, which may be less than what its tasks have: then it has less than nothing free.
func (p *pool) back(i int, size tasks.Size) {
	taken := p.size[i].Minus(p.free[i])
	if p.gone[i] {
		p.gone[i], taken = false, tasks.Size{}
		p.present++
	} else {
		p.stranded = p.stranded.Minus(p.strandedAt(i))
		p.capacity = p.capacity.Minus(p.size[i])
	}
	p.size[i] = size
	p.free[i] = size.Minus(taken)
	p.capacity = p.capacity.Plus(size)
	p.stranded = p.stranded.Plus(p.strandedAt(i))
	p.idx.set(i, p.free[i], size)
}
