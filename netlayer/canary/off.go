//go:build !canary

package canary

// Built says whether canaries can be switched on.
const Built = false

// On is false.
func On(Canary) bool { return false }
