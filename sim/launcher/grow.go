package launcher

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"splitkernel/configs"
	"splitkernel/netlayer/wire"
)

// leaveTimeout is how long a node that leaves may take to stop before it is killed: it holds nothing any more.
const leaveTimeout = 2 * time.Second

// change waits for its turn to change the nodes; done must follow.
func (c *Cluster) change(ctx context.Context) (done func(), err error) {
	select {
	case c.changing <- struct{}{}:
	case <-c.quit:
		return nil, errors.New("the cluster is being stopped")
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	return func() { <-c.changing }, nil
}

// Add starts one more component and returns when it is registered. An empty id lets the cluster choose one that no node ever
// had. If the component does not come up nothing of it is left.
func (c *Cluster) Add(ctx context.Context, n configs.NewNode) (*NodeInfo, error) {
	done, err := c.change(ctx)
	if err != nil {
		return nil, fmt.Errorf("add a node: %w", err)
	}
	defer done()
	now := c.Config()
	if n.ID == "" {
		n.ID = now.FreeID(n.Role, func(id string) bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.used[id]
		})
	}
	next, err := now.WithNode(n)
	if err != nil {
		return nil, err
	}
	ch, err := c.launch(next, n.ID)
	if err == nil {
		ctx, cancel := context.WithTimeoutCause(ctx, StartTimeout, fmt.Errorf("not ready after %s", StartTimeout))
		defer cancel()
		select {
		case <-ch.ready:
		case <-ch.done:
			err = fmt.Errorf("it ended while starting (%s); the last lines of %s:\n%s", ch.ending(), ch.log, tail(ch.log))
		case <-c.quit:
			err = errors.New("the cluster is being stopped")
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("add node %s: %w", n.ID, err), c.forget(n.ID))
	}
	c.mu.Lock()
	ch.quiet = false // from now on its end is a death
	c.mu.Unlock()
	if err := c.writeTargets(); err != nil {
		return nil, fmt.Errorf("add node %s: it runs, but %w", n.ID, err)
	}
	for _, info := range c.Nodes() {
		if info.ID == n.ID {
			return &info, nil
		}
	}
	return nil, fmt.Errorf("add node %s: it is gone again", n.ID)
}

// launch starts the process of a new node. What it made, forget removes.
func (c *Cluster) launch(next *configs.Cluster, id string) (*child, error) {
	n, _ := next.Node(id)
	listener, addr, err := c.listen(n)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.addrs[id] = addr
	c.mu.Unlock()
	if err := c.furnish(next, id); err != nil {
		listener.Close()
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	ch, err := c.spawn(n, listener)
	if err != nil {
		return nil, err
	}
	ch.quiet = true // until it is ready
	c.used[id] = true
	c.children[id] = ch
	c.cluster = next
	return ch, nil
}

// Remove stops a component that the managers have removed, and forgets it. Managers stay.
func (c *Cluster) Remove(ctx context.Context, id string) error {
	done, err := c.change(ctx)
	if err != nil {
		return fmt.Errorf("remove node %s: %w", id, err)
	}
	defer done()
	now := c.Config()
	n, ok := now.Node(id)
	if !ok {
		return fmt.Errorf("remove node %s: no such node, want one of: %s", id, components(now))
	}
	if n.Role == wire.RoleManager.String() {
		return fmt.Errorf("remove node %s: a manager, want a component: the managers of a cluster stay the same while it runs", id)
	}
	c.mu.Lock()
	ch := c.children[id]
	ch.quiet = true
	c.mu.Unlock()
	ch.signal(syscall.SIGTERM)
	stopping, cancel := context.WithTimeout(ctx, leaveTimeout)
	await(stopping, []*child{ch})
	cancel()
	return errors.Join(c.forget(id), c.writeTargets())
}

// forget kills what is left of a node and removes what it had. Its log stays.
func (c *Cluster) forget(id string) error {
	c.mu.Lock()
	ch, addr := c.children[id], c.addrs[id]
	c.mu.Unlock()
	if ch != nil {
		ch.signal(syscall.SIGKILL)
		<-ch.done // SIGKILL cannot be refused
	}
	c.mu.Lock()
	c.cluster = c.cluster.WithoutNode(id)
	delete(c.children, id)
	delete(c.addrs, id)
	c.mu.Unlock()
	err := errors.Join(os.RemoveAll(c.dataPath(id)), os.RemoveAll(c.configPath(id)))
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		err = errors.Join(err, os.RemoveAll(path))
	}
	return err
}

// components lists the ids of the components.
func components(c *configs.Cluster) string {
	var ids []string
	for _, n := range c.Nodes {
		if n.Role != wire.RoleManager.String() {
			ids = append(ids, n.ID)
		}
	}
	return strings.Join(ids, ", ")
}
