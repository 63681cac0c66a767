//go:build !race

package mcomponent

const raceEnabled = false
