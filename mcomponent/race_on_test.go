//go:build race

package mcomponent

// raceEnabled: the race detector is on. Pools then forget a quarter of what is put into them.
const raceEnabled = true
