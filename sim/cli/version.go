package cli

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"splitkernel/netlayer/wire"
)

// Commit is the commit that the program was built from. The Makefile sets it; without it, what Go recorded is taken.
var Commit string

func commit() string {
	if Commit != "" {
		return Commit
	}
	revision, dirty := "unknown", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				revision = s.Value
			case s.Key == "vcs.modified" && s.Value == "true":
				dirty = "+changes"
			}
		}
	}
	return revision + dirty
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the commit, the version of the protocol and that of Go",
		Args:  cobra.NoArgs,
		RunE: runs(func(*cobra.Command, []string) error {
			data := struct {
				Commit   string `json:"commit"`
				Protocol int    `json:"protocol"`
				Go       string `json:"go"`
				Platform string `json:"platform"`
			}{commit(), int(wire.Version), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
			return a.print(data, func(w io.Writer) {
				fmt.Fprintf(w, "commit\t%s\nprotocol\t%d\ngo\t%s\nplatform\t%s\n", data.Commit, data.Protocol, data.Go, data.Platform)
			})
		}),
	}
}
