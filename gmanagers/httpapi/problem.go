package httpapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
)

// Problem is the body of every error: RFC 9457, problem details for HTTP APIs. It is an error itself, so that callers in Go
// can return it.
type Problem struct {
	Type   string `json:"type"`   // "urn:splitkernel:problem:" and the kind with hyphens
	Title  string `json:"title"`  // the kind in words
	Status int    `json:"status"` // the HTTP status
	Detail string `json:"detail"` // what was wrong this time, and what to do
	Kind   string `json:"kind"`   // stable: what programs compare
}

// Error implements error.
func (p *Problem) Error() string {
	if p.Detail == "" {
		return p.Title
	}
	return p.Title + ": " + p.Detail
}

// problemType begins the type of a problem.
const problemType = "urn:splitkernel:problem:"

func newProblem(status int, kind, title, detail string) *Problem {
	return &Problem{Type: problemType + strings.ReplaceAll(kind, "_", "-"), Title: title, Status: status, Detail: detail, Kind: kind}
}

// retryAfterSeconds is what answers that another attempt may help say in Retry-After: an election's time.
const retryAfterSeconds = 1

// statuses are the HTTP statuses of the kinds of wire; what is not here is 500.
var statuses = map[wire.Kind]int{
	wire.KindBadRequest:   http.StatusBadRequest,
	wire.KindNotFound:     http.StatusNotFound,
	wire.KindExists:       http.StatusConflict,
	wire.KindStale:        http.StatusConflict,
	wire.KindNotOwner:     http.StatusConflict,
	wire.KindFailed:       http.StatusConflict,
	wire.KindNoRoom:       http.StatusUnprocessableEntity,
	wire.KindNoMemory:     http.StatusUnprocessableEntity,
	wire.KindNoSpace:      http.StatusUnprocessableEntity,
	wire.KindBusy:         http.StatusTooManyRequests,
	wire.KindNotLeader:    http.StatusServiceUnavailable,
	wire.KindUnavailable:  http.StatusServiceUnavailable,
	wire.KindTimeout:      http.StatusGatewayTimeout,
	wire.KindUnknownState: http.StatusGatewayTimeout,
}

// kindName is a kind as programs compare it: "no_room".
func kindName(k wire.Kind) string { return strings.ReplaceAll(k.String(), " ", "_") }

// problemOf makes a problem of an error. reads says that the request would have changed nothing: then an answer that did
// not come in time leaves nothing unknown, and asking again may help.
func problemOf(err error, reads bool) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	k := wire.KindOf(err)
	status, ok := statuses[k]
	if !ok {
		status = http.StatusInternalServerError
	}
	detail := strings.ReplaceAll(err.Error(), "\n", "; ") // errors of several managers stand in lines
	var e *wire.Error
	if errors.As(err, &e) && err == error(e) {
		detail = membership.TextOf(err) // the title has the kind
	}
	if reads && status == http.StatusGatewayTimeout {
		status, detail = http.StatusServiceUnavailable, known(detail)
	}
	return newProblem(status, kindName(k), k.String(), detail)
}

// known leaves out of the text of a timeout what is not so of a request that has begun nothing.
func known(text string) string { return strings.ReplaceAll(text, "the outcome is unknown; ", "") }

// unbegun makes a timeout the error of a request that has begun nothing: then it may be repeated.
func unbegun(err error) error {
	if wire.KindOf(err) != wire.KindTimeout {
		return err
	}
	return wire.Errorf(wire.KindUnavailable, "nothing was begun: %s", known(membership.TextOf(err)))
}

// write answers with the problem.
func (p *Problem) write(w http.ResponseWriter) {
	if p.Status == http.StatusTooManyRequests || p.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", strconv.Itoa(retryAfterSeconds))
	}
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="splitkernel"`)
	}
	writeJSON(w, p.Status, "application/problem+json", p)
}

func writeJSON(w http.ResponseWriter, status int, contentType string, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain structs
	}
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	w.Write(append(text, '\n')) // who has gone needs no answer
}
