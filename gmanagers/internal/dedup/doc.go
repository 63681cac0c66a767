// Package dedup remembers the results of a manager's last commands by (client, sequence), so that a command that is
// proposed twice has one effect and one answer. It is a part of the replicated, snapshotted state of each manager.
//
// Each client has a window of Window sequences: a client must not use sequence n before it has the answer to
// n - Window. Sequences below the window are refused, because whether they were applied is forgotten. The table is
// bounded by MaxClients sessions and MaxResults results; when one bound is passed, the session whose last command is
// the oldest goes first. That order is the order of the log, so all replicas forget alike. A forgotten client that
// retries an old command applies it again; MaxClients is chosen so large that this needs thousands of newer clients
// within one retry.
//
// Pure: no goroutines, no locks, no clock, no I/O. Called only by the states of gpm, gmm and gsm.
//
//	return t.Once(cmd.Client, cmd.Seq, refused, func() Result { return apply(cmd) })
package dedup
