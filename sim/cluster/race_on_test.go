//go:build race

package cluster

// raceEnabled: the driver of SQLite is not there.
const raceEnabled = true
