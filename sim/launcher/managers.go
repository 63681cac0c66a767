package launcher

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"splitkernel/netlayer/wire"
)

// healthTimeout is how long a manager may take to say that it lives before another is asked, lateTimeout how long when none was as quick.
const (
	healthTimeout = time.Second
	lateTimeout   = 5 * time.Second
)

// AnsweringManager chooses the manager of a cluster whom to ask over HTTP: the first of nodes that says at once that it lives, else the first that does so late. The
// error says of each what is wrong with it.
func AnsweringManager(ctx context.Context, client *http.Client, cluster string, nodes []NodeInfo) (NodeInfo, error) {
	var said []string
	for _, timeout := range []time.Duration{healthTimeout, lateTimeout} {
		said = said[:0]
		for _, n := range nodes {
			if n.Role != wire.RoleManager.String() {
				continue
			}
			if !n.Alive || n.Metrics == "" {
				said = append(said, n.ID+" has ended")
				continue
			}
			err := healthy(ctx, client, n.Metrics, timeout)
			if err == nil {
				return n, nil
			}
			if ctx.Err() != nil {
				return NodeInfo{}, context.Cause(ctx)
			}
			said = append(said, fmt.Sprintf("%s: %v", n.ID, err))
		}
	}
	return NodeInfo{}, fmt.Errorf("no manager of cluster %s answers: %s", cluster, strings.Join(said, "; "))
}

func healthy(ctx context.Context, client *http.Client, addr string, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/healthz", nil)
	if err != nil {
		return err
	}
	res, err := client.Do(q)
	if err != nil {
		return err
	}
	return res.Body.Close()
}
