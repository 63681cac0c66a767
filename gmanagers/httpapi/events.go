package httpapi

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"splitkernel/gmanagers/events"
	"splitkernel/netlayer/wire"
)

// Events is the answer of GET /events.
type Events struct {
	Events []Event `json:"events"` // oldest first
	// Next is what since must be to go on after these.
	Next string `json:"next"`
	// Forgotten is how many events were asked for that the managers do not remember any more.
	Forgotten uint64 `json:"forgotten"`
}

// Event is one decision.
type Event struct {
	Manager    string         `json:"manager"`
	Seq        uint64         `json:"seq"` // within the manager
	Time       time.Time      `json:"time"`
	Kind       string         `json:"kind"`
	PID        wire.PID       `json:"pid,omitempty"`
	By         wire.PID       `json:"by,omitempty"`
	Region     *wire.RegionNo `json:"vregion,omitempty"`
	Volume     wire.VolumeID  `json:"volume,omitempty"`
	Node       string         `json:"node,omitempty"`
	Epoch      uint32         `json:"epoch,omitempty"`
	From       string         `json:"from,omitempty"`
	To         string         `json:"to,omitempty"`
	Move       uint64         `json:"move,omitempty"`
	Amount     uint64         `json:"amount,omitempty"`
	Policy     string         `json:"policy,omitempty"`
	Candidates []Candidate    `json:"candidates,omitempty"` // the chosen one first
	Reason     string         `json:"reason,omitempty"`
	Text       string         `json:"text"` // all of it in words
}

// Candidate is a component that could have been chosen.
type Candidate struct {
	ID  string `json:"id"`
	Why string `json:"why"`
}

func eventOf(m wire.Manager, e events.Event) Event {
	v := Event{
		Manager: m.String(), Seq: e.Seq, Time: time.UnixMilli(e.MS).UTC(), Kind: e.Kind.String(), PID: e.PID, By: e.By, Volume: e.Volume,
		Node: string(e.Node), Epoch: uint32(e.Epoch), From: string(e.From), To: string(e.To), Move: e.Move, Amount: e.Amount,
		Policy: e.Policy, Reason: e.Reason, Text: e.String(),
	}
	if e.Kind == events.PlacedRegion || e.Region != 0 {
		v.Region = &e.Region
	}
	for _, c := range e.Candidates {
		v.Candidates = append(v.Candidates, Candidate{string(c.ID), c.Reason(e.Unit)})
	}
	return v
}

// tail is what a reading looks for: the latest events, or those after a number.
const tail = math.MaxUint64

// filter chooses events; zeros choose all.
type filter struct {
	kind events.Kind
	pid  wire.PID
}

func (f filter) fits(e *events.Event) bool {
	return (f.kind == 0 || e.Kind == f.kind) && (f.pid == 0 || e.PID == f.pid || e.By == f.pid)
}

// logReading is what was read of the log of one manager.
type logReading struct {
	manager   wire.Manager
	events    []events.Event
	read      uint64 // number of the last one that was looked at
	forgotten uint64
}

// readLog reads the events of a manager after number since, or the latest, until limit fit. A log is bounded, so this ends.
func (a *API) readLog(ctx context.Context, m wire.Manager, since uint64, limit int, f filter) (l logReading, err error) {
	l.manager = m
	latest := since == tail
	if latest {
		p, err := a.o.Client.EventPage(ctx, m, math.MaxUint64-1, 1) // none, but the bounds of the log
		if err != nil {
			return l, err
		}
		since = p.Oldest - 1
		if f == (filter{}) { // those before cannot be wanted
			since = max(since, p.Last-min(p.Last, uint64(limit)))
		}
	}
	l.read = since
	for {
		p, err := a.o.Client.EventPage(ctx, m, l.read, events.MaxPage)
		if err != nil {
			return l, err
		}
		if first := p.Oldest - 1; first > l.read {
			l.forgotten += first - l.read
			l.read = first
		}
		for i := range p.Events {
			l.read = p.Events[i].Seq
			if f.fits(&p.Events[i]) {
				l.events = append(l.events, p.Events[i])
			}
			if !latest && len(l.events) == limit {
				return l, nil
			}
		}
		if len(p.Events) == 0 || l.read >= p.Last {
			break
		}
	}
	if latest && len(l.events) > limit {
		l.events = l.events[len(l.events)-limit:]
	}
	return l, nil
}

// merge puts the logs into one by time, each in its own order: clocks of leaders differ.
func merge(logs []logReading) (out []Event) {
	at := make([]int, len(logs))
	for {
		next := -1
		for i, l := range logs {
			if at[i] < len(l.events) && (next < 0 || l.events[at[i]].MS < logs[next].events[at[next]].MS) {
				next = i
			}
		}
		if next < 0 {
			return out
		}
		out = append(out, eventOf(logs[next].manager, logs[next].events[at[next]]))
		at[next]++
	}
}

func (a *API) events(q *request) (int, any, error) {
	limit, err := q.uint("limit", DefaultLimit, 1, MaxLimit)
	if err != nil {
		return 0, nil, err
	}
	of, err := q.manager()
	if err != nil {
		return 0, nil, err
	}
	since, err := q.since(of)
	if err != nil {
		return 0, nil, err
	}
	f, err := q.filter()
	if err != nil {
		return 0, nil, err
	}
	var logs []logReading
	for _, m := range managers {
		if of == 0 || of == m {
			logs = append(logs, logReading{manager: m})
		}
	}
	errs := make([]error, len(logs))
	var asking sync.WaitGroup
	for i := range logs {
		asking.Go(func() { logs[i], errs[i] = a.readLog(q.ctx, logs[i].manager, since[logs[i].manager], int(limit), f) })
	}
	asking.Wait()
	if err := errors.Join(errs...); err != nil {
		return 0, nil, err
	}
	out := Events{Events: append([]Event{}, merge(logs)...)}
	if over := len(out.Events) - int(limit); over > 0 && q.query.Get("since") == "" {
		out.Events = out.Events[over:]
	} else if over > 0 { // who reads on gets those later
		for _, e := range slices.Backward(out.Events[limit:]) {
			for i := range logs {
				if logs[i].manager.String() == e.Manager {
					logs[i].read = e.Seq - 1
				}
			}
		}
		out.Events = out.Events[:limit]
	}
	for _, l := range logs {
		out.Forgotten += l.forgotten
		since[l.manager] = l.read
	}
	out.Next = next(of, since)
	return http.StatusOK, out, nil
}

// next writes what since reads.
func next(of wire.Manager, since [wire.GSM + 1]uint64) string {
	if of != 0 {
		return strconv.FormatUint(since[of], 10)
	}
	var parts []string
	for _, m := range managers {
		parts = append(parts, fmt.Sprintf("%s:%d", m, since[m]))
	}
	return strings.Join(parts, ",")
}

func managerNamed(name string) wire.Manager {
	for _, m := range managers {
		if m.String() == name {
			return m
		}
	}
	return 0
}

// manager reads the parameter of that name; 0 is all.
func (q *request) manager() (wire.Manager, error) {
	name := q.query.Get("manager")
	m := managerNamed(name)
	if name != "" && m == 0 {
		return 0, badRequest("parameter manager: %.100q, want one of gpm, gmm, gsm", name)
	}
	return m, nil
}

// since reads where to begin, by manager.
func (q *request) since(of wire.Manager) (since [wire.GSM + 1]uint64, err error) {
	text := q.query.Get("since")
	if text == "" {
		for i := range since {
			since[i] = tail
		}
		return since, nil
	}
	if n, err := strconv.ParseUint(text, 10, 63); err == nil && (of != 0 || n == 0) {
		for i := range since {
			since[i] = n
		}
		return since, nil
	}
	bad := badRequest("parameter since: %.100q, want `next` of an answer, a number with manager, or 0", text)
	if of != 0 {
		return since, bad
	}
	for _, part := range strings.Split(text, ",") {
		name, number, _ := strings.Cut(part, ":")
		n, err := strconv.ParseUint(number, 10, 63)
		m := managerNamed(name)
		if err != nil || m == 0 {
			return since, bad
		}
		since[m] = n
	}
	return since, nil
}

func (q *request) filter() (f filter, err error) {
	if name := q.query.Get("kind"); name != "" {
		kinds := events.KindNames()
		i := slices.Index(kinds, name)
		if i < 0 {
			return f, badRequest("parameter kind: %.100q, want one of %s", name, strings.Join(kinds, ", "))
		}
		f.kind = events.Kind(i + 1)
	}
	pid, err := q.uint("pid", 0, 1, math.MaxUint64)
	f.pid = wire.PID(pid)
	return f, err
}
