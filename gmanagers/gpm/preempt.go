package gpm

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/apart"
	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/membership"
	"splitkernel/gmanagers/placement"
	"splitkernel/netlayer/wire"
)

// The queries that GPM alone answers. Numbers are wire numbers.
const (
	QueryQueue  membership.QueryKind = 17 // → Page[Waiting], in the order of their turns; Query.ID selects a ticket, 0 all; Query.From by cursorOf
	QueryTicket membership.QueryKind = 18 // → Ticket of Query.ID
)

// Preempting returns the first vNode that waits for others to be ended and could have that now: no admission is under way
// that could take the room, and none was ended for it before.
func (s *State) Preempting() (Waiting, bool) {
	for i := range s.processes {
		if s.processes[i].Phase == admission.Intent {
			return Waiting{}, false
		}
	}
	for _, w := range s.queue {
		if w.Spec.IfFull == admission.Preempt && w.WaitsFrom != 0 && w.Attempt == 0 && w.Kind == wire.KindNoRoom && !w.Evicted {
			return w, true
		}
	}
	return Waiting{}, false
}

// Victims returns the vNodes that may be ended for others: those that run and are not moving.
func (s *State) Victims() []admission.Victim {
	var out []admission.Victim
	for i := range s.processes {
		if p := &s.processes[i]; s.endable(p) {
			out = append(out, admission.Victim{PID: p.PID, Priority: p.Priority})
		}
	}
	return out
}

func (s *State) endable(p *Process) bool {
	return p.Phase == admission.Running && s.moves.MovingOf(wire.MoveProcess, p.PID, 0) == nil
}

// Fits says, as an error, why a vNode could not be placed at a pComponent if some vNodes were not there. It changes nothing.
func (s *State) Fits(spec admission.VNodeSpec, without []wire.PID, cmd Command) error {
	try := *s
	try.note, try.set = events.Event{}, placement.Set{}
	try.used, try.usage, try.apart = maps.Clone(s.used), maps.Clone(s.usage), s.apart.Only(apart.Process(spec.Rule(), s.nextPID))
	try.fill()
	for _, pid := range without {
		if i, ok := s.find(pid); ok {
			p := s.processes[i]
			try.take(&p, less)
			try.credit(&p)
		}
	}
	if err := try.settings.Quota(spec.Tenant).Refuses(spec.Tenant, try.usage[spec.Tenant], spec.Wants()); err != nil {
		return err
	}
	_, err := try.choose(spec, cmd)
	return err
}

// preempt ends victims for a vNode that waits, all of them or none; without victims it refuses that vNode.
func (s *State) preempt(ticket wire.PID, victims []wire.PID, cmd Command) Result {
	refuse := func(format string, args ...any) Result { return failed(wire.Errorf(wire.KindStale, format, args...)) }
	i, ok := s.waiting(ticket)
	if !ok {
		return refuse("ticket %d does not wait any more", ticket)
	}
	w := &s.queue[i]
	if first, ok := s.Preempting(); !ok || first.Ticket != ticket {
		return refuse("ticket %d cannot have others ended for it now", ticket)
	}
	if len(victims) == 0 {
		s.refuse(i, events.Refused, wire.Errorf(w.Kind, "%s; ending vNodes of a priority below %d would not make room", w.Text, w.Spec.Priority), cmd)
		return Result{}
	}
	if len(victims) > admission.MaxVictims {
		return failed(wire.Errorf(wire.KindBadRequest, "%d victims, at most %d", len(victims), admission.MaxVictims))
	}
	for n, pid := range victims {
		j, ok := s.find(pid)
		if !ok || !s.endable(&s.processes[j]) || s.processes[j].Priority >= w.Spec.Priority || n > 0 && slices.Contains(victims[:n], pid) {
			return refuse("process %d cannot be ended for ticket %d of priority %d", pid, ticket, w.Spec.Priority)
		}
	}
	if err := s.Fits(w.Spec, victims, cmd); err != nil {
		return refuse("ending them would not make room: %s", membership.TextOf(err))
	}
	considered := s.considered(w.Spec.Priority, victims)
	for _, pid := range victims {
		j, _ := s.find(pid)
		p := &s.processes[j]
		p.Phase, p.By, p.Kind = admission.Evicting, ticket, wire.KindFailed
		p.Text = fmt.Sprintf("preempted by vNode %q of tenant %q, priority %d, which is above %d", w.Spec.Name, w.Spec.Tenant, w.Spec.Priority, p.Priority)
		s.open++
		s.counts.Preempted++
		s.events.Append(events.Event{MS: cmd.Stamp.NowMS, Kind: events.Preempted, PID: pid, By: ticket, Node: p.Node, Unit: "priority", Candidates: considered, Reason: p.Text})
	}
	w.Evicted = true
	return Result{}
}

// considered names, for the event, whose end for a vNode of a priority was considered: the victims, then the others that might
// have been ended, in the order in which admission.Victims looks at them. The id of each is that of its process.
func (s *State) considered(priority uint8, victims []wire.PID) []events.Candidate {
	all := slices.DeleteFunc(s.Victims(), func(v admission.Victim) bool { return v.Priority >= priority })
	slices.SortFunc(all, func(a, b admission.Victim) int {
		spared := func(v admission.Victim) int {
			if slices.Contains(victims, v.PID) {
				return 0
			}
			return 1
		}
		return cmp.Or(cmp.Compare(spared(a), spared(b)), cmp.Compare(a.Priority, b.Priority), cmp.Compare(b.PID, a.PID))
	})
	var out []events.Candidate
	for _, v := range all[:min(len(all), events.MaxCandidates)] {
		why := "spared"
		if slices.Contains(victims, v.PID) {
			why = "ended"
		}
		out = append(out, events.Candidate{ID: wire.NodeID(fmt.Sprintf("process %d", v.PID)), Value: uint64(v.Priority), Why: why})
	}
	return out
}

// Evictions returns the processes that must be stopped, because their vNodes are ended for others; ascending by process id.
func (s *State) Evictions() []Process {
	var out []Process
	for i := range s.processes {
		if p := &s.processes[i]; p.Phase == admission.Evicting {
			out = append(out, *p)
		}
	}
	return out
}

// resourceNames are what a vNode can be refused for. Refusals name it so, with spaces, before a colon.
var resourceNames = [...]string{"threads", "excache_lines", "memory_bytes", "vregions", "storage_bytes", "buffer caches", "quota", "queue", "process table", "apart"}

// Resources are the names of Counts.Refused, by position.
func Resources() []string {
	names := make([]string, len(resourceNames))
	for i, name := range resourceNames {
		names[i] = strings.ReplaceAll(name, " ", "_")
	}
	return names
}

// refuse counts the resources that a refusal names.
func (c *Counts) refuse(text string) {
	r := reasons(text)
	for i := range resourceNames {
		c.Refused[i] += uint64(r >> i & 1)
	}
}

// reasons returns the resources that a refusal names as bits, by their numbers in resourceNames; one bit more if it names none.
func reasons(text string) (r uint32) {
	for i, name := range resourceNames {
		if strings.Contains(text, name+":") || name == "quota" && strings.Contains(text, "quota of tenant") {
			r |= 1 << i
		}
	}
	if r == 0 {
		r = 1 << len(resourceNames)
	}
	return r
}
