//go:build race

package reproduce

// underRace: the detector slows a whole reproduction ten times.
const underRace = true
