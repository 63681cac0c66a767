//go:build !race

package excache

const raceEnabled = false
