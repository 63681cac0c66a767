package wire

import (
	"errors"
	"fmt"
)

// Kind is the kind of an error that crosses the wire: small, append-only. The text beside it is for people.
type Kind uint16

// The kinds. Numbers are explicit and never reused.
const (
	KindNone         Kind = 0
	KindInternal     Kind = 1  // a fault of the program
	KindBadRequest   Kind = 2  // the request does not fit the protocol or its target
	KindNotOwner     Kind = 3  // the page, region or volume is served by another component
	KindNoMemory     Kind = 4  // the mComponent has no page left
	KindUnmapped     Kind = 5  // no mapping covers the address
	KindStale        Kind = 6  // the epoch of the request is older than what the receiver has seen
	KindCorrupt      Kind = 7  // a checksum does not fit its page or block
	KindNoRoom       Kind = 8  // a placement does not fit: the text names the short resource
	KindNotLeader    Kind = 9  // this manager does not lead the group: the text is the leader's node id or empty
	KindUnavailable  Kind = 10 // the peer cannot be reached or is shutting down; a retry may help
	KindTimeout      Kind = 11 // the deadline passed; the outcome is unknown
	KindNotFound     Kind = 12 // no such process, volume, region or node
	KindExists       Kind = 13 // such a thing exists already with other properties
	KindBusy         Kind = 14 // a bounded queue is full; retry later
	KindNoSpace      Kind = 15 // the disk is full
	KindHello        Kind = 16 // the hello was refused: version, cluster or token
	KindFailed       Kind = 17 // the process or volume has failed before and serves no more
	KindUnknownState Kind = 18 // the outcome of the command is unknown (a leader change): retry under the same sequence
)

var kindNames = []string{"none", "internal", "bad request", "not owner", "out of memory", "unmapped address", "stale epoch", "corrupt",
	"no room", "not leader", "unavailable", "timeout", "not found", "exists", "busy", "no space", "hello refused", "failed", "unknown outcome"}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint16(k))
}

// Error is an error that crosses the wire. errors.Is matches another *Error by kind, so the sentinels below work on both sides.
type Error struct {
	Kind Kind
	Text string
}

func (e *Error) Error() string {
	if e.Text == "" {
		return e.Kind.String()
	}
	return e.Kind.String() + ": " + e.Text
}

// Is reports whether target is an *Error of the same kind.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Kind == e.Kind
}

// Errorf makes an error of a kind. It does not wrap: what crosses the wire is text.
func Errorf(k Kind, format string, args ...any) *Error {
	return &Error{Kind: k, Text: fmt.Sprintf(format, args...)}
}

// KindOf gives the kind of the first *Error in err's chain, KindInternal for any other error and KindNone for nil.
func KindOf(err error) Kind {
	if err == nil {
		return KindNone
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return KindInternal
}

// The sentinels, for errors.Is.
var (
	ErrInternal     = &Error{Kind: KindInternal}
	ErrBadRequest   = &Error{Kind: KindBadRequest}
	ErrNotOwner     = &Error{Kind: KindNotOwner}
	ErrNoMemory     = &Error{Kind: KindNoMemory}
	ErrUnmapped     = &Error{Kind: KindUnmapped}
	ErrStale        = &Error{Kind: KindStale}
	ErrCorrupt      = &Error{Kind: KindCorrupt}
	ErrNoRoom       = &Error{Kind: KindNoRoom}
	ErrNotLeader    = &Error{Kind: KindNotLeader}
	ErrUnavailable  = &Error{Kind: KindUnavailable}
	ErrTimeout      = &Error{Kind: KindTimeout}
	ErrNotFound     = &Error{Kind: KindNotFound}
	ErrExists       = &Error{Kind: KindExists}
	ErrBusy         = &Error{Kind: KindBusy}
	ErrNoSpace      = &Error{Kind: KindNoSpace}
	ErrHello        = &Error{Kind: KindHello}
	ErrFailed       = &Error{Kind: KindFailed}
	ErrUnknownState = &Error{Kind: KindUnknownState}
)
