package raftsm

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/lni/dragonboat/v3/logger"
)

// target is where dragonboat's log goes. It is one per process, as dragonboat's own logger is; the last Open wins.
var target atomic.Pointer[slog.Logger]

var logOnce sync.Once

// gaveUp hears why dragonboat panics; of the last Open, as target.
var gaveUp atomic.Pointer[func(error)]

// routeLogs sends dragonboat's log to l. Its informational lines are debug lines of ours, and its errors are warnings:
// it calls an unreachable peer an error, which is daily life here.
func routeLogs(l *slog.Logger) {
	target.Store(l)
	logOnce.Do(func() {
		logger.SetLoggerFactory(func(name string) logger.ILogger { return raftLog{name} })
	})
}

type raftLog struct{ name string }

// SetLevel does nothing: slog decides.
func (raftLog) SetLevel(logger.LogLevel) {}

func (r raftLog) say(level slog.Level, format string, args []any) {
	l := target.Load()
	if l.Enabled(context.Background(), level) {
		l.Log(context.Background(), level, fmt.Sprintf(format, args...), "part", "dragonboat/"+r.name)
	}
}

func (r raftLog) Debugf(format string, args ...any)   { r.say(slog.LevelDebug-4, format, args) }
func (r raftLog) Infof(format string, args ...any)    { r.say(slog.LevelDebug, format, args) }
func (r raftLog) Warningf(format string, args ...any) { r.say(slog.LevelDebug, format, args) }
func (r raftLog) Errorf(format string, args ...any)   { r.say(slog.LevelWarn, format, args) }

// Panicf panics, as dragonboat relies on.
func (r raftLog) Panicf(format string, args ...any) {
	r.say(slog.LevelError, format, args)
	if f := gaveUp.Load(); f != nil {
		(*f)(fmt.Errorf("raft: "+format, args...))
	}
	panic("dragonboat/" + r.name + ": " + fmt.Sprintf(format, args...))
}
