//go:build !race

package mrc

const raceEnabled = false
