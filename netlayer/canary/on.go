//go:build canary

package canary

// Built says whether canaries can be switched on.
const Built = true

var on Canary

// On reports whether a canary is switched on.
func On(c Canary) bool { return on == c }

// Switch switches one on, and all others off.
func Switch(c Canary) { on = c }
