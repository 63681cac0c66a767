//go:build race

package fit

// underRace: the detector slows a whole fit ten times.
const underRace = true
