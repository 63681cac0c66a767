//go:build race

package excache

// raceEnabled: the race detector makes an access ten times as expensive.
const raceEnabled = true
