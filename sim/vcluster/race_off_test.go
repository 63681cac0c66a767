//go:build !race

package vcluster

const raceEnabled = false
