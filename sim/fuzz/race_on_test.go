//go:build race

package fuzz

// raceEnabled makes long tests shorter: the race detector slows them ten times.
const raceEnabled = true
