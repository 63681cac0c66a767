package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"

	"splitkernel/gmanagers/httpapi"
)

// LogLevels are the levels of a node's log, from the one that tells most.
var LogLevels = []string{"debug", "info", "warn", "error"}

// DefaultLogLevel is the one at the start of a node unless something else is said.
const DefaultLogLevel = "info"

// ParseLogLevel reads a level by its name.
func ParseLogLevel(name string) (l slog.Level, err error) {
	for _, known := range LogLevels {
		if name == known {
			return l, l.UnmarshalText([]byte(name))
		}
	}
	return 0, fmt.Errorf("log level %.40q, want one of %s", name, strings.Join(LogLevels, ", "))
}

// LogLevel is the body of a question for the level of a node's log, and of its answer.
type LogLevel struct {
	Level string `json:"level"`
}

// LogLevelPath is where a node tells the level of its log, and changes it with PUT. Only this machine can ask.
const LogLevelPath = "/log-level"

// maxLevelBytes bounds the body of a change.
const maxLevelBytes = 256

// logLevels serves LogLevelPath. A web page cannot change the level: its requests name their origin.
func logLevels(level *slog.LevelVar, token string, log *slog.Logger) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if httpapi.Refuse(w, r, token, false) {
			return
		}
		switch r.Method {
		case http.MethodGet:
		case http.MethodPut:
			if r.Header.Get("Origin") != "" {
				http.Error(w, "no web page may change the level", http.StatusForbidden)
				return
			}
			l, err := readLevel(http.MaxBytesReader(w, r.Body, maxLevelBytes))
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			was := level.Level()
			level.Set(min(was, l, slog.LevelInfo)) // so that the change is told, whichever it is
			log.Info("log level", "level", LevelName(l), "was", LevelName(was))
			level.Set(l)
		default:
			w.Header().Set("Allow", "GET, PUT")
			http.Error(w, "want GET or PUT", http.StatusMethodNotAllowed)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(LogLevel{LevelName(level.Level())}) // who asked may have gone
	}
}

func readLevel(body io.Reader) (slog.Level, error) {
	var q LogLevel
	d := json.NewDecoder(body)
	d.DisallowUnknownFields()
	if err := d.Decode(&q); err != nil {
		return 0, errors.New(`want a body such as {"level":"debug"}`)
	}
	return ParseLogLevel(q.Level)
}

// LevelName is the name of a level, as in LogLevels.
func LevelName(l slog.Level) string { return strings.ToLower(l.String()) }

// epochHandler adds the epoch of the node's membership to every line, because the lines of two incarnations stand in one
// file and look alike. Before the first registration there is none. Its level, which may be changed at any time, is above that of the
// handler below.
type epochHandler struct {
	slog.Handler
	epoch *atomic.Uint32
	level *slog.LevelVar
}

// Enabled implements slog.Handler.
func (h epochHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level.Level() }

// Handle implements slog.Handler.
func (h epochHandler) Handle(ctx context.Context, r slog.Record) error {
	if e := h.epoch.Load(); e != 0 {
		r = r.Clone()
		r.AddAttrs(slog.Uint64("member_epoch", uint64(e)))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h epochHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return epochHandler{h.Handler.WithAttrs(attrs), h.epoch, h.level}
}

// WithGroup implements slog.Handler.
func (h epochHandler) WithGroup(name string) slog.Handler {
	return epochHandler{h.Handler.WithGroup(name), h.epoch, h.level}
}
