package launcher

import (
	"context"
	"errors"
	"fmt"
	"os"

	"splitkernel/gmanagers/client"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/node"
)

// damagedSuffix is what the data folder of a manager is called that was taken in again, until the cluster ends: people may want to look.
const damagedSuffix = ".damaged"

// Readmit takes in again a manager that does not run and has lost what it had on its disk, or part of it: under its old Raft node id it
// could vote against what it acknowledged. The others give it a new one and everything that they know; it starts with an empty
// folder, at its old address. It returns when it is ready.
func (c *Cluster) Readmit(ctx context.Context, id string) error {
	done, err := c.change(ctx)
	if err != nil {
		return fmt.Errorf("readmit %s: %w", id, err)
	}
	defer done()
	old := c.child(id)
	if old == nil || old.node.Role != wire.RoleManager.String() {
		return fmt.Errorf("readmit %s: no manager of this cluster, want one of those that do not run", id)
	}
	select {
	case <-old.done:
	default:
		return fmt.Errorf("readmit %s: it runs, so it has what it needs; end it first if you know better", id)
	}
	old, release, err := c.claim(id) // before its folder is set aside
	if err != nil {
		return fmt.Errorf("readmit %s: %w", id, err)
	}
	defer release()
	cfg, err := node.ReadConfig(c.configPath(id))
	if err != nil {
		return fmt.Errorf("readmit %s: %w", id, err)
	}
	c.mu.Lock()
	if c.replicas == 0 {
		c.replicas = uint64(len(cfg.Managers()))
	}
	c.replicas++
	replica := c.replicas
	c.mu.Unlock()
	if err := c.giveReplica(ctx, cfg, replica); err != nil {
		return fmt.Errorf("readmit %s: %w", id, err)
	}
	// Only now: until the others have agreed the folder is all that there is of it.
	damaged := c.dataPath(id) + damagedSuffix
	if err := errors.Join(os.RemoveAll(damaged), os.Rename(c.dataPath(id), damaged), os.MkdirAll(c.dataPath(id), 0o700)); err != nil {
		return fmt.Errorf("readmit %s: set its data folder aside: %w", id, err)
	}
	return c.startClaimed(ctx, old, func(cfg *node.Config) { cfg.Readmitted, cfg.Restarted = replica, false })
}

// giveReplica asks the other managers to take one in under a new Raft node id.
func (c *Cluster) giveReplica(ctx context.Context, cfg *node.Config, replica uint64) error {
	o := client.DefaultOptions()
	o.Net = cfg.Node.Netlayer.Peer
	o.Net.Cluster, o.Net.Token, o.Net.Role, o.Net.Node = c.id, cfg.Node.Token, wire.RoleClient, "launcher"
	for _, m := range cfg.Managers() {
		if m.ID != cfg.Node.ID {
			o.Managers = append(o.Managers, client.Manager{ID: m.ID, Addr: netlayer.Addr(m.Addr)})
		}
	}
	if len(o.Managers) == 0 {
		return errors.New("it is the only manager: nobody else knows what it knew, start the cluster anew")
	}
	gm, err := client.New(o)
	if err != nil {
		return err
	}
	return errors.Join(gm.Readmit(ctx, cfg.Node.ID, replica), gm.Close())
}
