package wire

// ReadmitReq asks the leader of a group for a place for the replica of a manager process that has lost what it had on its disk: under
// its old number it could vote against what it acknowledged. It must not run.
type ReadmitReq struct {
	Manager   Manager
	Node      NodeID
	ReplicaID uint64 // its new number in Raft, which nobody had
}

// ReadmitRep names the replicas of the group now, ascending by number.
type ReadmitRep struct {
	Replicas []Replica
}

// Replica is a manager process in a group.
type Replica struct {
	ID   uint64 // its number in Raft, never given to another
	Node NodeID
}
