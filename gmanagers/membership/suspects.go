package membership

import (
	"time"

	"splitkernel/netlayer/wire"
)

// Doubt is a member that may have ended.
type Doubt struct {
	Member wire.Member
	// Since is when there was the last sign that it lives: it was heard, or its connection still stood.
	Since  time.Duration
	Silent bool // it was not heard of within the lease
	Broken bool // its connection to this manager ended, and nothing was heard since
}

// Suspects finds the members of a group that may have ended and are not dead, and who can be asked about them. Make one with
// Watch.Suspects.
type Suspects struct {
	w         *Watch
	group     wire.Manager
	now       time.Duration
	Doubts    []Doubt // ascending by id, if the entries are
	Witnesses []Witness
	// Next is when the next member may become silent, if nothing is heard and no connection ends: at most a lease from now.
	Next time.Duration
}

// Suspects begins to look for the members of a group that may have ended.
func (w *Watch) Suspects(group wire.Manager, now time.Duration) *Suspects {
	return &Suspects{w: w, group: group, now: now, Next: now + w.lease}
}

// Add looks at the entries of a manager: its group's own if it is that of s. Components of any role that were heard of, and whose
// connection stands, are witnesses.
func (s *Suspects) Add(of wire.Manager, entries []Entry) {
	for i := range entries {
		e := &entries[i]
		if e.Dead {
			continue
		}
		h, known := s.w.known(e.Member)
		if of == s.group {
			_, ends := s.w.live(s.group, s.now, e.Member)
			d := Doubt{Member: e.Member, Since: h.at, Silent: s.now >= ends, Broken: known && h.broke != 0}
			if !known {
				d.Since = s.w.grace[s.group] - s.w.lease // when this manager began to listen, or to lead
			}
			if d.Broken {
				d.Since = max(h.at, h.broke)
			}
			if d.Silent || d.Broken {
				s.Doubts = append(s.Doubts, d)
			}
			if !d.Silent && ends < s.Next {
				s.Next = ends
			}
			if d.Silent || d.Broken {
				continue
			}
		}
		if known && h.broke == 0 && s.now-h.at <= s.w.lease {
			s.Witnesses = append(s.Witnesses, Witness{ID: e.Member.ID, Addr: e.Member.Addr, Rack: e.Member.Rack})
		}
	}
}

// Refutes reports whether what was heard since speaks against a death that a Prober of the group wants declared.
func (w *Watch) Refutes(group wire.Manager, now time.Duration, e ProbeEffect) bool {
	if h, ok := w.known(e.Of); ok && h.broke != 0 && e.Death.Cause == CauseRefused {
		return false
	}
	return w.Alive(group, now, e.Of)
}
