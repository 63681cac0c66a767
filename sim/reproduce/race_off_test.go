//go:build !race

package reproduce

const underRace = false
