package wire

// ProcessStopReq stops a process.
type ProcessStopReq struct {
	PID PID
	// Text is why, if the managers stop it: the process fails with it. Empty: whoever runs it stops it.
	Text string
	// WaitMS is how long the answer waits for the end of the process; after that it is KindBusy. 0: it does not wait.
	WaitMS uint32
}
