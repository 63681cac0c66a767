// Package node is the composition root of one process of a cluster: it builds the component of its role, gives it a
// server, peers, metrics and a membership, and takes everything down again in order.
//
// One goroutine samples what the node uses of its processors, workers and link every 500 ms, for its metrics and heartbeats.
//
// It decides nothing about pages, blocks or placement, and starts no other process: that is sim/launcher, which runs
// `splitkernel node` and speaks to it over inherited files (see Inherited). sim/cli calls Run.
//
// Order of the shut-down: leave the membership, stop accepting and drain, close the component (which flushes), close the
// peers, stop Raft once, metrics last. A process whose launcher is gone (end of file on its stdin) ends by itself and
// removes the cluster's temporary folder, so that a launcher killed with -9 leaves nothing behind.
//
//	inherited, err := node.Inherit()
//	err = node.Run(ctx, cfg, inherited)
package node
