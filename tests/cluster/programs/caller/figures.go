package main

import (
	"context"
	"crypto/tls"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"

	webhookrequest "k8s.io/apiserver/pkg/admission/plugin/webhook/request"
)

type tlsState = tls.ConnectionState

// mostLosses are told one by one.
const mostLosses = 1000

// loss is a review that the API server would have given up.
type loss struct {
	At       float64 `json:"at"` // a Unix time
	Replica  string  `json:"replica"`
	Attempts int     `json:"attempts"`
	Reused   bool    `json:"reused"`
	Error    string  `json:"error"`
}

// figures are what became of the reviews of one load.
type figures struct {
	mu        sync.Mutex
	start     time.Time
	latencies []float32 // milliseconds, of those that were answered
	told
}

type told struct {
	Seconds  float64 `json:"seconds"`
	Sent     int     `json:"sent"`
	Answered int     `json:"answered"`
	Patched  int     `json:"patched"` // allowed, with a patch
	Denied   int     `json:"denied"`
	Lost     int     `json:"lost"`
	Retries  int     `json:"retries"` // attempts beyond the first of a review
	Reused   int     `json:"reused"`  // reviews over a connection that was there

	Errors          map[string]int `json:"errors"`
	Losses          []loss         `json:"losses"`
	Statuses        map[string]int `json:"statuses"` // of all attempts
	Replicas        map[string]int `json:"replicas"` // answered by each
	Handshakes      int            `json:"handshakes"`
	HandshakeErrors map[string]int `json:"handshakeErrors"`

	Rate    float64            `json:"rate"` // answered a second
	Latency map[string]float64 `json:"latency"`
}

func newFigures() *figures {
	return &figures{
		start: time.Now(),
		told: told{
			Errors: map[string]int{}, Losses: []loss{}, Statuses: map[string]int{}, Replicas: map[string]int{},
			HandshakeErrors: map[string]int{},
		},
	}
}

func (f *figures) status(code int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Statuses[strconv.Itoa(code)]++
}

func (f *figures) shaken(err error) {
	if errors.Is(err, context.Canceled) {
		return // broken off by our own side: nobody waits for the connection any more
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Handshakes++
	if err != nil {
		f.HandshakeErrors[anonymous(err.Error())]++
	}
}

func (f *figures) done(call *call, took time.Duration, result *webhookrequest.AdmissionResponse, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Sent++
	f.Retries += max(call.attempts-1, 0)
	if call.reused {
		f.Reused++
	}
	if err != nil {
		f.Lost++
		text := anonymous(err.Error())
		f.Errors[text]++
		if len(f.Losses) < mostLosses {
			at := float64(time.Now().UnixMicro()) / 1e6
			f.Losses = append(f.Losses, loss{at, call.replica, call.attempts, call.reused, text})
		}
		return
	}
	f.Answered++
	f.Replicas[call.replica]++
	f.latencies = append(f.latencies, float32(took.Seconds()*1000))
	switch {
	case !result.Allowed:
		f.Denied++
	case len(result.Patch) > 0:
		f.Patched++
	}
}

// tell is a copy that nobody changes, with what follows from the rest.
func (f *figures) tell() told {
	f.mu.Lock()
	defer f.mu.Unlock()
	found := f.told
	found.Errors, found.Statuses = maps.Clone(f.Errors), maps.Clone(f.Statuses)
	found.Replicas, found.HandshakeErrors = maps.Clone(f.Replicas), maps.Clone(f.HandshakeErrors)
	found.Losses = slices.Clone(f.Losses)
	found.Seconds = time.Since(f.start).Seconds()
	found.Rate = float64(f.Answered) / found.Seconds
	found.Latency = map[string]float64{}
	if sorted := slices.Sorted(slices.Values(f.latencies)); len(sorted) > 0 {
		for name, share := range map[string]float64{"p50": .5, "p90": .9, "p99": .99, "p999": .999, "max": 1} {
			found.Latency[name] = float64(sorted[min(int(share*float64(len(sorted))), len(sorted)-1)])
		}
	}
	return found
}

var particular = regexp.MustCompile(`(\d+\.\d+\.\d+\.\d+:\d+|[0-9a-f]{8}-[0-9a-f-]{27}|\d{4}-\d\d-\d\dT[\d:]+Z)`)

// anonymous takes out of an error what makes each one different.
func anonymous(text string) string {
	return particular.ReplaceAllString(text, "…")
}
