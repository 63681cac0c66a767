//go:build race

package e2e

// raceEnabled: the race detector is on, in the tests but in no process of their clusters.
const raceEnabled = true
