// Package ledger is a file system for Raft's log and snapshots that keeps account of what was written, so that a replica whose files were
// changed behind its back is told before it serves: a bit that flipped, a file that is shorter or gone. Formats that check themselves do
// not tell all of that: to them a log that ends early is one whose last write was torn.
//
// Of each file that is written in order the ledger has the length and the CRC32C of what was written. It is written after each write and
// never synced, so it holds as long as the machine runs on, whoever was killed; after an orderly end, for which it is synced,
// longer. When the machine itself stopped it says nothing, and what the formats check is all there is.
//
// It changes nothing that is written, checks nothing while files are read, and repairs nothing. Called by raftsm, whose dragonboat calls
// it from many goroutines. No goroutines of its own. Lock: FS.mu, held over writes to the ledger itself and renames, under nothing.
//
//	fs, err := ledger.Open(dir, fail) // *Damaged if a file is not as it was left
//	nodehost := ... fs ...           // dragonboat's
//	err = fs.Close()                  // after dragonboat has closed all files
package ledger
