//go:build race

package excache

// raceEnabled: the race detector is on, see raceRequests.
const raceEnabled = true
