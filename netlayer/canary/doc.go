// Package canary has faults that are put into the program on purpose, so that it can be seen whether fuzzing finds them. Each needs things
// to come together, as those do that nobody wrote on purpose.
//
// They are there only in a build with the tag canary, for tests (`go test -tags canary ./sim/fuzz`). In any other build On is a constant
// false, and the compiler leaves out whatever depends on it. A test that runs without the tag holds that Built is false.
//
// Who calls: the cores that have a canary, each in one line. Vocabulary: it imports nothing. No goroutines; Switch is called before any
// world is played, not meanwhile.
package canary

// Canary is one of them.
type Canary uint8

// The canaries.
const (
	None             Canary = 0
	FlushInFlight    Canary = 1  // a flush is not noted while its page has been sent to a new owner that does not serve yet
	StaleServe       Canary = 2  // the owner before serves on while it is being switched over
	UnloggedDecision Canary = 3  // what was decided of a vNode is carried out and told without waiting for GPM's log, which may lose it with its leader
	LastRound        Canary = 4  // what is written to a volume while the last blocks of a round of its copy are under way is not copied again
	RetryTwice       Canary = 5  // a page that has moved does not know which flush it had last, so that one that is sent again is applied again
	ZeroAfterMove    Canary = 6  // a process that has moved takes pages that it flushed for untouched ones, and fills them with zeros
	ForgetfulFence   Canary = 7  // a fence leaves the frames of vRegions that have moved
	Revive           Canary = 8  // a component that was declared dead is told by its next heartbeat that it is a member
	SilentSkip       Canary = 9  // a full log that has an older version of a page skips the newer one and does not say so
	StaleHolder      Canary = 10 // a page counts as held by one of several holders that did not answer, and which is not dead
)
