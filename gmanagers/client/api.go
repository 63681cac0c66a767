package client

import (
	"context"
	"errors"
	"fmt"

	"splitkernel/gmanagers/admission"
	"splitkernel/gmanagers/admission/audit"
	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/gpm"
	"splitkernel/gmanagers/gsm"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/session"
	"splitkernel/netlayer/wire"
)

// The errors of the calls below are *wire.Error: what the manager refused with (KindNoRoom, KindNotFound, KindFailed,
// KindBadRequest, …), or KindTimeout if no leader answered before the context ended.

// Register enters m at the manager of its role and returns its new epoch. m.Epoch is not read. For an mComponent or a
// pComponent that was registered before this says that it starts empty.
func (c *Client) Register(ctx context.Context, m wire.Member) (wire.Epoch, error) {
	manager, err := membership.ManagerOf(m.Role)
	if err != nil {
		return 0, err
	}
	m.Epoch = 0
	switch manager {
	case wire.GPM:
		r, err := c.gpm(ctx, gpm.Request{Op: gpm.OpRegister, Member: m})
		return r.Epoch, err
	case wire.GMM:
		r, err := c.gmm(ctx, gmm.Request{Op: gmm.OpRegister, Member: m})
		return r.Epoch, err
	}
	r, err := c.gsm(ctx, gsm.Request{Op: gsm.OpRegister, Member: m})
	return r.Epoch, err
}

func (c *Client) gpm(ctx context.Context, q gpm.Request) (gpm.Result, error) {
	b, err := c.propose(ctx, wire.GPM, q.Encode())
	return gpmResult(b, err)
}

func gpmResult(b []byte, err error) (gpm.Result, error) {
	if err != nil {
		return gpm.Result{}, err
	}
	r, err := gpm.DecodeResult(b)
	if err != nil {
		return r, err
	}
	return r, r.Err()
}

func (c *Client) gmm(ctx context.Context, q gmm.Request) (gmm.Result, error) {
	b, err := c.propose(ctx, wire.GMM, q.Encode())
	if err != nil {
		return gmm.Result{}, err
	}
	r, err := gmm.DecodeResult(b)
	if err != nil {
		return r, err
	}
	return r, r.Err()
}

func (c *Client) gsm(ctx context.Context, q gsm.Request) (gsm.Result, error) {
	b, err := c.propose(ctx, wire.GSM, q.Encode())
	if err != nil {
		return gsm.Result{}, err
	}
	r, err := gsm.DecodeResult(b)
	if err != nil {
		return r, err
	}
	return r, r.Err()
}

// Admit has the managers give a vNode a pComponent, a home and volumes, all of it or nothing. No volume is created at its
// sComponent yet. A refusal names what is short, by how much and at which components. If the managers cannot tell what
// became of an attempt, or the coordinator ended before it decided, another attempt is made until ctx ends; an attempt
// whose outcome is unknown in the end holds nothing, or is listed by Processes.
//
// A spec that may wait (admission.Queue, admission.Preempt) makes it wait for room, and for the deadline of the spec if ctx
// has none. If ctx ends before, the wait is given up as far as that can still be told to the managers.
func (c *Client) Admit(ctx context.Context, spec admission.VNodeSpec) (admission.Placement, error) {
	return c.admit(ctx, spec, func(ctx context.Context, q gpm.Request, _ uint64) (gpm.Result, error) { return c.gpm(ctx, q) })
}

// AdmitOnce is Admit for who may ask again, at another process too, because it does not know whether it was heard: of all that ask with
// one key, each is answered with the same vNode. A key is above 0 and stands for one spec; it is as good as the managers' memory of
// what they did (thousands of other clients' commands).
func (c *Client) AdmitOnce(ctx context.Context, key uint64, spec admission.VNodeSpec) (admission.Placement, error) {
	if key == 0 {
		return admission.Placement{}, wire.Errorf(wire.KindBadRequest, "key 0, want one above 0")
	}
	// The attempts of a key are the commands of a client of its own, the same ones for whoever repeats them.
	return c.admit(ctx, spec, func(ctx context.Context, q gpm.Request, attempt uint64) (gpm.Result, error) {
		return gpmResult(c.proposeAs(ctx, wire.GPM, key, attempt, q.Encode()))
	})
}

// admit makes attempts at an admission, counted from 1.
func (c *Client) admit(ctx context.Context, spec admission.VNodeSpec, ask func(context.Context, gpm.Request, uint64) (gpm.Result, error)) (admission.Placement, error) {
	if _, ok := ctx.Deadline(); !ok && spec.IfFull != admission.Refuse {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, ms(c.o.TimeoutMS)+ms(int(spec.Complete().DeadlineMS)))
		defer cancel()
	}
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	backoff := session.Backoff{Base: ms(c.o.RetryBaseMS), Max: ms(c.o.RetryMaxMS), Attempts: 1 << 30}
	for attempt := 1; ; attempt++ {
		r, err := ask(ctx, gpm.Request{Op: gpm.OpAdmit, Spec: spec}, uint64(attempt))
		if err == nil && r.Ticket != 0 && r.VNode.PID == 0 {
			return c.await(ctx, r.Ticket)
		}
		if wire.KindOf(err) != wire.KindUnavailable || c.pause(ctx, backoff, attempt) != nil {
			return r.VNode, err
		}
	}
}

// Release gives back all that a vNode has at the managers, or ends its wait if pid is the ticket of one that waits. It
// removes no volume at its sComponent.
func (c *Client) Release(ctx context.Context, pid wire.PID) error {
	_, err := c.gpm(ctx, gpm.Request{Op: gpm.OpRelease, PID: pid})
	return err
}

// Steps has a participant, GMM or GSM, carry out steps of admissions, at most admission.MaxBatch. It returns one vote for
// each. For the managers themselves.
func (c *Client) Steps(ctx context.Context, m wire.Manager, steps []admission.Step) ([]admission.Vote, error) {
	var votes []admission.Vote
	var err error
	switch m {
	case wire.GMM:
		var r gmm.Result
		r, err = c.gmm(ctx, gmm.Request{Op: gmm.OpSteps, Steps: steps})
		votes = r.Votes
	case wire.GSM:
		var r gsm.Result
		r, err = c.gsm(ctx, gsm.Request{Op: gsm.OpSteps, Steps: steps})
		votes = r.Votes
	default:
		return nil, wire.Errorf(wire.KindBadRequest, "%v takes no part in admissions", m)
	}
	if err == nil && len(votes) != len(steps) {
		err = wire.Errorf(wire.KindInternal, "%v: %d votes for %d steps", m, len(votes), len(steps))
	}
	return votes, err
}

// Changes has GPM change the phases of admissions, at most admission.MaxBatch. It returns one outcome for each. For the
// managers themselves.
func (c *Client) Changes(ctx context.Context, changes []admission.Change) ([]admission.Outcome, error) {
	r, err := c.gpm(ctx, gpm.Request{Op: gpm.OpChanges, Changes: changes})
	if err == nil && len(r.Outcomes) != len(changes) {
		err = wire.Errorf(wire.KindInternal, "gpm: %d outcomes for %d changes", len(r.Outcomes), len(changes))
	}
	return r.Outcomes, err
}

// ActivateRegion has GMM choose the owner of a vRegion of a process that has a home. Asked again it gives the same.
func (c *Client) ActivateRegion(ctx context.Context, pid wire.PID, region wire.RegionNo) (wire.Activated, error) {
	r, err := c.gmm(ctx, gmm.Request{Op: gmm.OpActivate, PID: pid, Region: region})
	return r.Activated(), err
}

// BackupFile has GSM give an mComponent the backup file of its logs, or takes one back.
func (c *Client) BackupFile(ctx context.Context, q wire.FileReq) (wire.ReplicaFile, error) {
	r, err := c.gsm(ctx, gsm.Request{Op: gsm.OpFile, File: q})
	return r.File, err
}

// Files returns the backup files that GSM has given, ascending by volume.
func (c *Client) Files(ctx context.Context) (files []gsm.File, err error) {
	b, err := c.query(ctx, wire.GSM, membership.Query{Kind: gsm.QueryFiles}.Encode())
	if err == nil {
		err = membership.DecodeAnswer(b, &files)
	}
	return files, err
}

// Members returns the components that a manager registered, ascending by id, with what the answering manager heard of
// them.
func (c *Client) Members(ctx context.Context, m wire.Manager) ([]membership.Status, error) {
	return listing[membership.Status](ctx, c, m, membership.Query{Kind: membership.QueryMembers})
}

// Processes returns the processes of GPM with the phase of their admission, ascending by id.
func (c *Client) Processes(ctx context.Context) ([]gpm.Process, error) {
	return listing[gpm.Process](ctx, c, wire.GPM, membership.Query{Kind: membership.QueryListing})
}

// ProcessPage returns the processes from an id on, ascending by id, at most limit of them and membership.MaxPage; limit 0 is
// that. More says that there are others, from Next.ID on.
func (c *Client) ProcessPage(ctx context.Context, from wire.PID, limit int) (membership.Page[gpm.Process], error) {
	return page[gpm.Process](ctx, c, wire.GPM, membership.Query{Kind: membership.QueryListing, Limit: uint64(max(limit, 0)), From: membership.Cursor{ID: uint64(from)}})
}

// Process returns the process of an id as Processes does, or an empty list if GPM has none.
func (c *Client) Process(ctx context.Context, pid wire.PID) ([]gpm.Process, error) {
	if pid == 0 {
		return nil, wire.Errorf(wire.KindBadRequest, "process 0, want an id above 0")
	}
	return listing[gpm.Process](ctx, c, wire.GPM, membership.Query{Kind: membership.QueryListing, ID: uint64(pid)})
}

// Regions returns the processes that have a home at GMM with their vRegions, ascending by id; pid selects one, 0 all.
func (c *Client) Regions(ctx context.Context, pid wire.PID) ([]gmm.Process, error) {
	parts, err := listing[gmm.Process](ctx, c, wire.GMM, membership.Query{Kind: membership.QueryListing, ID: uint64(pid)})
	return gmm.Joined(parts), err
}

// RegionsBetween is Regions of the processes from one id to another, both included.
func (c *Client) RegionsBetween(ctx context.Context, first, last wire.PID) ([]gmm.Process, error) {
	var parts []gmm.Process
	q := membership.Query{Kind: membership.QueryListing, From: membership.Cursor{ID: uint64(first)}}
	for {
		p, err := page[gmm.Process](ctx, c, wire.GMM, q)
		if err != nil {
			return nil, err
		}
		for _, x := range p.Items {
			if x.PID > last {
				return gmm.Joined(parts), nil
			}
			parts = append(parts, x)
		}
		if !p.More {
			return gmm.Joined(parts), nil
		}
		q.From = p.Next
	}
}

// Volumes returns the volumes of GSM, ascending by id.
func (c *Client) Volumes(ctx context.Context) ([]gsm.Volume, error) {
	return listing[gsm.Volume](ctx, c, wire.GSM, membership.Query{Kind: membership.QueryListing})
}

// Books reads what an audit compares, without what components hold: all vNodes of GPM, homes of GMM and volumes of GSM,
// their members and moves. The three are read one after the other.
func (c *Client) Books(ctx context.Context) (b audit.Books, err error) {
	members := func(m wire.Manager) []wire.Member {
		st, merr := c.Members(ctx, m)
		err = errors.Join(err, merr)
		out := make([]wire.Member, len(st))
		for i, s := range st {
			out[i] = s.Member
			if s.State == membership.Dead {
				b.Dead = append(b.Dead, s.Member.ID)
			}
		}
		return out
	}
	b.Compute, b.Memory, b.Storage = members(wire.GPM), members(wire.GMM), members(wire.GSM)
	var perr, herr, verr error
	b.Processes, perr = c.Processes(ctx)
	b.Homes, herr = c.Regions(ctx, 0)
	b.Volumes, verr = c.Volumes(ctx)
	var ferr error
	b.Files, ferr = c.Files(ctx)
	answer, rerr := c.query(ctx, wire.GMM, membership.Query{Kind: gmm.QueryRatio}.Encode())
	if rerr == nil {
		var r gmm.Ratio
		rerr = membership.DecodeAnswer(answer, &r)
		b.Overcommit = r.Overcommit
	}
	for _, g := range []wire.Manager{wire.GPM, wire.GMM, wire.GSM} {
		list, merr := c.Moves(ctx, g)
		err = errors.Join(err, merr)
		b.Moves = append(b.Moves, list...)
	}
	return b, errors.Join(err, perr, herr, verr, ferr, rerr)
}

// Events returns the decisions of a manager after number since, ascending, at most limit of them and events.MaxPage; limit 0
// is that. Oldest is the number of the oldest event that the manager remembers: above since+1, some are forgotten.
func (c *Client) Events(ctx context.Context, m wire.Manager, since uint64, limit int) (page []events.Event, oldest uint64, err error) {
	p, err := c.EventPage(ctx, m, since, limit)
	return p.Events, p.Oldest, err
}

// EventPage is Events with the number of the last event of the manager, too.
func (c *Client) EventPage(ctx context.Context, m wire.Manager, since uint64, limit int) (p events.Page, err error) {
	if m < wire.GPM || m > wire.GSM || limit < 0 {
		return p, wire.Errorf(wire.KindBadRequest, "manager %d, limit %d: want 1 to 3, and 0 or more", m, limit)
	}
	b, err := c.query(ctx, m, membership.Query{Kind: membership.QueryEvents, ID: since, Limit: uint64(limit)}.Encode())
	if err != nil {
		return p, err
	}
	if err := membership.DecodeAnswer(b, &p); err != nil {
		return p, fmt.Errorf("%v: %w", m, err)
	}
	return p, nil
}

// listing reads a listing from q.From to its end, page by page. Each page is linearizable, the whole is no moment in time.
func listing[T any](ctx context.Context, c *Client, m wire.Manager, q membership.Query) ([]T, error) {
	out := []T{}
	for {
		p, err := page[T](ctx, c, m, q)
		if err != nil {
			return nil, err
		}
		if out = append(out, p.Items...); !p.More {
			return out, nil
		}
		q.From = p.Next
	}
}

// page reads one page of a listing.
func page[T any](ctx context.Context, c *Client, m wire.Manager, q membership.Query) (p membership.Page[T], err error) {
	if m < wire.GPM || m > wire.GSM {
		return p, wire.Errorf(wire.KindBadRequest, "manager %d, want 1 to 3", m)
	}
	b, err := c.query(ctx, m, q.Encode())
	if err != nil {
		return p, err
	}
	if err := membership.DecodeAnswer(b, &p); err != nil {
		return p, fmt.Errorf("%v: %w", m, err)
	}
	if p.More && (len(p.Items) == 0 || p.Next == q.From) { // or reading on would have no end
		return p, wire.Errorf(wire.KindInternal, "%v: a page of %d items goes on where it began, at %+v", m, len(p.Items), p.Next)
	}
	return p, nil
}
