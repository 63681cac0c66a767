package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"splitkernel/gmanagers/httpapi"
	"splitkernel/netlayer/span"
	"splitkernel/sim/launcher"
)

const (
	// remoteTimeout bounds a request, above what the managers take over it.
	remoteTimeout = httpapi.WriteTimeout + 5*time.Second
	// maxTries bounds how many managers are asked for the same: one more than a cluster of three can lose.
	maxTries = 3
	// maxAnswerBytes bounds an answer: listings of the managers fit into a message each.
	maxAnswerBytes = 64 << 20
)

// remote is the HTTP interface of the managers of a cluster.
type remote struct {
	st     *launcher.State
	base   string // of the manager that is asked
	client http.Client
	spans  span.Sink // nil keeps none
}

// remote finds a cluster and a manager of it that answers.
func (a *app) remote(ctx context.Context, on string) (*remote, error) {
	st, err := launcher.Find(on)
	if err != nil {
		return nil, err
	}
	return remoteOf(ctx, st)
}

func remoteOf(ctx context.Context, st *launcher.State) (*remote, error) {
	r := &remote{st: st, client: http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	n, err := launcher.AnsweringManager(ctx, &r.client, st.Name, st.Nodes)
	if err != nil {
		return nil, err
	}
	r.base = "http://" + n.Metrics + httpapi.Prefix
	return r, nil
}

// call makes a request. body, if there is one, and out are JSON; out may be nil. What the managers refuse is an error with
// their reason; bad usage if the request was at fault. wait is how long the managers may take beside their own time.
func (r *remote) call(ctx context.Context, method, path string, body, out any, wait time.Duration) error {
	return r.try(ctx, method, path, "", body, out, wait)
}

// unheardError is the error of a request whose manager ended before it answered: it may have been heard.
type unheardError struct{ error }

func (u *unheardError) Unwrap() error { return u.error }

// again is call of what may be asked twice: if the manager ends before it answers another one is asked. Key, if not empty, makes
// them one request. It tells how many were asked.
func (r *remote) again(ctx context.Context, method, path, key string, body, out any, wait time.Duration) (tries int, err error) {
	for tries = 1; ; tries++ {
		err = r.try(ctx, method, path, key, body, out, wait)
		var unheard *unheardError
		if !errors.As(err, &unheard) || tries == maxTries || ctx.Err() != nil {
			return tries, err
		}
		st, ferr := launcher.Find(r.st.Name) // who lives now
		if ferr != nil {
			return tries, err
		}
		next, ferr := remoteOf(ctx, st)
		if ferr != nil {
			return tries, errors.Join(err, ferr)
		}
		*r = *next
	}
}

// try is call with a key.
func (r *remote) try(ctx context.Context, method, path, key string, body, out any, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, remoteTimeout+wait)
	defer cancel()
	var in io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		in = bytes.NewReader(text)
	}
	q, err := http.NewRequestWithContext(ctx, method, r.base+path, in)
	if err != nil {
		return err
	}
	if body != nil {
		q.Header.Set("Content-Type", "application/json")
	}
	if t := r.st.Cluster.Token; t != "" {
		q.Header.Set("Authorization", "Bearer "+t)
	}
	if key != "" {
		q.Header.Set(httpapi.KeyHeader, key)
	}
	if in := span.Of(ctx); in.Trace != 0 {
		q.Header.Set(httpapi.TraceHeader, in.String())
	}
	res, err := r.client.Do(q)
	if err != nil {
		return &unheardError{fmt.Errorf("ask the managers of %s: %w", r.st.Name, err)}
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswerBytes+1))
	switch {
	case err != nil:
		return &unheardError{fmt.Errorf("answer of the managers of %s: %w", r.st.Name, err)}
	case len(text) > maxAnswerBytes:
		return fmt.Errorf("answer of the managers of %s: more than %d bytes", r.st.Name, maxAnswerBytes)
	case res.StatusCode >= 400:
		return refusal(res.StatusCode, text)
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("answer of the managers of %s (are they of another version of this program?): %w", r.st.Name, err)
	}
	return nil
}

func (r *remote) get(ctx context.Context, path string, out any) error {
	_, err := r.again(ctx, http.MethodGet, path, "", nil, out, 0)
	return err
}

// pages reads a listing to its end: read asks for one page and returns where the next one begins.
func (r *remote) pages(ctx context.Context, path string, query url.Values, read func(ctx context.Context, path string) (next string, err error)) error {
	for after := ""; ; {
		q := url.Values{}
		maps.Copy(q, query)
		if after != "" {
			q.Set("after", after)
		}
		at := path
		if len(q) > 0 {
			at += "?" + q.Encode()
		}
		next, err := read(ctx, at)
		switch {
		case err != nil:
			return err
		case next == "":
			return nil
		case next == after:
			return fmt.Errorf("%s: a page goes on where it began, after %s", path, after)
		}
		after = next
	}
}

// refusal makes an error of a problem.
func refusal(status int, text []byte) error {
	p := &httpapi.Problem{}
	if err := json.Unmarshal(text, p); err != nil || p.Title == "" {
		return fmt.Errorf("the managers answer with HTTP status %d: %.200s", status, text)
	}
	if status == http.StatusBadRequest || status == http.StatusRequestEntityTooLarge {
		return &codeError{exitUsage, p}
	}
	return p
}

// kindOf gives the kind of a problem, empty for other errors.
func kindOf(err error) string {
	var p *httpapi.Problem
	if errors.As(err, &p) {
		return p.Kind
	}
	return ""
}

// onFlag adds the flag that names the cluster.
func onFlag(cmd *cobra.Command, on *string) {
	cmd.Flags().StringVar(on, "on", "", "name of a running cluster (default: the only one)")
}
