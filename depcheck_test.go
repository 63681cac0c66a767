package main
import (
 _ "github.com/lni/dragonboat/v3"
 _ "github.com/vmihailenco/msgpack/v5"
 _ "github.com/prometheus/client_golang/prometheus/promhttp"
 _ "github.com/prometheus/client_golang/prometheus/testutil"
 _ "github.com/prometheus/client_golang/prometheus/testutil/promlint"
 _ "github.com/spf13/viper"
 _ "github.com/spf13/cobra"
 _ "github.com/klauspost/compress/zstd"
 _ "pgregory.net/rapid"
 _ "go.uber.org/goleak"
 _ "github.com/cockroachdb/datadriven"
 _ "github.com/HdrHistogram/hdrhistogram-go"
 _ "golang.org/x/sys/unix"
 _ "golang.org/x/term"
 _ "go.yaml.in/yaml/v3"
)
