// Package e2e holds the tests of whole clusters: real processes of the built program, real sockets, real signals. It has no
// code of its own. Tests of one room live in that room.
package e2e
