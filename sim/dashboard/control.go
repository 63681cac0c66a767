package dashboard

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"
)

// TokenHeader carries the token of requests that change the cluster.
const TokenHeader = "X-Splitkernel-Token"

// Limits of control.
const (
	// maxActions bounds the actions that are under way at a time.
	maxActions = 4
	// maxActionBytes bounds the body of a request.
	maxActionBytes = 4 << 10
	// actionTimeout bounds an action: the start of a component is the longest.
	actionTimeout = 70 * time.Second
)

// What an action can be.
const (
	DoAdd     = "add"     // Role
	DoDrain   = "drain"   // Node
	DoUndrain = "undrain" // Node
	DoKill    = "kill"    // Node
	DoFault   = "fault"   // Fault
	DoHeal    = "heal"
)

var actions = []string{DoAdd, DoDrain, DoUndrain, DoKill, DoFault, DoHeal}

// Action is what a button asks for.
type Action struct {
	Do        string `json:"-"`
	Role      string `json:"role,omitempty"`
	Node      string `json:"node,omitempty"`
	Fault     string `json:"fault,omitempty"`      // as of the command line
	AllowLoss bool   `json:"allow_loss,omitempty"` // of DoKill and DoFault: let it cost what the cluster promises to keep
}

// Control does what the command line does. It is called by several goroutines.
type Control interface {
	// Do returns what was done, in a sentence. Its error is shown as it is.
	Do(ctx context.Context, a Action) (said string, err error)
}

// needs are what must be given, by action.
func (a *Action) missing() string {
	switch {
	case a.Do == DoAdd && a.Role == "":
		return "role"
	case slices.Contains([]string{DoDrain, DoUndrain, DoKill}, a.Do) && a.Node == "":
		return "node"
	case a.Do == DoFault && a.Fault == "":
		return "fault"
	}
	return ""
}

// answer is that to an action.
type answer struct {
	Said  string `json:"said,omitempty"`
	Error string `json:"error,omitempty"`
}

func respond(w http.ResponseWriter, status int, a answer) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(a) // who asked may have gone
}

// stranger says why a request may not change the cluster, with the status that tells so; 0 if it may.
func (s *Server) stranger(r *http.Request) (status int, why string) {
	peer, _, _ := net.SplitHostPort(r.RemoteAddr)
	ip, err := netip.ParseAddr(peer)
	switch {
	case !s.o.Remote && (err != nil || !ip.Unmap().IsLoopback()):
		return http.StatusForbidden, "only this machine may change the cluster"
	case r.Header.Get("Origin") != "http://"+r.Host:
		return http.StatusForbidden, fmt.Sprintf("posted from %.100q, want it from this page, http://%s", r.Header.Get("Origin"), r.Host)
	case subtle.ConstantTimeCompare([]byte(r.Header.Get(TokenHeader)), []byte(s.token)) != 1:
		return http.StatusUnauthorized, "the token is missing or wrong: open the address that was printed when the cluster was started"
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return http.StatusUnsupportedMediaType, fmt.Sprintf("Content-Type %.100q, want application/json", r.Header.Get("Content-Type"))
	}
	return 0, ""
}

// guarded does one kind of action for who may.
func (s *Server) guarded(do string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if status, why := s.stranger(r); status != 0 {
			respond(w, status, answer{Error: why})
			return
		}
		a := Action{}
		in := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxActionBytes))
		in.DisallowUnknownFields()
		if err := in.Decode(&a); err != nil {
			respond(w, http.StatusBadRequest, answer{Error: fmt.Sprintf("the request is no action: %v", err)})
			return
		}
		a.Do = do
		if what := a.missing(); what != "" {
			respond(w, http.StatusBadRequest, answer{Error: fmt.Sprintf("%s: %s is missing", do, what)})
			return
		}
		select {
		case s.acting <- struct{}{}:
		default:
			respond(w, http.StatusTooManyRequests, answer{Error: fmt.Sprintf("%d actions are under way, try again when one has ended", maxActions)})
			return
		}
		defer func() { <-s.acting }()
		ctx, cancel := context.WithTimeout(r.Context(), actionTimeout)
		defer cancel()
		said, err := s.o.Control.Do(ctx, a)
		s.o.Log.Info("control", "do", a.Do, "role", a.Role, "node", a.Node, "fault", a.Fault, "error", err)
		if err != nil {
			respond(w, http.StatusConflict, answer{Error: err.Error()})
			return
		}
		respond(w, http.StatusOK, answer{Said: said})
	})
}
