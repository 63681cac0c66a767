// Package dashboard is the web page of a running cluster: the components and their links drawn, charts over time, vNodes, what happened, and, if it
// was allowed, buttons for what the command line does. It needs no internet and no other server: page, script and styles are in the program.
//
// What is shown comes from a Feed (package observe) and goes to the browser as server-sent events: once all that a page needs, then each round
// what is new. The sources of the page are in web, in TypeScript; dist has what Vite makes of them, and is what is embedded.
//
//	s, err := dashboard.Listen(dashboard.Options{Addr: "127.0.0.1:0", Feed: observer})
//	if err != nil { ... }            // the port is taken, or is not of this machine alone
//	fmt.Println(s.URL())
//	err = s.Run(ctx)                 // returns when ctx has ended and nobody is served any more
//
// A web page elsewhere that the same browser shows must not reach this one. So every request must name this machine (its Host header: a name of
// others that leads here is DNS rebinding), and what changes the cluster must be posted from this page (Origin), with the token that only who started
// the cluster was told.
//
// Goroutines: one that passes on what the feed publishes, one that serves, and those of net/http, one per connection; Run waits for all. Lock:
// hub.mu, never held over a write. A page that does not read is dropped: its queue has queueFrames places and a write ends after writeTimeout.
package dashboard
