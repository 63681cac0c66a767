//go:build canary

package canary

// Built says whether canaries can be switched on.
const Built = true

var on Canary

// On reports whether a canary is switched on.
func On(c Canary) bool { return on == c }

// Switch switches one on, and all others off.
func Switch(c Canary) { on = c }

// Names are those of the canaries.
var Names = map[Canary]string{
	FlushInFlight: "flush lost in flight", StaleServe: "stale serve in switch-over", UnloggedDecision: "decision not logged", LastRound: "last round missed",
	RetryTwice: "retry applied twice", ZeroAfterMove: "zeros after a move", ForgetfulFence: "fence forgets frames", Revive: "dead node revived", SilentSkip: "skip not said", StaleHolder: "stale copy in sync",
}
