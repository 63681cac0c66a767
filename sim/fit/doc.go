// Package fit finds the parameters of a hardware profile that the publications do not give, by running their microbenchmarks on the
// event clock with the models of sim/hardware and comparing.
//
// The profile legoos-cx3 is fitted to the RPC profile, to the LegoOS rows of Figure 7 and to the Linux row of Figure 9 of the
// LegoOS paper and its source, and to nothing else. Its file in configs/hardware is what LegoOS gives, byte for byte, which a test
// checks; `go test ./sim/fit -v` prints the residual of every cell, and -rewrite writes the file anew. Figure 8 is a
// prediction: the same test prints it beside the published figures, and nothing is adjusted to it.
//
// No goroutines.
package fit
