package observe

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"splitkernel/gmanagers/httpapi"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/faults"
	"splitkernel/sim/launcher"
)

// silentAfter is for how long a node, which is asked every interval, may not answer until it is called silent. A round waits for a half of an
// interval: so one that falls silent just after it answered is told two and a half intervals later, and one that takes a whole interval for an
// answer is only slow.
func silentAfter(interval time.Duration) time.Duration { return 2*interval + interval/5 }

// evidence is what is known of a node.
type evidence struct {
	now     time.Time
	process launcher.NodeInfo
	faults  []launcher.Struck // of this node, those that have ended too
	member  *httpapi.Node     // the word of the managers; nil: none, or they did not answer
	// answered is when it answered last, or when it was first seen; asked is the error of the last question that has ended.
	answered time.Time
	asked    error
	silence  time.Duration // that is too long
}

// verdict is what is said of a node.
type verdict struct {
	state State
	why   string
	since time.Time // zero: since now
}

// judge says how a node is, from the surest to the weakest sign.
func judge(e *evidence) verdict {
	word := memberWord(e.member)
	with := func(text string) string {
		if word == "" {
			return text
		}
		return text + "; " + word
	}
	if p := &e.process; !p.Alive {
		how := "has ended"
		if p.How != "" {
			how = "ended: " + p.How
		}
		v := verdict{state: Dead, why: fmt.Sprintf("process %d %s", p.PID, how)}
		if p.Ended != nil {
			v.since = *p.Ended
		}
		if f := killedBy(e.faults, p.Ended); f != nil {
			v.why += fmt.Sprintf(", by the fault %q", f.Fault)
		} else {
			v.why += ", which nobody ordered here"
		}
		v.why = with(v.why)
		return v
	}
	open := slices.DeleteFunc(slices.Clone(e.faults), func(f launcher.Struck) bool { return f.Ended != nil })
	if i := slices.IndexFunc(open, func(f launcher.Struck) bool { return f.Kind == faults.Pause.String() }); i >= 0 {
		f := &open[i]
		return verdict{Paused, with(fmt.Sprintf("process %d is stopped by the fault %q", e.process.PID, f.Fault)), f.Began}
	}
	if e.process.Metrics == "" {
		return verdict{state: Starting, why: with(fmt.Sprintf("process %d is starting", e.process.PID))}
	}
	if e.now.Sub(e.answered) >= e.silence {
		text := fmt.Sprintf("process %d runs and has not answered since %s", e.process.PID, clock(e.answered))
		if e.asked != nil {
			text += ": " + e.asked.Error()
		}
		return verdict{Silent, with(text), e.answered}
	}
	disturbed := onPurpose(open)
	if m := e.member; m != nil {
		switch {
		case m.State == membership.Dead.String():
			return verdict{state: CutOff, why: join(fmt.Sprintf("it answers here, but the managers declared epoch %d of it dead", m.Epoch), disturbed)}
		case !m.Alive:
			return verdict{state: CutOff, why: join("it answers here, but "+word, disturbed)}
		case m.State == membership.Draining.String():
			return verdict{state: Draining, why: join("it gives away what it has and takes nothing new", disturbed)}
		}
	}
	return verdict{state: Up, why: disturbed}
}

// memberWord is what the managers say of a node, if that is not well.
func memberWord(m *httpapi.Node) string {
	switch {
	case m == nil:
		return ""
	case m.State == membership.Dead.String():
		return fmt.Sprintf("the managers declared epoch %d of it dead", m.Epoch)
	case m.Unreachable:
		return "the managers do not hear it, and other components reach it"
	case !m.Alive && m.Role == wire.RoleManager.String():
		return "the other managers do not hear it"
	case !m.Alive && m.AgeMS >= 0:
		return fmt.Sprintf("the managers have not heard it for %.1f s", float64(m.AgeMS)/1000)
	case !m.Alive:
		return "the managers do not hear it"
	}
	return ""
}

// killWindow is how long before its end a process may have been struck for the fault to be the reason.
const killWindow = 5 * time.Second

// killedBy finds the fault that ended a process.
func killedBy(list []launcher.Struck, ended *time.Time) *launcher.Struck {
	for i, f := range slices.Backward(list) {
		if (f.Kind == faults.Kill.String() || f.Kind == faults.Restart.String()) && ended != nil && !f.Began.After(*ended) && ended.Sub(f.Began) < killWindow {
			return &list[i]
		}
	}
	return nil
}

// onPurpose names what goes wrong with links and disks.
func onPurpose(list []launcher.Struck) string {
	var said []string
	for _, f := range list {
		if f.Kind != faults.Kill.String() && f.Kind != faults.Restart.String() {
			said = append(said, fmt.Sprintf("%q", f.Fault))
		}
	}
	if len(said) == 0 {
		return ""
	}
	return "made to go wrong: " + strings.Join(said, ", ")
}

func join(a, b string) string {
	if b == "" {
		return a
	}
	return a + "; " + b
}

func clock(t time.Time) string { return t.Local().Format("15:04:05") }
