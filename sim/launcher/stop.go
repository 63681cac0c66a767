package launcher

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"splitkernel/configs"
)

// Stop ends every node and removes the temporary folder: SIGTERM role by role, those that use others first, and SIGKILL
// for what is left after StopTimeout or when ctx ends. It may be called at any time and more than once.
func (c *Cluster) Stop(ctx context.Context) error {
	c.stopOnce.Do(func() { c.stopErr = c.stop(ctx) })
	return c.stopErr
}

func (c *Cluster) stop(ctx context.Context) error {
	c.mu.Lock()
	c.stopping = true
	close(c.quit)
	c.endLife()
	c.mu.Unlock()
	c.ease()
	c.healers.Wait()
	c.changing <- struct{}{} // who joins or leaves sees quit and comes to an end; nobody does any more
	c.mu.Lock()
	var all []*child
	for _, n := range c.cluster.Nodes {
		if ch := c.children[n.ID]; ch != nil {
			all = append(all, ch)
		}
	}
	p := c.prometheus
	c.mu.Unlock()
	if p != nil {
		p.kill(syscall.SIGTERM) // it stops while the nodes do
	}

	ctx, cancel := context.WithTimeout(ctx, StopTimeout)
	defer cancel()
	for _, role := range slices.Backward(configs.Roles) {
		var phase []*child
		for _, ch := range all {
			if ch.node.Role == role.String() {
				ch.signal(syscall.SIGTERM)
				phase = append(phase, ch)
			}
		}
		phaseCtx, cancel := context.WithTimeout(ctx, phaseTimeout)
		await(phaseCtx, phase)
		cancel()
	}
	await(ctx, all)
	var stuck []string
	for _, ch := range all {
		select {
		case <-ch.done:
		default:
			stuck = append(stuck, ch.node.ID)
			ch.signal(syscall.SIGKILL)
		}
	}
	if p != nil {
		select {
		case <-p.done:
		case <-ctx.Done():
			p.kill(syscall.SIGKILL) // its data go away with the folder: nothing is lost
		}
	}
	c.watchers.Wait() // SIGKILL cannot be refused, so this ends
	err := c.runtime.remove()
	if len(stuck) > 0 && ctx.Err() != context.Canceled {
		err = errors.Join(err, fmt.Errorf("killed, for they did not stop within %s of SIGTERM: %s", StopTimeout.Round(time.Second), strings.Join(stuck, ", ")))
	}
	return err
}

// await waits until all have ended or ctx does.
func await(ctx context.Context, children []*child) {
	for _, ch := range children {
		select {
		case <-ch.done:
		case <-ctx.Done():
			return
		}
	}
}
