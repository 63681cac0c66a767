package client

import (
	"context"
	"fmt"

	"splitkernel/gmanagers/gmm"
	"splitkernel/gmanagers/gpm"
	"splitkernel/gmanagers/gsm"
	"splitkernel/gmanagers/membership"
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

// PlaceProcess has GPM choose a pComponent and gives the process its id.
func (c *Client) PlaceProcess(ctx context.Context, spec gpm.ProcessSpec) (gpm.ProcessPlacement, error) {
	r, err := c.gpm(ctx, gpm.Request{Op: gpm.OpPlace, Spec: spec})
	return r.Process, err
}

// EndProcess gives back what a process took of its pComponent.
func (c *Client) EndProcess(ctx context.Context, pid wire.PID) error {
	_, err := c.gpm(ctx, gpm.Request{Op: gpm.OpEnd, PID: pid})
	return err
}

// PlaceHome has GMM choose the home mComponent of a process. Asked again it gives the same.
func (c *Client) PlaceHome(ctx context.Context, pid wire.PID) (gmm.Home, error) {
	r, err := c.gmm(ctx, gmm.Request{Op: gmm.OpPlaceHome, PID: pid})
	return r.Home, err
}

// ActivateRegion has GMM choose the owner of a vRegion of a process that has a home. Asked again it gives the same.
func (c *Client) ActivateRegion(ctx context.Context, pid wire.PID, region wire.RegionNo) (wire.Owner, error) {
	r, err := c.gmm(ctx, gmm.Request{Op: gmm.OpActivate, PID: pid, Region: region})
	return r.Owner, err
}

// ReleaseProcess has GMM forget a process, its home and its vRegions.
func (c *Client) ReleaseProcess(ctx context.Context, pid wire.PID) error {
	_, err := c.gmm(ctx, gmm.Request{Op: gmm.OpRelease, PID: pid})
	return err
}

// CreateVolume has GSM choose an sComponent and a buffer cache and gives the volume its id. It creates no file.
func (c *Client) CreateVolume(ctx context.Context, spec gsm.VolumeSpec) (gsm.VolumePlacement, error) {
	r, err := c.gsm(ctx, gsm.Request{Op: gsm.OpCreate, Spec: spec})
	return r.Volume, err
}

// DeleteVolume has GSM forget a volume. It removes no file.
func (c *Client) DeleteVolume(ctx context.Context, id wire.VolumeID) error {
	_, err := c.gsm(ctx, gsm.Request{Op: gsm.OpDelete, Volume: id})
	return err
}

// Members returns the components that a manager registered, ascending by id, with what the answering manager heard of
// them.
func (c *Client) Members(ctx context.Context, m wire.Manager) ([]membership.Status, error) {
	return listing[membership.Status](ctx, c, m, membership.Query{Kind: membership.QueryMembers})
}

// Processes returns the processes that GPM placed, ascending by id.
func (c *Client) Processes(ctx context.Context) ([]gpm.Process, error) {
	return listing[gpm.Process](ctx, c, wire.GPM, membership.Query{Kind: membership.QueryListing})
}

// Regions returns the processes that have a home at GMM with their vRegions, ascending by id; pid selects one, 0 all.
func (c *Client) Regions(ctx context.Context, pid wire.PID) ([]gmm.Process, error) {
	return listing[gmm.Process](ctx, c, wire.GMM, membership.Query{Kind: membership.QueryListing, ID: uint64(pid)})
}

// Volumes returns the volumes of GSM, ascending by id.
func (c *Client) Volumes(ctx context.Context) ([]gsm.Volume, error) {
	return listing[gsm.Volume](ctx, c, wire.GSM, membership.Query{Kind: membership.QueryListing})
}

func listing[T any](ctx context.Context, c *Client, m wire.Manager, q membership.Query) ([]T, error) {
	if m < wire.GPM || m > wire.GSM {
		return nil, wire.Errorf(wire.KindBadRequest, "manager %d, want 1 to 3", m)
	}
	b, err := c.query(ctx, m, q.Encode())
	if err != nil {
		return nil, err
	}
	var out []T
	if err := membership.DecodeAnswer(b, &out); err != nil {
		return nil, fmt.Errorf("%v: %w", m, err)
	}
	return out, nil
}
