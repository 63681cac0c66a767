package mcomponent

import (
	"splitkernel/mcomponent/vregion"
	"splitkernel/netlayer/wire"
)

// backUp sends a memory map, or the news that it is gone, to the backup of the home, in as many messages as it needs.
func (c *Component) backUp(e vregion.Effect) error {
	q := e.Backup
	if q.Gone {
		return c.askOther(e.Owner.Addr, wire.OpHomeBackup, q.HomeEpoch, q, nil)
	}
	for _, part := range e.Copy.Messages(wire.HomeCopyReq{From: c.o.Node, FromAddr: string(c.o.Addr)}) {
		q.Copy = part
		if err := c.askOther(e.Owner.Addr, wire.OpHomeBackup, q.HomeEpoch, q, nil); err != nil {
			return err
		}
	}
	return nil
}

// homeBackup takes a part of the memory map of a process whose home is elsewhere.
func (c *Component) homeBackup(q wire.HomeBackupReq) error {
	c.homeMu.Lock()
	out, err := c.home.Backup(q, c.o.Node, nil)
	c.homeMu.Unlock()
	c.performHome(out)
	return err
}

// homeConfig takes the order of GMM who is the backup of a home, and tells how far that has come.
func (c *Component) homeConfig(q wire.HomeConfig) (wire.HomeConfigRep, error) {
	c.homeMu.Lock()
	out, err := c.home.Configure(q, nil)
	c.homeMu.Unlock()
	c.performHome(out)
	if err != nil {
		return wire.HomeConfigRep{}, err
	}
	c.homeMu.Lock()
	defer c.homeMu.Unlock()
	return c.home.HomeStatus(q.PID)
}

// homeRecover obeys the order of GMM to become the home of a process whose home is lost, and tells how far that has come.
func (c *Component) homeRecover(q wire.HomeRecoverReq) (wire.HomeRecoverRep, error) {
	c.homeMu.Lock()
	out, err := c.home.TakeOver(q, string(c.o.Addr), nil)
	c.homeMu.Unlock()
	c.performHome(out)
	if err != nil {
		return wire.HomeRecoverRep{}, err
	}
	c.homeMu.Lock()
	defer c.homeMu.Unlock()
	return c.home.HomeRecovered(q.Config.PID, q.Config.Epoch), nil
}

// regionParts tells the new owner of a vRegion what is mapped there.
func (c *Component) regionParts(q wire.RegionPartsReq) (wire.RegionPartsRep, error) {
	c.homeMu.Lock()
	defer c.homeMu.Unlock()
	return c.home.Parts(q)
}
