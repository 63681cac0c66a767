package wire

// Stage is a part of the time of a page fault.
type Stage uint8

// The stages, in the order in which a fault goes through them. Numbers are wire numbers, never reused. A live fault has no request, poll, reply
// and reply_poll: the two clocks of a message's ends are not compared, so both ways are one stage. A virtual one has no slot, send, way,
// wake_up and message.
const (
	StageProcessor Stage = 0  // at the pComponent before the message: entering, choosing a victim, the fault protocol
	StageWait      Stage = 1  // for a flush, a line, another thread's fetch, a pause before another attempt, a new owner
	StageSlot      Stage = 2  // for a connection, a slot or room in the bounds of one
	StageSend      Stage = 3  // making the frame and giving it to the connection
	StageRequest   Stage = 4  // NIC and wire to the mComponent, queueing at links included
	StagePoll      Stage = 5  // until its polling thread has the request
	StageQueue     Stage = 6  // at the mComponent, until its turn
	StageService   Stage = 7  // at the mComponent: index and copy
	StageReply     Stage = 8  // NIC and wire back
	StageReplyPoll Stage = 9  // until the pComponent's polling thread has the answer
	StageWay       Stage = 10 // both ways, all that is in neither process
	StageWakeUp    Stage = 11 // from the answer being read until its thread goes on
	StageFill      Stage = 12 // filling and mapping the line
	StageMessage   Stage = 13 // slot to wake_up of a fetch that was not timed
	NumStages            = 14
)

// StageNames are the names of the stages in reports.
var StageNames = [NumStages]string{
	"processor", "wait", "slot", "send", "request_nic_and_wire", "poll", "worker_queue", "service", "reply_nic_and_wire", "reply_poll", "way", "wake_up", "fill", "message",
}

// MaxSlowFaults bounds the faults in one answer.
const MaxSlowFaults = 64

// SlowFault is a page fault of those that took longest.
type SlowFault struct {
	PID     PID
	Process string
	Node    NodeID // the pComponent
	Thread  uint32
	Page    PageNo
	Write   bool
	How     uint8  // pcomponent/fault.How: what it came to
	Fetches uint32 // messages that it sent
	Flush   bool   // the last of them carried the write-back of the victim
	Owner   NodeID // where it went; empty if nowhere
	Timed   bool   // the stages of its last message are known
	BeganNS int64  // Unix time; in virtual runs since the start of the cluster
	TookNS  uint64
	Stages  [NumStages]uint64 // in ns; together TookNS
}

// SlowFaultsReq asks a pComponent for the slowest faults of its processes, those that have ended included.
type SlowFaultsReq struct {
	Limit uint32 // at most; 0 is MaxSlowFaults
}

// SlowFaultsRep has the slowest first.
type SlowFaultsRep struct {
	Node   NodeID
	Every  uint32 // one fetch in so many was timed
	Faults []SlowFault
}
