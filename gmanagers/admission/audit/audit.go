// Package audit compares the books of the three managers with each other and with what the components say they hold.
//
// The books are three Raft groups, so a reading of them is no moment in time: an admission under way looks like a
// difference. Who audits a running cluster reads several times and believes what Persisting leaves.
//
// It reads nothing itself and repairs nothing. Pure: no goroutines, no locks, no clock, no chance, no I/O. Called by the
// command line and by tests.
//
//	diff := audit.Compare(read())
//	for len(diff) > 0 && more() { diff = audit.Persisting(diff, audit.Compare(read())) }
package audit

import (
	"fmt"
	"slices"
	"strings"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/gpm"
	"splitkernel/gmanagers/gsm"
	"splitkernel/gmanagers/movelist"
	"splitkernel/netlayer/wire"
)

// Books is what the managers have and what the components hold.
type Books struct {
	Processes                []gpm.Process      // all of GPM, ascending
	Homes                    []gmm.Process      // all of GMM, ascending
	Volumes                  []gsm.Volume       // all of GSM, ascending
	Files                    []gsm.File         // backup files of logs
	Compute, Memory, Storage []wire.Member      // as registered
	Moves                    []movelist.Move    // of all three; those that have ended say nothing
	Dead                     []wire.NodeID      // of them, declared dead
	Overcommit               uint64             // thousandths, as GMM's books tell it; 0 if nothing was ever granted under one
	Held                     []wire.HoldingsRep // of the components that answered; nil compares the books alone
}

// Difference is one thing on which two of them do not agree.
type Difference struct {
	Where string   `json:"where"` // the manager or component whose word is in doubt
	PID   wire.PID `json:"pid"`   // 0 if it is of no vNode
	Text  string   `json:"text"`
}

// auditor collects.
type auditor struct {
	b     Books
	procs map[wire.PID]gpm.Process
	homes map[wire.PID]gmm.Process
	vols  map[wire.VolumeID]gsm.Volume
	// moving are the moves under way: of what they move, giver and taker may both have something, and the books still name the
	// giver.
	moving map[movelist.Thing]*movelist.Move
	out    []Difference
}

// Compare returns every difference, in the order of the books.
func Compare(b Books) []Difference {
	a := &auditor{b: b, procs: map[wire.PID]gpm.Process{}, homes: map[wire.PID]gmm.Process{}, vols: map[wire.VolumeID]gsm.Volume{}, moving: map[movelist.Thing]*movelist.Move{}}
	for i := range b.Moves {
		if m := &b.Moves[i]; !m.Ended() {
			a.moving[m.Thing()] = m
		}
	}
	for _, p := range b.Processes {
		a.procs[p.PID] = p
	}
	for _, h := range b.Homes {
		a.homes[h.PID] = h
	}
	for _, v := range b.Volumes {
		a.vols[v.Volume] = v
	}
	a.vnodes()
	a.participants()
	a.lost()
	a.copies()
	a.sums()
	if b.Held != nil {
		a.components()
	}
	return a.out
}

// Persisting returns those of before that are in now too.
func Persisting(before, now []Difference) []Difference {
	return slices.DeleteFunc(slices.Clone(before), func(d Difference) bool { return !slices.Contains(now, d) })
}

func (a *auditor) say(where string, pid wire.PID, format string, args ...any) {
	a.out = append(a.out, Difference{where, pid, fmt.Sprintf(format, args...)})
}

// onTheMove reports whether a thing moves and node, under its epoch of the membership, may serve it under epoch meanwhile; 0 is
// an epoch that is not known.
func (a *auditor) onTheMove(t movelist.Thing, h wire.HoldingsRep, epoch wire.Epoch) bool {
	m := a.moving[t]
	switch {
	case m == nil:
		return false
	case h.Node == m.From && (h.Epoch == m.FromEpoch || m.FromEpoch == 0):
		return epoch == 0 || epoch == m.Req.OldEpoch || epoch == m.Req.UndoEpoch
	case h.Node == m.Req.To && h.Epoch == m.ToEpoch:
		return epoch == 0 || epoch == m.Req.Epoch
	}
	return false
}

// current reports whether a component is registered under an epoch, and not dead.
func (a *auditor) current(members []wire.Member, id wire.NodeID, epoch wire.Epoch) bool {
	i := slices.IndexFunc(members, func(m wire.Member) bool { return m.ID == id })
	return i >= 0 && members[i].Epoch == epoch && !slices.Contains(a.b.Dead, id)
}

// vnodes looks for the parts of each vNode of GPM.
func (a *auditor) vnodes() {
	for _, p := range a.b.Processes {
		if p.Phase != admission.Running {
			a.say("gpm", p.PID, "its admission or release has not ended: phase %v", p.Phase)
			continue
		}
		// While it moves its taker may run it, whatever became of its giver.
		if a.moving[movelist.Thing{Kind: wire.MoveProcess, PID: p.PID}] == nil && !a.current(a.b.Compute, p.Node, p.NodeEpoch) {
			a.say("gpm", p.PID, "is lost with %s (epoch %d), and its vNode has not ended", p.Node, p.NodeEpoch)
		}
		h, ok := a.homes[p.PID]
		switch {
		case !ok:
			a.say("gmm", p.PID, "GPM has its home at %s, GMM has none", p.Home.Node)
		case h.HomeEpoch < p.Home.Epoch || h.HomeEpoch == p.Home.Epoch && h.Home != p.Home.Node: // GPM has it as admitted, GMM as moved since
			a.say("gmm", p.PID, "GPM has its home at %s (epoch %d), GMM at %s (epoch %d)", p.Home.Node, p.Home.Epoch, h.Home, h.HomeEpoch)
		}
		for _, v := range p.Volumes {
			w, ok := a.vols[v.Volume]
			switch {
			case !ok:
				a.say("gsm", p.PID, "GPM has its volume %d at %s, GSM has none", v.Volume, v.Storage)
			case w.PID != p.PID || w.Epoch < v.Epoch || w.SizeBytes != v.SizeBytes || w.Copies != v.Copies || w.Epoch == v.Epoch && (w.Storage != v.Storage && w.Config == v.Config || w.Cache != v.Cache):
				a.say("gsm", p.PID, "volume %d: GPM has %d bytes at %s, cache %s, epoch %d; GSM has %d bytes of process %d at %s, cache %s, epoch %d",
					v.Volume, v.SizeBytes, v.Storage, v.Cache, v.Epoch, w.SizeBytes, w.PID, w.Storage, w.Cache, w.Epoch)
			}
		}
	}
}

// participants looks for the vNode of each part.
func (a *auditor) participants() {
	for _, h := range a.b.Homes {
		_, ok := a.procs[h.PID]
		switch {
		case !ok:
			a.say("gmm", h.PID, "has a home at %s and %d vRegions for a process that GPM does not have", h.Home, len(h.Regions))
		case h.Prepared:
			a.say("gmm", h.PID, "its home at %s is prepared and neither committed nor freed", h.Home)
		}
	}
	for _, v := range a.b.Volumes {
		p, ok := a.procs[v.PID]
		switch {
		case !ok:
			a.say("gsm", v.PID, "has volume %d of %d bytes at %s for a process that GPM does not have", v.Volume, v.SizeBytes, v.Storage)
		case v.Prepared:
			a.say("gsm", v.PID, "its volume %d at %s is prepared and neither committed nor freed", v.Volume, v.Storage)
		case p.Phase == admission.Running && !slices.ContainsFunc(p.Volumes, func(w admission.Volume) bool { return w.Volume == v.Volume }):
			a.say("gsm", v.PID, "has volume %d at %s, which GPM did not give the process", v.Volume, v.Storage)
		}
	}
}

// lost looks for vNodes that run although something of them is lost. What moves may be at its taker.
func (a *auditor) lost() {
	for _, h := range a.b.Homes {
		if a.moving[movelist.Thing{Kind: wire.MoveHome, PID: h.PID}] == nil && !a.current(a.b.Memory, h.Home, h.NodeEpoch) && h.Copies == nil {
			a.say("gmm", h.PID, "its home is lost with %s (epoch %d), and its vNode has not ended", h.Home, h.NodeEpoch)
		}
		n, first := 0, gmm.Region{}
		for _, r := range h.Regions {
			if a.moving[movelist.Thing{Kind: wire.MoveRegion, PID: h.PID, Region: r.Region}] == nil && !a.current(a.b.Memory, r.Node, r.NodeEpoch) && r.Copies == nil {
				if n++; n == 1 {
					first = r
				}
			}
		}
		if n > 0 {
			a.say("gmm", h.PID, "%d of its %d vRegions are lost, the first is vRegion %d with %s (epoch %d), and its vNode has not ended", n, len(h.Regions), first.Region, first.Node, first.NodeEpoch)
		}
	}
	for _, v := range a.b.Volumes {
		if v.Copies.Replicated() && !v.Whole() {
			var at []string
			for _, r := range v.Replicas {
				at = append(at, fmt.Sprintf("%s (%v)", r.Node, r.State))
			}
			a.say("gsm", v.PID, "its volume %d has not all of its %d copies: %s", v.Volume, v.Copies.Replicas, strings.Join(at, ", "))
		}
		switch v.Lost {
		case wire.MoveVolume:
			a.say("gsm", v.PID, "its volume %d was lost when it moved, and its vNode has not ended", v.Volume)
		case wire.MoveCache:
			a.say("gsm", v.PID, "the buffer cache of its volume %d was lost with what was not flushed, and its vNode has not ended", v.Volume)
		}
	}
}

// copies looks for memory that does not survive what its policy says, as it is being repaired or has no room, and for holders that are gone.
func (a *auditor) copies() {
	for _, h := range a.b.Homes {
		if h.Memory.Kind == wire.MemoryNone || h.Prepared {
			continue
		}
		look := func(what string, c *gmm.Copies, want int) {
			if c == nil {
				return // lost, which is told
			}
			inSync := 0
			for _, x := range c.Holders {
				if !a.current(a.b.Memory, x.Node, x.NodeEpoch) {
					a.say("gmm", h.PID, "%s has a copy at %s (epoch %d), which is gone", what, x.Node, x.NodeEpoch)
				} else if !x.Filling {
					inSync++
				}
			}
			switch {
			case c.Recovering:
				a.say("gmm", h.PID, "%s is being recovered", what)
			case inSync < want:
				a.say("gmm", h.PID, "%s has %d copies in sync, its policy wants %d", what, inSync, want)
			case !c.Known:
				a.say("gmm", h.PID, "%s has a new configuration of which nobody said yet that it is known", what)
			}
		}
		look("its home", h.Copies, 1)
		for _, r := range h.Regions {
			look(fmt.Sprintf("vRegion %d", r.Region), r.Copies, h.Memory.Holders())
		}
	}
}

// kept compares the copies that an mComponent holds with those of the books. One that the books have there and that holds nothing was not
// written to yet.
func (a *auditor) kept(h wire.HoldingsRep) {
	holds := func(c *gmm.Copies) bool {
		return c != nil && (c.Recovering || !c.Known || slices.ContainsFunc(c.Holders, func(x gmm.Holder) bool { return x.Node == h.Node && x.NodeEpoch == h.Epoch }))
	}
	for _, r := range h.Holds.Replicas {
		p := a.homes[r.PID]
		i := slices.IndexFunc(p.Regions, func(g gmm.Region) bool { return g.Region == r.Region })
		if a.moving[movelist.Thing{Kind: wire.MoveRegion, PID: r.PID, Region: r.Region}] == nil && (i < 0 || !holds(p.Regions[i].Copies)) {
			a.say(string(h.Node), r.PID, "holds a copy of vRegion %d under epoch %d, which GMM does not have there", r.Region, r.Epoch)
		}
	}
	for _, r := range h.Holds.Backups {
		if a.moving[movelist.Thing{Kind: wire.MoveHome, PID: r.PID}] == nil && !holds(a.homes[r.PID].Copies) {
			a.say(string(h.Node), r.PID, "is the backup of a home, which GMM does not have there")
		}
	}
}

// room returns how many vRegions an mComponent may own by the ratio of the books; false if they tell none.
func (a *auditor) room(m wire.Member) (uint64, bool) {
	if a.b.Overcommit == 0 || m.Capacity.RegionBytes == 0 {
		return 0, false
	}
	return gmm.Room(m.Capacity.MemoryBytes, m.Capacity.RegionBytes, a.b.Overcommit), true
}

// roomOf is what a vRegion of a process takes, in gmm.Parts, at who serves it; a whole one if the process is not known.
func (a *auditor) roomOf(pid wire.PID) uint64 {
	p := a.homes[pid]
	return p.Serves()
}

// sums compares what is booked at each component with what that offers.
func (a *auditor) sums() {
	for _, m := range a.b.Compute {
		var lines uint64
		for _, p := range a.b.Processes {
			if p.Node == m.ID && p.NodeEpoch == m.Epoch {
				lines += p.ExCacheLines
			}
		}
		if lines > m.Capacity.ExCacheLines {
			a.say("gpm", 0, "%s: processes take %d lines of %d", m.ID, lines, m.Capacity.ExCacheLines)
		}
	}
	for _, m := range a.b.Memory {
		room, ok := a.room(m)
		if !ok {
			continue
		}
		regions, reserved, arriving := uint64(0), uint64(0), uint64(0) // in gmm.Parts
		for _, h := range a.b.Homes {
			for _, r := range h.Regions {
				if r.Node == m.ID && r.NodeEpoch == m.Epoch {
					regions += h.Serves()
				}
				regions += h.CopiesAt(r, m.ID)
			}
			for _, r := range h.Reserved {
				if r.Node == m.ID && r.NodeEpoch == m.Epoch {
					reserved += r.Regions * h.Grain()
				}
			}
		}
		for t, mv := range a.moving { // only counted
			if t.Kind == wire.MoveRegion && mv.Req.To == m.ID && mv.ToEpoch == m.Epoch {
				arriving += a.roomOf(t.PID)
			}
		}
		if regions+reserved+arriving > room*gmm.Parts {
			a.say("gmm", 0, "%s: %g vRegions, %g reserved and %g on their way there are more than the %d of %d bytes that it has room for at an overcommit of %g",
				m.ID, float64(regions)/gmm.Parts, float64(reserved)/gmm.Parts, float64(arriving)/gmm.Parts, room, m.Capacity.RegionBytes, float64(a.b.Overcommit)/1000)
		}
	}
	for _, m := range a.b.Storage {
		var bytes uint64
		for _, v := range a.b.Volumes {
			if v.StoredAt(m.ID) {
				bytes += v.SizeBytes
			}
		}
		for _, f := range a.b.Files {
			if f.Storage == m.ID {
				bytes += f.SizeBytes
			}
		}
		if bytes > m.Capacity.StorageBytes {
			a.say("gsm", 0, "%s: volumes take %d bytes of %d", m.ID, bytes, m.Capacity.StorageBytes)
		}
	}
}

// components compares the books with what components hold. What is booked and not used, yet or any more, is no
// difference, but a volume must be there. Moves under way excuse both their ends.
func (a *auditor) components() {
	held := map[wire.NodeID]wire.HoldingsRep{}
	for _, h := range a.b.Held {
		held[h.Node] = h
	}
	members := map[wire.NodeID]bool{}
	for _, role := range [][]wire.Member{a.b.Compute, a.b.Memory, a.b.Storage} {
		for _, m := range role {
			members[m.ID] = true
			h, ok := held[m.ID]
			dead := slices.Contains(a.b.Dead, m.ID)
			switch {
			case dead && ok && h.Epoch == m.Epoch:
				a.say(string(m.ID), 0, "was declared dead under epoch %d and has not joined again", m.Epoch)
			case dead: // as it should be, or on its way back
			case !ok:
				a.say(string(m.ID), 0, "does not answer")
			case h.Epoch != m.Epoch:
				a.say(string(m.ID), 0, "is epoch %d, its manager registered epoch %d", h.Epoch, m.Epoch)
			case m.Role == wire.RoleCompute:
				a.compute(h)
			case m.Role == wire.RoleMemory:
				owns := uint64(0) // in gmm.Parts
				for _, r := range h.Holds.Regions {
					owns += a.roomOf(r.PID)
				}
				if room, ok := a.room(m); ok && owns > room*gmm.Parts {
					a.say(string(m.ID), 0, "owns %d vRegions of %d bytes, it has room for %d at an overcommit of %g", owns/gmm.Parts, m.Capacity.RegionBytes, room, float64(a.b.Overcommit)/1000)
				}
				a.memory(h)
				a.kept(h)
			case m.Role == wire.RoleStorage:
				a.storage(h)
			}
		}
	}
	for _, h := range a.b.Held { // a removed one may go on running, with nothing
		if n := len(h.Holds.Processes) + len(h.Holds.Homes) + len(h.Holds.Regions); !members[h.Node] && n > 0 {
			a.say(string(h.Node), 0, "is no member and holds %d processes, homes and vRegions", n)
		}
	}
}

func (a *auditor) compute(h wire.HoldingsRep) {
	for _, r := range h.Holds.Processes {
		p, ok := a.procs[r.PID]
		switch {
		case a.onTheMove(movelist.Thing{Kind: wire.MoveProcess, PID: r.PID}, h, r.Epoch):
		case !ok || p.Node != h.Node || p.NodeEpoch != h.Epoch:
			a.say(string(h.Node), r.PID, "runs a process that GPM does not have there")
		case p.Epoch != r.Epoch || p.ExCacheLines != r.ExCacheLines:
			a.say(string(h.Node), r.PID, "runs it under epoch %d with %d lines, GPM has epoch %d and %d lines", r.Epoch, r.ExCacheLines, p.Epoch, p.ExCacheLines)
		}
	}
}

func (a *auditor) memory(h wire.HoldingsRep) {
	for _, held := range h.Holds.Homes {
		pid := held.PID
		p, ok := a.homes[pid]
		switch {
		case a.onTheMove(movelist.Thing{Kind: wire.MoveHome, PID: pid}, h, held.Epoch):
		case !ok || p.Home != h.Node || p.NodeEpoch != h.Epoch:
			a.say(string(h.Node), pid, "is the home of a process whose home GMM does not have there")
		case held.Epoch != 0 && held.Epoch != p.HomeEpoch:
			a.say(string(h.Node), pid, "is its home under epoch %d, GMM has epoch %d", held.Epoch, p.HomeEpoch)
		}
	}
	for _, r := range h.Holds.Caches {
		v, ok := a.vols[r.Volume]
		switch {
		case a.onTheMove(movelist.Thing{Kind: wire.MoveCache, Volume: r.Volume}, h, 0):
		case !ok || v.Cache != h.Node:
			a.say(string(h.Node), 0, "is the buffer cache of volume %d, which GSM does not have there", r.Volume)
		case r.Epoch > v.Epoch && a.moving[movelist.Thing{Kind: wire.MoveVolume, Volume: r.Volume}] == nil:
			a.say(string(h.Node), v.PID, "is the buffer cache of volume %d under epoch %d, GSM has epoch %d", r.Volume, r.Epoch, v.Epoch)
		}
	}
	for _, r := range h.Holds.Regions {
		if a.onTheMove(movelist.Thing{Kind: wire.MoveRegion, PID: r.PID, Region: r.Region}, h, r.Epoch) {
			continue
		}
		i := slices.IndexFunc(a.homes[r.PID].Regions, func(g gmm.Region) bool { return g.Region == r.Region })
		if i < 0 {
			a.say(string(h.Node), r.PID, "owns vRegion %d, which GMM has not active", r.Region)
			continue
		}
		if g := a.homes[r.PID].Regions[i]; g.Node != h.Node || g.NodeEpoch != h.Epoch || g.Epoch != r.Epoch {
			a.say(string(h.Node), r.PID, "owns vRegion %d under epoch %d, GMM has it at %s under epoch %d", r.Region, r.Epoch, g.Node, g.Epoch)
		}
	}
}

// attached reports whether an mComponent has the buffer cache of a volume under the epoch of the books. Until one has, the
// sComponent has not heard of that epoch: a buffer cache that is not attached moves in the books alone.
func (a *auditor) attached(v gsm.Volume) bool {
	return slices.ContainsFunc(a.b.Held, func(h wire.HoldingsRep) bool {
		return slices.ContainsFunc(h.Holds.Caches, func(c wire.HeldVolume) bool { return c.Volume == v.Volume && c.Epoch == v.Epoch })
	})
}

func (a *auditor) storage(h wire.HoldingsRep) {
	has := map[wire.VolumeID]bool{}
	for _, r := range h.Holds.Volumes {
		has[r.Volume] = true
		v, ok := a.vols[r.Volume]
		switch {
		case a.moving[movelist.Thing{Kind: wire.MoveCache, Volume: r.Volume}] != nil: // its epoch changes
		case a.onTheMove(movelist.Thing{Kind: wire.MoveVolume, Volume: r.Volume}, h, 0):
		case slices.ContainsFunc(a.b.Files, func(f gsm.File) bool {
			return f.Volume == r.Volume && f.Storage == h.Node && f.SizeBytes == r.SizeBytes
		}):
		case !ok || !v.StoredAt(h.Node):
			a.say(string(h.Node), 0, "stores volume %d of %d bytes, which GSM does not have there", r.Volume, r.SizeBytes)
		case v.Copies.Replicated(): // a copy that was away, or fills, has not heard of the present epoch yet
			if v.SizeBytes != r.SizeBytes || r.Epoch > v.Epoch {
				a.say(string(h.Node), v.PID, "stores a copy of volume %d of %d bytes under epoch %d, GSM has %d bytes and epoch %d", r.Volume, r.SizeBytes, r.Epoch, v.SizeBytes, v.Epoch)
			}
		case v.SizeBytes != r.SizeBytes || r.Epoch > v.Epoch || r.Epoch < v.Epoch && a.attached(v):
			a.say(string(h.Node), v.PID, "stores volume %d of %d bytes under epoch %d, GSM has %d bytes and epoch %d", r.Volume, r.SizeBytes, r.Epoch, v.SizeBytes, v.Epoch)
		}
	}
	for _, v := range a.b.Volumes {
		if v.StoredAt(h.Node) && !v.Fills(h.Node) && !has[v.Volume] && v.Lost == 0 && a.moving[movelist.Thing{Kind: wire.MoveVolume, Volume: v.Volume}] == nil {
			a.say(string(h.Node), v.PID, "does not store volume %d of %d bytes, which GSM has there", v.Volume, v.SizeBytes)
		}
	}
}
