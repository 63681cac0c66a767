package reproduce

import (
	"fmt"
	"time"

	"splitkernel/netlayer/wire"
	"splitkernel/sim/fifo"
	"splitkernel/sim/hardware"
	"splitkernel/sim/hardware/processor"
	"splitkernel/sim/units"
	"splitkernel/sim/vtime"
)

// kernel is what Linux 4.9 costs when it swaps, beside the page fault itself, which the hardware profile has.
type kernel struct {
	// In and Out are a processor's time to bring a page in (allocate it, swap cache, map it) and to take one out (unmap it, allocate a
	// slot, swap cache, submit, free), without what the device does. Locked is the part of each under locks that all threads share
	// (the swap cache's tree, the slots', the lists').
	In, Out, Locked units.Picos
	// Batch is how many pages one reclaim takes, SWAP_CLUSTER_MAX; a TLB flush is for all of them.
	Batch int
	// ReadAhead is the largest window, 2^page_cluster pages.
	ReadAhead int
}

// faultCycles is a minor fault of Linux on a Haswell processor: 715 cycles to enter and 330 to leave are 80.7 % of all that it takes to map the
// page of zeros (Torvalds, plus.google.com/+LinusTorvalds/posts/YDKRFDwHwr6, 2014). What else a page of its own takes is to clear it.
const faultCycles = (715 + 330) * 1000 / 807

// hardware is that of a profile with Linux's page faults in place of LegoOS's.
func (k *kernel) hardware(h *hardware.Hardware) hardware.Hardware {
	out := *h
	out.Processor.FaultLocked = out.Processor.FaultLocked * h.Processor.Instructions(faultCycles) / out.Processor.Fault
	out.Processor.Fault = h.Processor.Instructions(faultCycles)
	return out
}

// firstHits is what swapin_readahead_hits of Linux 4.9's mm/swap_state.c begins with.
const firstHits = 4

// linux49 are the parameters of the kernel. Batch and ReadAhead are constants of the Linux 4.9 source (SWAP_CLUSTER_MAX, 2^page_cluster). In, Out and
// Locked are guesses: a page fault that finds its page in the swap cache takes about as long as a minor fault, and reclaim rather more.
var linux49 = kernel{In: 1500 * units.Nanosecond, Out: 2 * units.Microsecond, Locked: 500 * units.Nanosecond, Batch: 32, ReadAhead: 8}

// linuxPage is a page under Linux.
type linuxPage struct {
	frame bool  // it has memory
	ready bool  // and its content
	dirty bool  // and none or an old one on the device
	used  bool  // since the clock hand came by
	ahead bool  // brought by read-ahead and not used yet
	slot  int32 // on the device; 0 is none
	wait  *vtime.Signal
}

// linux is a Linux with so many frames of memory for one program.
type linux struct {
	o     *Options
	k     kernel
	clock *vtime.Clock
	traps *processor.Faults
	dram  *processor.Memory
	lock  *fifo.Server
	read  transfer
	write transfer

	threads int
	pages   []linuxPage
	slots   []int32 // page + 1 by slot
	limit   int
	used    int // frames, those that are being written among them
	writing int
	ring    []int32
	hand    int
	written vtime.Signal // a frame came free
	adapts  bool         // the window, to hits
	hits    int          // of read-ahead, since the last one
	window  int
	last    int32 // slot of the last fault
	run     vtime.Kind
	later   []func()
}

// linuxSeconds is how long an App takes under a Linux whose memory for it is limited; 0 does not limit it.
func linuxSeconds(o *Options, a *App, disk *baseline, limitBytes uint64, scale int) (float64, error) {
	l := a.layout(o, scale)
	x := &linux{o: o, k: linux49, clock: vtime.New(), traps: processor.NewFaults(linux49.hardware(&o.Hardware).Processor), dram: processor.NewMemory(o.Hardware.Processor), lock: fifo.New(1), threads: a.Threads, adapts: disk.adapts, hits: firstHits}
	var err error
	if x.read, x.write, err = disk.make(&o.Hardware); err != nil {
		return 0, err
	}
	x.pages, x.slots = make([]linuxPage, l.pages+l.fresh), make([]int32, 1)
	x.limit = int(limitBytes / uint64(scale) / wire.PageSize)
	if limitBytes == 0 {
		x.limit = len(x.pages) + x.k.Batch
	}
	x.written.Name = "a free page"
	x.run = x.clock.Handle("written", func(who uint32) { x.later[who]() })
	threads := newCrew(a, 0)
	for i := range a.Threads {
		w := l.walker(o, i)
		x.clock.Go(fmt.Sprintf("%s, thread %d", a.Name, i), func(y *vtime.Proc) { x.visit(y, w, threads) })
	}
	if err := x.clock.Run(vtime.Limits{}); err != nil {
		return 0, fmt.Errorf("%s on %s: %w", a.Name, disk.Name, err)
	}
	return (x.clock.Now() - threads.began).Seconds(), nil
}

// visit is a thread.
func (x *linux) visit(y *vtime.Proc, w *walker, threads *crew) {
	var carry units.Carry
	ahead := time.Duration(0)
	for {
		if threads.due(w) {
			y.Sleep(ahead)
			ahead = 0
			threads.wait(y, w)
		}
		page, write, instructions, ok := w.next()
		if !ok {
			break
		}
		if ahead += carry.Take(x.o.Hardware.Processor.Instructions(instructions)); ahead >= quantum {
			y.Sleep(ahead)
			ahead = 0
		}
		p := &x.pages[page]
		if !p.ready || p.ahead {
			y.Sleep(ahead)
			ahead = 0
			x.fault(y, page)
		}
		p.used = true
		p.dirty = p.dirty || write
	}
	y.Sleep(ahead)
}

// quantum is how far a thread runs ahead of the others, as in package vcluster.
const quantum = 10 * time.Microsecond

// fault brings a page.
func (x *linux) fault(y *vtime.Proc, page int) {
	p := &x.pages[page]
	y.Sleep(x.traps.Fault(y.Now()) - y.Now())
	if p.frame && p.ahead { // read-ahead brought it or is about to, and mapped it nowhere: lookup_swap_cache finds it either way
		p.ahead = false
		x.hits++
	}
	for !p.ready {
		if p.frame { // another thread brings it
			y.Wait(p.wait)
			continue
		}
		x.begin(p)
		x.reclaim(y)
		if p.slot == 0 { // never used before
			y.Sleep(x.dram.Move(y.Now(), wire.PageSize) - y.Now())
			p.dirty = true
			x.ready(page)
			continue
		}
		first, pages := x.around(page)
		x.locked(y, x.k.In, 1+len(pages))
		for _, n := range pages {
			x.pages[n].ahead = true
		}
		_, done := x.read(y.Now(), int(first), 1+len(pages))
		y.Sleep(done - y.Now())
		x.ready(page)
		for _, n := range pages {
			x.ready(n)
		}
	}
}

// begin gives a page a frame.
func (x *linux) begin(p *linuxPage) {
	p.frame = true
	p.wait = &vtime.Signal{Name: "a page that another thread brings"}
	x.used++
}

// ready ends what begin began.
func (x *linux) ready(page int) {
	p := &x.pages[page]
	p.ready = true
	x.ring = append(x.ring, int32(page))
	p.wait.Broadcast()
}

// locked is work of some pages, a part of each under the locks that all share.
func (x *linux) locked(y *vtime.Proc, each units.Picos, pages int) {
	_, end := x.lock.Serve(y.Now(), units.Picos(pages)*x.k.Locked)
	y.Sleep(end - y.Now() + (units.Picos(pages) * (each - x.k.Locked)).Duration())
}

// around chooses the pages to read beside one, and gives the first slot. The window follows the hits of the last one, as Linux 4.9 has
// it: hits + 2 rounded up to a power of two, one page if nothing was hit and the slot is not beside the last, and at least half of what it was.
func (x *linux) around(page int) (first int32, also []int) {
	slot := x.pages[page].slot
	n := 2
	if x.hits > 0 {
		for n = 4; n < x.hits+2; n *= 2 {
		}
	} else {
		if slot != x.last+1 && slot != x.last-1 {
			n = 1
		}
		x.last = slot
	}
	x.hits = 0
	if n = max(min(n, x.k.ReadAhead), x.window/2); !x.adapts {
		n = x.k.ReadAhead
	}
	x.window = n
	first = slot &^ int32(n-1)
	for s := first; s < first+int32(n) && int(s) < len(x.slots); s++ {
		if q := int(x.slots[s]) - 1; q >= 0 && q != page && !x.pages[q].frame {
			x.begin(&x.pages[q])
			also = append(also, q)
		}
	}
	return first, also
}

// reclaim takes pages out until there is room.
func (x *linux) reclaim(y *vtime.Proc) {
	for x.used > x.limit {
		if x.used-x.writing <= x.limit { // enough is on its way: shrink_page_list waits for pages that are being written, where a group is at its limit
			y.Wait(&x.written)
			continue
		}
		victims, dirty := x.victims()
		if len(victims) == 0 { // all is being written or read
			y.Wait(&x.written)
			continue
		}
		x.locked(y, x.k.Out, len(victims))
		y.Sleep(x.o.Hardware.Processor.ShootdownOf(x.threads - 1).Duration())
		x.used -= len(victims) - len(dirty)
		if len(dirty) == 0 {
			x.written.Broadcast()
			continue
		}
		// New slots, one after the other, are one request.
		first := len(x.slots)
		for _, n := range dirty {
			p := &x.pages[n]
			if p.slot != 0 {
				x.slots[p.slot] = 0
			}
			p.slot, p.dirty = int32(len(x.slots)), false
			x.slots = append(x.slots, int32(n)+1)
		}
		given, end := x.write(y.Now(), first, len(dirty))
		count := len(dirty)
		x.writing += count
		x.later = append(x.later, func() {
			x.used -= count
			x.writing -= count
			x.written.Broadcast()
		})
		x.clock.At(end, x.run, uint32(len(x.later)-1))
		y.Sleep(given - y.Now())
	}
}

// victims takes a batch of pages that were not used since the hand came by.
func (x *linux) victims() (all, dirty []int) {
	for looked := 0; len(all) < x.k.Batch && looked < 2*len(x.ring) && len(x.ring) > 0; looked++ {
		if x.hand >= len(x.ring) {
			x.compact()
			if len(x.ring) == 0 {
				break
			}
		}
		n := x.ring[x.hand]
		if n < 0 {
			x.hand++
			continue
		}
		p := &x.pages[n]
		if p.used {
			p.used = false
			x.hand++
			continue
		}
		x.ring[x.hand] = -1
		x.hand++
		p.frame, p.ready, p.ahead = false, false, false
		all = append(all, int(n))
		if p.dirty || p.slot == 0 {
			dirty = append(dirty, int(n))
		}
	}
	return all, dirty
}

// compact drops what the hand took, when it begins anew.
func (x *linux) compact() {
	kept := x.ring[:0]
	for _, n := range x.ring {
		if n >= 0 {
			kept = append(kept, n)
		}
	}
	x.ring, x.hand = kept, 0
}
