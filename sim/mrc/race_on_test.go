//go:build race

package mrc

const raceEnabled = true
