package wire

import "fmt"

// Standing is what a manager's state has of a component under the epoch of its heartbeat.
type Standing uint8

// The standings. Numbers are wire numbers.
const (
	// StandingUnknown: nothing. The replica may lag, or the managers have lost their state; a lagging one says nothing about
	// what the component holds.
	StandingUnknown Standing = 1
	StandingMember  Standing = 2 // registered, and not dead
	// StandingFenced: declared dead under this epoch, or registered under a later one. What it got under this epoch is lost
	// to it whether it lives or not.
	StandingFenced  Standing = 3
	StandingRemoved Standing = 4 // people have removed it; it may register when it is started again
)

// standingNames are the names of Standing, by number.
var standingNames = [...]string{"none", "unknown", "member", "fenced", "removed"}

func (s Standing) String() string {
	if int(s) < len(standingNames) {
		return standingNames[s]
	}
	return fmt.Sprintf("standing(%d)", uint8(s))
}

// HeartbeatRep tells the component how it stands.
type HeartbeatRep struct {
	Standing Standing
}
