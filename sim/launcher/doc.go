// Package launcher runs a whole cluster as processes of this program's own executable, one per node.
//
// It knows nothing of what a node does: it gives each a configuration file, a listening socket and a pipe to report on,
// waits until all are ready, watches them, and takes them down. Sockets, configurations and data lie in one private
// temporary folder that goes away with the cluster; logs stay in the run's folder.
//
// Whoever dies, nothing is left. A child's stdin is a pipe whose other end only the launcher holds: when the launcher
// dies, however, each child sees its end, stops, and removes the temporary folder. All of them hold one lock in that folder
// open; a folder whose lock is free belongs to nobody alive and the next Start removes it.
//
// It also has things go wrong on purpose (Strike, package faults): it kills, stops and starts processes, and tells nodes what to do to
// their messages and disks. A node that is started again finds the faults of its links in its configuration.
//
// A manager that lost what it had on its disk it has the others take in again, under a new Raft node id (Readmit).
//
// The system's Prometheus may watch the cluster (Options.Prometheus): one more process of the launcher's, which the kernel ends with the launcher. The
// list of what it reads, targets.json in the run's folder, is replaced whenever a node has become ready or has left.
//
// Goroutines: one per child, two for a Prometheus, which end with the process, and one per fault that will end; Stop waits for all of them. Lock: Cluster.mu,
// never held over a wait.
//
//	c, err := launcher.Start(ctx, launcher.Options{Cluster: cluster, Out: out, Log: log})
//	if err != nil { ... }             // says which node did not start, and why
//	defer c.Stop(ctx)
//	for _, n := range c.Nodes() { fmt.Println(n.ID, n.Addr, n.PID) }
//	death := <-c.Died()
package launcher
