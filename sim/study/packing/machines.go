package packing

import (
	"fmt"

	"splitkernel/sim/tasks"
)

// machines does what happens to machines of the trace, if tasks are placed on them.
func (r *run) machines(e tasks.Event) error {
	i, known := r.machine[e.ID]
	if !r.o.Layout.Own {
		if e.Kind == tasks.MachineComes && !known {
			r.machine[e.ID] = 0
		}
		return nil
	}
	h := r.site.hosts
	switch {
	case e.Kind == tasks.MachineLeaves:
		if known && !h.gone[i] {
			r.displace(i)
			h.leave(i)
		}
	case !known:
		if len(h.size) >= MaxHosts {
			return fmt.Errorf("more than %d machines", MaxHosts)
		}
		r.machine[e.ID] = h.add(e.Size)
		r.first = append(r.first, -1)
	default:
		h.back(i, e.Size)
	}
	return nil
}

// displace takes all tasks from a machine that leaves. Each begins again elsewhere, with what it has left to do, or waits, or is rejected.
func (r *run) displace(host int) {
	var moved []int32
	for i := r.first[host]; i >= 0; i = r.slots[i].next {
		moved = append(moved, i)
	}
	h := r.site.hosts
	for _, i := range moved {
		r.leave(i)
	}
	h.idx.set(host, nothing, h.size[host]) // so that none of them comes back
	for _, i := range moved {
		r.r.Displaced++
		t := &r.slots[i]
		if t.lasts != tasks.Unknown {
			t.lasts -= r.now - t.began
		}
		// Another age: its old end is not its end any more.
		t.age++
		t.came = r.now
		r.r.Placed--
		r.admit(i)
	}
}

// link and unlink keep the list of the tasks at each host.
func (r *run) link(i int32) {
	t := &r.slots[i]
	head := r.first[t.at.host]
	t.prev, t.next = -1, head
	if head >= 0 {
		r.slots[head].prev = i
	}
	r.first[t.at.host] = i
}

func (r *run) unlink(i int32) {
	t := &r.slots[i]
	if t.prev >= 0 {
		r.slots[t.prev].next = t.next
	} else {
		r.first[t.at.host] = t.next
	}
	if t.next >= 0 {
		r.slots[t.next].prev = t.prev
	}
	t.prev, t.next = -1, -1
}
