package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"splitkernel/gmanagers/movelist"
	"splitkernel/netlayer/wire"
)

// MoveSpec is the body of POST /moves: what moves, named by the ids that its kind has, and where.
type MoveSpec struct {
	Kind   string         `json:"kind"` // vregion, home, process, volume or buffer_cache
	PID    wire.PID       `json:"pid"`
	Region *wire.RegionNo `json:"vregion"`
	Volume wire.VolumeID  `json:"volume"`
	To     string         `json:"to"` // empty: the placement policy chooses
}

// Move is a move that was ordered.
type Move struct {
	Manager    string         `json:"manager"`
	Move       uint64         `json:"move"` // within the manager
	Kind       string         `json:"kind"`
	PID        wire.PID       `json:"pid,omitempty"`
	Region     *wire.RegionNo `json:"vregion,omitempty"`
	Volume     wire.VolumeID  `json:"volume,omitempty"`
	From       string         `json:"from"`
	To         string         `json:"to"`
	State      string         `json:"state"` // under_way, done, undone or lost
	Cause      string         `json:"cause"` // by_hand, balance or drain
	Reason     string         `json:"reason,omitempty"`
	Begun      time.Time      `json:"begun"`
	Ended      *time.Time     `json:"ended,omitempty"`
	Epoch      uint32         `json:"epoch,omitempty"` // under which it is served since it ended
	Bytes      uint64         `json:"bytes"`           // sent
	DurationUS uint64         `json:"duration_us"`
	PauseUS    uint64         `json:"pause_us"` // for which nobody served
	Text       string         `json:"text,omitempty"`
	// Progress is how far it is, by the word of its giver, if it was asked and answered.
	Progress *MoveProgress `json:"progress,omitempty"`
}

func (m Move) location() string { return fmt.Sprintf("/moves/%s/%d", m.Manager, m.Move) }

// MoveProgress is how far a move is.
type MoveProgress struct {
	State      string `json:"state"` // copying, switching, done, undone or lost
	Bytes      uint64 `json:"bytes"`
	TotalBytes uint64 `json:"total_bytes"`
	Rounds     uint32 `json:"rounds"`
}

// Moves is the answer of GET /moves.
type Moves struct {
	Moves []Move `json:"moves"` // by the time at which they began
	// Next is what after must be to go on; empty if these were the last.
	Next string `json:"next,omitempty"`
}

// underWay is the state of a move that has not ended.
const underWay = "under_way"

func moveOf(m *movelist.Move) Move {
	v := Move{
		Manager: m.Req.Move.Manager.String(), Move: m.Req.Move.No, Kind: m.Req.Kind.String(), PID: m.Req.PID, Volume: m.Req.Volume,
		From: string(m.From), To: string(m.Req.To), State: underWay, Cause: m.Cause.String(), Reason: m.Reason, Begun: time.UnixMilli(m.BegunMS).UTC(),
		Epoch: uint32(m.Epoch), Bytes: m.Bytes, DurationUS: m.DurationUS, PauseUS: m.PauseUS, Text: m.Text,
	}
	if m.Req.Kind == wire.MoveRegion {
		v.Region = &m.Req.Region
	}
	if m.Ended() {
		t := time.UnixMilli(m.EndedMS).UTC()
		v.State, v.Ended = m.State.String(), &t
	}
	return v
}

// moveKinds are the kinds by name.
var moveKinds = []wire.MoveKind{wire.MoveRegion, wire.MoveHome, wire.MoveProcess, wire.MoveVolume, wire.MoveCache}

// MoveKinds are the names of the kinds.
func MoveKinds() (names []string) {
	for _, k := range moveKinds {
		names = append(names, k.String())
	}
	return names
}

// thing reads what moves.
func (s MoveSpec) thing() (t movelist.Thing, err error) {
	i := slices.IndexFunc(moveKinds, func(k wire.MoveKind) bool { return k.String() == s.Kind })
	if i < 0 {
		return t, badRequest("kind: %.100q, want one of %s", s.Kind, strings.Join(MoveKinds(), ", "))
	}
	t = movelist.Thing{Kind: moveKinds[i], PID: s.PID, Volume: s.Volume}
	if (s.Region != nil) != (t.Kind == wire.MoveRegion) {
		return t, badRequest("vregion: want it with the kind vregion, and with no other")
	}
	if s.Region != nil {
		t.Region = *s.Region
	}
	return t, t.Check(movelist.ManagerOf(t.Kind))
}

func (a *API) createMove(q *request) (int, any, error) {
	var s MoveSpec
	if err := q.decode(&s); err != nil {
		return 0, nil, err
	}
	t, err := s.thing()
	if err != nil {
		return 0, nil, err
	}
	if s.To != "" { // an unknown component is told by its name, and before anything is begun
		find, cancel := context.WithTimeout(q.ctx, ReadTimeout)
		defer cancel()
		if err := a.takes(find, t.Kind, wire.NodeID(s.To)); err != nil {
			return 0, nil, unbegun(err)
		}
	} else if err := a.quorum(q.ctx); err != nil {
		return 0, nil, err
	}
	id, err := a.o.Client.Move(q.ctx, t, wire.NodeID(s.To))
	if err != nil {
		return 0, nil, conflict(err)
	}
	m, err := a.findMove(q.ctx, id)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusAccepted, moveOf(m), nil
}

// takes says why a component is none that things of a kind move to.
func (a *API) takes(ctx context.Context, k wire.MoveKind, to wire.NodeID) error {
	m, err := a.member(ctx, to)
	if err != nil {
		return err
	}
	want := wire.RoleMemory
	switch k {
	case wire.MoveProcess:
		want = wire.RoleCompute
	case wire.MoveVolume:
		want = wire.RoleStorage
	}
	if m.Member.Role == want {
		return nil
	}
	all, err := a.members(ctx)
	if err != nil {
		return err
	}
	var ids []string
	for _, s := range all {
		if s.Member.Role == want {
			ids = append(ids, string(s.Member.ID))
		}
	}
	return badRequest("to: %s is no %s, want one of %s", to, componentName(want), some(ids))
}

// componentName is how people call a component of a role.
func componentName(r wire.Role) string {
	switch r {
	case wire.RoleCompute:
		return "pComponent"
	case wire.RoleMemory:
		return "mComponent"
	}
	return "sComponent"
}

// findMove finds a move by its id.
func (a *API) findMove(ctx context.Context, id wire.MoveID) (*movelist.Move, error) {
	list, err := a.o.Client.Moves(ctx, id.Manager)
	if err != nil {
		return nil, err
	}
	for i := range list {
		if list[i].Req.Move == id {
			return &list[i], nil
		}
	}
	return nil, wire.Errorf(wire.KindNotFound, "%v has no move %d, or it ended long ago", id.Manager, id.No)
}

func (a *API) move(q *request) (int, any, error) {
	id := wire.MoveID{Manager: managerNamed(q.PathValue("manager"))}
	var err error
	if id.No, err = strconv.ParseUint(q.PathValue("move"), 10, 64); err != nil || id.Manager == 0 || id.No == 0 {
		return 0, nil, badRequest("move %.50s/%.50s, want gpm, gmm or gsm and a number above 0", q.PathValue("manager"), q.PathValue("move"))
	}
	m, err := a.findMove(q.ctx, id)
	if err != nil {
		return 0, nil, err
	}
	v := moveOf(m)
	if !m.Ended() {
		var rep wire.MoveStatusRep // who does not answer tells nothing
		if a.control(q.ctx, m.FromAddr, wire.OpMoveStatus, 0, &wire.MoveRef{Move: id}, &rep) == nil {
			v.Progress = &MoveProgress{rep.State.String(), rep.Bytes, rep.TotalBytes, rep.Rounds}
		}
	}
	return http.StatusOK, v, nil
}

func (a *API) moves(q *request) (int, any, error) {
	of, err := q.manager()
	if err != nil {
		return 0, nil, err
	}
	pid, err := q.uint("pid", 0, 1, 1<<64-1)
	if err != nil {
		return 0, nil, err
	}
	active, err := q.bool("active")
	if err != nil {
		return 0, nil, err
	}
	limit, err := q.limit()
	if err != nil {
		return 0, nil, err
	}
	var lists [len(managers)][]movelist.Move
	var errs [len(managers)]error
	var asking sync.WaitGroup
	for i, m := range managers {
		if of == 0 || of == m {
			asking.Go(func() { lists[i], errs[i] = a.o.Client.Moves(q.ctx, m) })
		}
	}
	asking.Wait()
	out := Moves{Moves: []Move{}}
	for _, list := range lists {
		for i := range list {
			if (pid == 0 || uint64(list[i].Req.PID) == pid) && !(active && list[i].Ended()) {
				out.Moves = append(out.Moves, moveOf(&list[i]))
			}
		}
	}
	slices.SortFunc(out.Moves, orderMoves)
	if out.Moves, err = q.afterMove(out.Moves); err != nil {
		return 0, nil, err
	}
	out.Moves, out.Next = pageOf(out.Moves, limit, func(m Move) string { return m.at() })
	return http.StatusOK, out, errors.Join(errs[:]...)
}
