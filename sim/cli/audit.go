package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"splitkernel/gmanagers/client"
	"splitkernel/gmanagers/httpapi"
	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
	"splitkernel/sim/launcher"
)

// auditTimeout bounds an audit.
const auditTimeout = 30 * time.Second

// auditReport is what an audit found.
type auditReport struct {
	Cluster string `json:"cluster"`
	httpapi.AuditReport
}

func (a *app) auditCommand() *cobra.Command {
	var on string
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Compare the books of the three managers with each other and with what the components hold; exit code 1 on any difference",
		Args:  cobra.NoArgs,
		RunE: runs(func(cmd *cobra.Command, _ []string) error {
			st, err := launcher.Find(on)
			if err != nil {
				return err
			}
			rep, err := a.audit(cmd.Context(), st)
			if err != nil {
				return fmt.Errorf("audit of %s: %w", st.Name, err)
			}
			err = a.print(rep, func(w io.Writer) {
				for i, d := range rep.Differences {
					if i == 0 {
						fmt.Fprintln(w, "WHERE\tPROCESS\tDIFFERENCE")
					}
					fmt.Fprintf(w, "%s\t%d\t%s\n", d.Where, d.PID, d.Text)
				}
			})
			if n := len(rep.Differences); err == nil && n > 0 {
				return fmt.Errorf("audit of %s: %d differences", st.Name, n)
			}
			if err == nil {
				a.say("the books of %s agree: %d vNodes, %d vRegions, %d volumes, %d components", st.Name, rep.VNodes, rep.Regions, rep.Volumes, rep.Components)
			}
			return err
		}),
	}
	cmd.Flags().StringVar(&on, "on", "", "cluster that `up` has started (default: the only one)")
	return cmd
}

// quorum makes sure that the managers answer, which takes no longer than a read of theirs: without it every reading of the
// books would wait for its own time.
func quorum(ctx context.Context, gm *client.Client) error {
	ctx, cancel := context.WithTimeout(ctx, httpapi.ReadTimeout)
	defer cancel()
	if _, err := gm.Members(ctx, wire.GPM); err != nil {
		return fmt.Errorf("the managers have no quorum, so their books cannot be read: %w", err)
	}
	return nil
}

// audit compares the books of a running cluster with each other and with what its components hold.
func (a *app) audit(ctx context.Context, st *launcher.State) (*auditReport, error) {
	ctx, cancel := context.WithTimeout(ctx, auditTimeout)
	defer cancel()
	var components []netlayer.Addr // also those that no manager knows
	for _, n := range st.Nodes {
		if n.Role != wire.RoleManager.String() {
			components = append(components, netlayer.Addr(n.Addr))
		}
	}
	gm, net, err := managersOf(st, "audit")
	if err != nil {
		return nil, err
	}
	defer gm.Close()
	if err := quorum(ctx, gm); err != nil {
		return nil, err
	}
	rep, err := httpapi.Audit(ctx, gm, net, components...)
	if err != nil {
		return nil, err
	}
	return &auditReport{Cluster: st.Name, AuditReport: *rep}, nil
}
