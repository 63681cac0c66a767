// Package gmanagers is the shell of a manager process: it hosts one replica of each of the three global managers, GPM
// (processes), GMM (memory) and GSM (storage), each a Raft group of its own.
//
// What the managers decide is in the pure packages gpm, gmm and gsm; how their states are replicated is in
// internal/raftsm; how others speak to them is in client. The shell stamps commands while it leads a group (the time,
// the policy's name, who is alive with what load), keeps the heartbeats, and answers the manager operations of the
// message layer. Managers are off the data path: with all of them dead, running processes go on.
//
// While it leads GPM it also looks after the vNodes that wait for room, and stops those that are ended for others (queue.go).
//
// It opens no listener: the composition root puts Handler into the process's one netlayer.Server, beside nothing else
// that serves OpPropose, OpReadmit, OpQuery, OpHeartbeat, OpRaft, OpRaftChunk, OpProbe or OpNodeStats. That server needs at least
// MinWorkers workers, because each proposal and each admission holds one until it ends.
//
// While it leads GPM it also performs what the pure package admission decides, so that a vNode gets its parts of all three
// managers or none (admit.go): it is a client of the other groups, wherever they are led.
//
// While it leads a group it has others probe the group's silent components and proposes to declare dead whom nobody
// reaches (vigil.go); as the leader of GPM it ends the vNodes that are lost with a pComponent (lost.go), as that of GSM it
// keeps GSM told of which mComponents are closed. As the leader of any group it has the moves of its list carried out, as the pure
// package moves decides (mover.go), and orders moves as the pure package balance plans (balancer.go, weigh.go). As that of GSM it looks after
// copies of volumes and buffer caches, as repair decides (keeper.go), as that of GMM after copies of memory, as redundancy decides
// (rebuilder.go), as that of GPM it has lost processes go on, as restart decides (restart.go). One loop runs the drivers of moves, repair and
// redundancy (leading.go). It fences nobody: heartbeats are answered with how the component stands.
//
//	m, err := gmanagers.New(options)
//	serverOptions.OnGone = m.Disconnected // so that who ends is noticed at once
//	server := netlayer.NewServer(m.Handler(), serverOptions)
//	go server.Serve(ctx, listener)
//	err = m.Run(ctx) // until ctx ends; its own goroutines have ended then
//
// Goroutines: those of raftsm, three that look after open admissions, two after the queue and who is preempted (and up to 16 that stop processes), five that look after members, two a group that look after moves and balance,
// one after volumes and one after copies of memory, each with one for each call to a component (at most MaxCalls of its driver) and one for a
// proposal, one for each of at most restart.MaxUnder restarts, at most two senders a group, bounded numbers of probes and of ends of lost vNodes,
// and handlers called by the server; Run waits for all of them. Lock order: the driver's mutex or a vigil's, then that of Managers. No call into raftsm is
// made under the latter, and only stale reads under the former.
package gmanagers
