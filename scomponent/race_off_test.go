//go:build !race

package scomponent

const raceEnabled = false
