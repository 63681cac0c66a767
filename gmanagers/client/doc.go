// Package client speaks to the three managers: it finds and follows their leaders and retries until the caller's
// context ends. Admit and Release are what users of a cluster need; Steps and Moves are for the managers among themselves.
//
// Each command keeps its (client, sequence) across retries, so a proposal whose answer was lost is never applied twice,
// as long as this client object lives. A command that ends with wire.ErrTimeout may still be applied later.
//
// It holds no state of the managers, caches no placement, and does not import dragonboat: components and their tests
// stay light. Called by the component shells, the launcher and the command line.
//
// Safe for concurrent use. Lock order: none; a lane's mutex is held for no call. Goroutines: one per manager while a
// Heartbeat is on its way; Close waits for them.
//
//	c, err := client.New(client.Options{Managers: managers, Net: netOptions, …})
//	defer c.Close()
//	member.Epoch, err = c.Register(ctx, member)
//	for range ticker.C {
//		known, err := c.Heartbeat(ctx, member, load())
//		if err == nil && !known { member.Epoch, err = c.Register(ctx, member) }
//	}
package client
