// Package unix is the transport of netlayer over Unix stream sockets. It turns a path into listeners and connections and
// nothing else: frames are netlayer's. No goroutines.
package unix
