package wire

// ProcessCopyReq brings what the taker needs of a process: while the process runs at the giver a plan, and once it has
// stopped the chunks of its state in order. The same chunk again changes nothing.
type ProcessCopyReq struct {
	Move     MoveID
	PID      PID
	Epoch    Epoch // under which the taker will serve
	From     NodeID
	FromAddr string
	Plan     []byte // encoded by whoever drives processes (sim/replay): what to make ready, and how far the process is; nil with a chunk
	Total    uint64 // bytes of the whole state; 0 with a plan
	StateSum uint32 // CRC32C of the whole state
	Offset   uint64
	Sum      uint32 // CRC32C of Bytes
	Bytes    []byte
}

// ProcessCopyRep says how far the taker is.
type ProcessCopyRep struct {
	Have  uint64 // bytes of the state that it holds
	Ready bool   // to a plan: it has caught up. To a chunk: it holds all, has checked it, and waits for process_resume
}

// ProcessResumeReq tells the taker to serve. It is asked again until the taker says how it ended.
type ProcessResumeReq struct {
	Move  MoveID
	PID   PID
	Epoch Epoch
	// Home is the home of the process as the giver knows it now: it may have moved since the state was exported.
	Home Owner
}

// ResumeState is what became of a process that was to be resumed.
type ResumeState uint8

// The states. Numbers are wire numbers.
const (
	ResumeOpening ResumeState = 1 // the taker opens it at its home: ask again
	ResumeServing ResumeState = 2 // the taker serves
	ResumeRefused ResumeState = 3 // the taker does not serve and never will, but its home may have heard of the epoch
)

// ProcessResumeRep is the answer. A taker that knows no such move answers KindNotFound: it has started again since.
type ProcessResumeRep struct {
	State ResumeState
	Text  string // why it was refused
}
