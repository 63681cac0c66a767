// Package tcp is the TCP transport of netlayer. It turns "host:port" into listeners and connections and nothing else:
// frames are netlayer's. No goroutines. TCP_NODELAY is on (Go's default), because netlayer batches by itself.
package tcp
