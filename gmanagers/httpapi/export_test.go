package httpapi

// RouteInfo is what tests compare with the contract.
type RouteInfo struct {
	Method, Path string
	Query        []string
	Body         bool
}

// Routes lists what the API serves.
func Routes() []RouteInfo {
	var out []RouteInfo
	for _, r := range routes() {
		out = append(out, RouteInfo{r.method, r.path, r.query, r.body})
	}
	return out
}
