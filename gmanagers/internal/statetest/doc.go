// Package statetest is the tests that the states of gpm, gmm and gsm share: what replication needs of any of them.
//
// It draws a log of commands in which clients repeat commands, change what they ask under a sequence that they have used,
// overtake themselves and fall behind their window, has three replicas apply it, and demands:
//
//   - the same commands give the same results and the same bytes, whether they come decoded or encoded, and also at a
//     replica that was restored from a snapshot in the middle;
//   - a repeated command, another one under a sequence that was used, and one below its client's window change nothing, and
//     while the window reaches back the first two are answered as the first time;
//   - restoring a snapshot gives a state whose snapshot it is; a spoilt one is refused and changes nothing;
//   - a frozen state is encoded as it was, whatever is applied meanwhile;
//   - CheckInvariants holds after every command, and so do the laws of the machine itself.
//
// What a machine's commands are, and what its own laws say, it is told by a Machine; who adds a command adds a Choice to
// the machine's list. It knows nothing of dragonboat. For tests only; no goroutines.
//
//	var machine = statetest.Machine[*State, Command, Result]{New: New, Draw: drawCommand, Laws: newLaws, …}
//	func TestProperties(t *testing.T) { statetest.Properties(t, machine) }
package statetest
