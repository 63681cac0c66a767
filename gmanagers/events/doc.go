// Package events is the log of what a manager decided, and why: which policy chose what among which candidates, who was
// refused for lack of what, what was moved, lost or drained.
//
// Log is part of a manager's replicated state: whoever carries out a command that decides something appends an Event.
// So the events of a manager are in the order of its commands, the same at every replica, and survive its leaders. Their
// number, Seq, only grows. The log is a ring of MaxEvents: the oldest are forgotten first, and a reader that asks for
// events that are gone learns so from the number of the oldest one left.
//
// An event costs a command next to nothing: it holds ids and numbers, and words are made of them by who reads it.
//
// It decides nothing, and nothing decides by it.
//
// Pure: no goroutines, no locks, no clock, no I/O. Called by the states of gpm, gmm and gsm under the lock of Raft's state
// machine.
//
//	s.events.Append(events.Event{MS: stamp.NowMS, Kind: events.PlacedHome, PID: pid, Node: chosen, Policy: policy.Name,
//		Unit: policy.Measure(), Candidates: candidates})
//	page, oldest := s.events.Page(since, limit)
package events
