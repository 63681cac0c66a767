// Package httpapi is the HTTP/JSON interface of the managers: what a person or a script asks of a cluster, served by every
// manager process. Any replica answers: it asks the leaders through gmanagers/client, so a follower forwards and every read
// but /status is linearizable. docs/api.md is its manual, openapi.yaml beside this file its contract, held true by a test.
//
// It decides nothing about placement and keeps no state: a vNode is admitted, moved and released by the managers, and this
// package does what goes with that at the components (a volume is made and removed at its sComponent, a process stopped).
// It does not start processes, for what a process runs is not its matter, and it starts no component. It opens no socket:
// sim/node serves Handler on the manager's HTTP port, and sim/cli is its client.
//
// Safe for concurrent use. Goroutines: those of net/http, and those that ask several components at once, which end with the
// request. Close refuses new requests, ends the contexts of those that are served and waits for them. Lock order: API.mu is
// held for no call.
//
//	api, err := httpapi.New(httpapi.Options{Client: managers, Net: net, …})
//	mux.Handle("/api/", api.Handler())
//	…
//	api.Close() // before the client
package httpapi
