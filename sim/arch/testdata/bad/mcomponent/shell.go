package mcomponent

import (
	"github.com/lni/dragonboat/v3"                   // want: github.com/lni/dragonboat may only be imported in gmanagers
	"github.com/prometheus/client_golang/prometheus" // want: github.com/prometheus may only be imported in metrics.go or metrics_test.go
	"github.com/vmihailenco/msgpack/v5"              // want: github.com/vmihailenco/msgpack may only be imported in netlayer/wire
	"splitkernel/configs"                            // want: level 3 imports configs of level 4
	"splitkernel/gmanagers"                          // want: shell mcomponent imports shell gmanagers: they meet in messages
	"splitkernel/gmanagers/client"
	"time"
)

var fine = time.Now
