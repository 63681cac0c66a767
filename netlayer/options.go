package netlayer

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"splitkernel/netlayer/session"
	"splitkernel/netlayer/span"
	"splitkernel/netlayer/tape"
	"splitkernel/netlayer/wire"
)

// maxName bounds the cluster id and the token in bytes, so that a hello stays small.
const maxName = 128

// maxFrame is the longest frame in bytes.
const maxFrame = wire.HeaderLen + wire.MaxBody + wire.MaxPayload

// Options are the settings of a Peer. Who we are is set by the program; the numbers may come from a file.
type Options struct {
	Cluster string       `mapstructure:"-" yaml:"-"` // id of the cluster, not empty: strangers are refused
	Token   string       `mapstructure:"-" yaml:"-"` // shared secret, empty if the cluster has none
	Role    wire.Role    `mapstructure:"-" yaml:"-"`
	Node    wire.NodeID  `mapstructure:"-" yaml:"-"`
	Log     *slog.Logger `mapstructure:"-" yaml:"-"` // nil discards
	Seed    uint64       `mapstructure:"-" yaml:"-"` // of the jitter of retries; mixed with the session's id
	Metrics *Metrics     `mapstructure:"-" yaml:"-"` // where the peer is counted from NewPeer to Close, and its counts after; may be nil

	Faults *Faults `mapstructure:"-" yaml:"-"` // what goes wrong on purpose with what the peer sends; may be nil

	Spans span.Sink `mapstructure:"-" yaml:"-" json:"-"` // gets a span of each call of a trace; nil keeps none

	// Slots bounds the calls in flight to one peer: 1 to 65536. A caller that finds none free waits.
	Slots int `mapstructure:"slots" yaml:"slots"`
	// InFlightBytes bounds the request bytes that were sent and not answered, and those that wait to be written. At least
	// the longest frame, so that every request fits.
	InFlightBytes int `mapstructure:"in_flight_bytes" yaml:"in_flight_bytes"`
	// CallTimeoutMS is the deadline of a call that names none, in ms. Deadlines are kept to about 10 ms.
	CallTimeoutMS int `mapstructure:"call_timeout_ms" yaml:"call_timeout_ms"`
	// DialTimeoutMS bounds connecting, in ms.
	DialTimeoutMS int `mapstructure:"dial_timeout_ms" yaml:"dial_timeout_ms"`
	// HelloTimeoutMS bounds the exchange of hellos after connecting, in ms.
	HelloTimeoutMS int `mapstructure:"hello_timeout_ms" yaml:"hello_timeout_ms"`
	// WriteTimeoutMS closes a connection whose peer takes nothing for so long, in ms.
	WriteTimeoutMS int `mapstructure:"write_timeout_ms" yaml:"write_timeout_ms"`
	// RetryBaseMS is the pause before the first retry of Control, and after a failed dial, in ms. It doubles up to RetryMaxMS.
	RetryBaseMS int `mapstructure:"retry_base_ms" yaml:"retry_base_ms"`
	// RetryMaxMS is the longest pause between retries, in ms.
	RetryMaxMS int `mapstructure:"retry_max_ms" yaml:"retry_max_ms"`
	// RetryAttempts is how often Control sends a request in all.
	RetryAttempts int `mapstructure:"retry_attempts" yaml:"retry_attempts"`
}

// DefaultOptions gives the settings without an identity. 256 slots keep a page server busy four batches deep. A process on
// two loaded processors was seen to stand still for 1.8 s, so nothing is given up before 3 s: a dead peer is noticed by
// the end of its connection and not by a deadline. Ten attempts of Control span about 3 s, longer than most elections.
func DefaultOptions() Options {
	return Options{
		Slots: 256, InFlightBytes: 4 << 20, CallTimeoutMS: 5000, DialTimeoutMS: 3000, HelloTimeoutMS: 3000, WriteTimeoutMS: 3000,
		RetryBaseMS: 20, RetryMaxMS: 500, RetryAttempts: 10,
	}
}

// Validate reports every fault by key.
func (o Options) Validate() error {
	var f faults
	f.identity(o.Cluster, o.Token)
	f.between("slots", o.Slots, 1, session.MaxSlots)
	f.between("in_flight_bytes", o.InFlightBytes, maxFrame, 1<<30)
	f.between("call_timeout_ms", o.CallTimeoutMS, 1, maxTimeoutMS)
	f.between("dial_timeout_ms", o.DialTimeoutMS, 1, maxTimeoutMS)
	f.between("hello_timeout_ms", o.HelloTimeoutMS, 1, maxTimeoutMS)
	f.between("write_timeout_ms", o.WriteTimeoutMS, 1, maxTimeoutMS)
	f.between("retry_base_ms", o.RetryBaseMS, 1, maxTimeoutMS)
	f.between("retry_max_ms", o.RetryMaxMS, o.RetryBaseMS, maxTimeoutMS)
	f.between("retry_attempts", o.RetryAttempts, 1, 1000)
	return errors.Join(f...)
}

// ServerOptions are the settings of a Server.
type ServerOptions struct {
	Cluster string       `mapstructure:"-" yaml:"-"`
	Token   string       `mapstructure:"-" yaml:"-"`
	Role    wire.Role    `mapstructure:"-" yaml:"-"`
	Node    wire.NodeID  `mapstructure:"-" yaml:"-"`
	Log     *slog.Logger `mapstructure:"-" yaml:"-"` // nil discards

	Faults *Faults `mapstructure:"-" yaml:"-"` // what goes wrong on purpose with what the server sends; may be nil
	// OnGone, if not nil, is called once for each connection whose hello was accepted, when it has ended and not because the server
	// stops: at once, also while requests of it still run. The connection's goroutine calls it, so it must not wait. That a
	// connection ends says nothing yet about who held it. Who is cut off on purpose is not told of.
	OnGone func(wire.Hello) `mapstructure:"-" yaml:"-" json:"-"`
	// Recorder gets what decides which requests are executed, and that only: at most once each. Nil is off.
	Recorder tape.Recorder `mapstructure:"-" yaml:"-"`

	// Spans gets a span of each request of a trace that is served; nil keeps none.
	Spans span.Sink `mapstructure:"-" yaml:"-" json:"-"`

	// Workers is the number of goroutines that run the requests that are not inline.
	Workers int `mapstructure:"workers" yaml:"workers"`
	// QueueLen bounds the requests that wait for a worker; beyond it they are answered with wire.ErrBusy.
	QueueLen int `mapstructure:"queue_len" yaml:"queue_len"`
	// MaxDeferred bounds the requests that are answered later than they are served (Request.Defer).
	MaxDeferred int `mapstructure:"max_deferred" yaml:"max_deferred"`
	// MaxConns bounds the connections whose hello was accepted; more are refused.
	MaxConns int `mapstructure:"max_conns" yaml:"max_conns"`
	// MaxHandshakes bounds the connections that have not said hello yet, so that strangers cannot take the places of members.
	MaxHandshakes int `mapstructure:"max_handshakes" yaml:"max_handshakes"`
	// HelloTimeoutMS closes a connection that has not said hello by then, in ms.
	HelloTimeoutMS int `mapstructure:"hello_timeout_ms" yaml:"hello_timeout_ms"`
	// FrameTimeoutMS closes a connection that began a frame and does not end it, in ms.
	FrameTimeoutMS int `mapstructure:"frame_timeout_ms" yaml:"frame_timeout_ms"`
	// WriteTimeoutMS closes a connection that does not take its replies, in ms.
	WriteTimeoutMS int `mapstructure:"write_timeout_ms" yaml:"write_timeout_ms"`
	// DrainMS is how long running requests may go on after the end of Serve's context, in ms; then theirs is cancelled too.
	DrainMS int `mapstructure:"drain_ms" yaml:"drain_ms"`
	// Sessions bounds the clients whose at-most-once requests are remembered; at least max_conns.
	Sessions int `mapstructure:"sessions" yaml:"sessions"`
	// DedupeWindow bounds the at-most-once requests remembered per session.
	DedupeWindow int `mapstructure:"dedupe_window" yaml:"dedupe_window"`
	// DedupeBytes bounds the replies kept for them per session, in bytes.
	DedupeBytes int `mapstructure:"dedupe_bytes" yaml:"dedupe_bytes"`
}

// DefaultServerOptions gives the settings without an identity.
func DefaultServerOptions() ServerOptions {
	return ServerOptions{
		Workers: 8, QueueLen: 256, MaxDeferred: 4096, MaxConns: 256, MaxHandshakes: 64, HelloTimeoutMS: 3000, FrameTimeoutMS: 3000, WriteTimeoutMS: 3000,
		DrainMS: 500, Sessions: 1024, DedupeWindow: 256, DedupeBytes: 1 << 20,
	}
}

// Validate reports every fault by key.
func (o ServerOptions) Validate() error {
	var f faults
	f.identity(o.Cluster, o.Token)
	f.between("workers", o.Workers, 1, 1024)
	f.between("queue_len", o.QueueLen, 1, 1<<16)
	f.between("max_deferred", o.MaxDeferred, 1, 1<<20)
	f.between("max_conns", o.MaxConns, 1, 1<<16)
	f.between("max_handshakes", o.MaxHandshakes, 1, 1<<16)
	f.between("hello_timeout_ms", o.HelloTimeoutMS, 1, maxTimeoutMS)
	f.between("frame_timeout_ms", o.FrameTimeoutMS, 1, maxTimeoutMS)
	f.between("write_timeout_ms", o.WriteTimeoutMS, 1, maxTimeoutMS)
	f.between("drain_ms", o.DrainMS, 0, maxTimeoutMS)
	f.between("sessions", o.Sessions, o.MaxConns, 1<<20)
	f.between("dedupe_window", o.DedupeWindow, 1, 1<<16)
	f.between("dedupe_bytes", o.DedupeBytes, 0, 1<<30)
	return errors.Join(f...)
}

// maxTimeoutMS is the longest time of any option: a deadline crosses the wire as 32 bits of µs.
const maxTimeoutMS = 3_600_000

type faults []error

func (f *faults) between(key string, v, lo, hi int) {
	if v < lo || v > hi {
		*f = append(*f, fmt.Errorf("%s: %d, want %d to %d", key, v, lo, hi))
	}
}

func (f *faults) identity(cluster, token string) {
	if cluster == "" || len(cluster) > maxName {
		*f = append(*f, fmt.Errorf("cluster: %d bytes, want 1 to %d", len(cluster), maxName))
	}
	if len(token) > maxName {
		*f = append(*f, fmt.Errorf("token: %d bytes, want 0 to %d", len(token), maxName))
	}
}

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

func logger(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}
