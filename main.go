// Command splitkernel runs compute, memory and storage components as processes of one machine and replays real programs
// on them. The commands are in sim/cli.
package main

import (
	"os"

	"splitkernel/sim/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
