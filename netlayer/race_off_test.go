//go:build !race

package netlayer_test

const raceEnabled = false
