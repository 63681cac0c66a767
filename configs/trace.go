package configs

import "net/url"

// MaxTraceSample bounds trace.sample.
const MaxTraceSample = 1_000_000_000

// Trace says where spans of requests go.
type Trace struct {
	// OtlpEndpoint is the base URL of an OTLP/HTTP collector, as in "http://127.0.0.1:4318"; empty keeps no spans.
	OtlpEndpoint string
	// Sample has one page fault that sends a message, of a process, and one block request, of a volume, in so many be a trace, 1 every one; 0 none.
	// Admissions and moves are traces all.
	Sample int
}

// DefaultTrace keeps no spans.
func DefaultTrace() Trace { return Trace{Sample: 1000} }

func (t *Trace) validate(fs *faults) {
	if t.Sample < 0 || t.Sample > MaxTraceSample {
		fs.add("trace.sample", "%d, want 0 to %d", t.Sample, MaxTraceSample)
	}
	if t.OtlpEndpoint == "" {
		return
	}
	u, err := url.Parse(t.OtlpEndpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || len(u.Path) > 0 && u.Path[len(u.Path)-1] == '/' {
		fs.add("trace.otlp_endpoint", "%q, want the base URL of an OTLP/HTTP collector such as http://127.0.0.1:4318, or nothing", t.OtlpEndpoint)
	}
}
